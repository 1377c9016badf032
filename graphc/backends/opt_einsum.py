"""The choice of an order of products in `einsum`: graphc's own is always made, from left to right.

>>> is_available()
False
"""

enabled = True
strategy: str | None = "auto"


def is_available() -> bool:
    """Whether the library opt_einsum is used: False."""
    return False
