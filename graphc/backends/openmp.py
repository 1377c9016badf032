"""OpenMP, which graphc doesn't use.

>>> is_available()
False
"""


def is_available() -> bool:
    """Whether the library is used: False."""
    return False
