"""Which PyTorch this is like, and what it was built with.

`__version__` is the version of PyTorch whose names and behaviour graphc has, since programs choose between old and new
names by it; graphc's own version follows as the label that builds of PyTorch put after a plus sign.
"""

from graphc.torch_version import TorchVersion

__all__ = ["__version__", "cuda", "debug", "git_version", "graphc", "hip", "rocm", "xpu"]

graphc = "0.1.0"
"""graphc's own version."""
__version__ = TorchVersion(f"2.13.0+graphc{graphc}")
debug = False
cuda: str | None = None
git_version: str | None = None
hip: str | None = None
rocm: str | None = None
xpu: str | None = None
