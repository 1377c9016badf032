"""graphc.distributed: training on several machines, which graphc doesn't do yet: programs that ask are told so.

>>> is_available(), is_initialized()
(False, False)
"""

__all__ = [
    "is_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
]


def is_available() -> bool:
    """Whether processes can form a group: False."""
    return False


def is_initialized() -> bool:
    """Whether this process is in a group: False."""
    return False


def is_nccl_available() -> bool:
    """Whether groups can talk by NCCL: False."""
    return False


def is_gloo_available() -> bool:
    """Whether groups can talk by Gloo: False."""
    return False


def is_mpi_available() -> bool:
    """Whether groups can talk by MPI: False."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether PyTorch's launcher started this process: False."""
    return False
