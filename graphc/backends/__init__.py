"""graphc.backends: switches of the libraries that PyTorch computes with.

graphc computes with code of its own, whose results are always repeatable and in full precision: the switches keep what
they are set to, and change nothing. What asks for a library that could be there says that it isn't.
"""

from graphc.backends import cpu, cuda, cudnn, mha, mkl, mkldnn, mps, openmp, opt_einsum

fp32_precision = "none"

__all__ = ["cpu", "cuda", "cudnn", "fp32_precision", "mha", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]
