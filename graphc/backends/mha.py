"""The fast way of attention in evaluation: the switch keeps what it is set to, for graphc has one way.

>>> get_fastpath_enabled()
True
"""


class _Switch:
    """Whether it is on."""

    def __init__(self) -> None:
        self.is_on = True


_switch = _Switch()


def get_fastpath_enabled() -> bool:
    """Whether the switch is on."""
    return _switch.is_on


def set_fastpath_enabled(value: bool) -> None:
    """Set the switch."""
    _switch.is_on = value
