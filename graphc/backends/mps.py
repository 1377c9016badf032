"""Apple's Metal, which graphc isn't built with.

>>> is_built(), is_available()
(False, False)
"""


def is_built() -> bool:
    """Whether graphc was built with it: False."""
    return False


def is_available() -> bool:
    """Whether it can be used: False."""
    return False
