"""graphc.backends: switches of the libraries that PyTorch computes with.

graphc computes with code of its own, whose results are always repeatable: most switches keep what they are set to, and
change nothing. Those of precision (`fp32_precision`, here for all products, and `allow_tf32`) are read where code for
GPUs is made. What asks for a library that could be there says that it isn't.
"""

import sys

from graphc.backends import cpu, cuda, cudnn, mha, mkl, mkldnn, mps, openmp, opt_einsum
from graphc.backends.switches import PrecisionModule

sys.modules[__name__].__class__ = PrecisionModule

__all__ = ["cpu", "cuda", "cudnn", "mha", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]
