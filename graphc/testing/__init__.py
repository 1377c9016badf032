"""graphc.testing: comparing tensors in tests, and making them."""

from graphc.testing.comparison import assert_allclose, assert_close
from graphc.testing.creation import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
