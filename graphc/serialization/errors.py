"""What saving and loading raise."""

from __future__ import annotations

import pickle

from graphc.ir.errors import GraphcError


class CheckpointError(GraphcError, RuntimeError, pickle.UnpicklingError):
    """A file that is damaged, of no known format, or holds what must not be loaded.

    PyTorch raises RuntimeError for some of these and `pickle.UnpicklingError` for others: it is both.
    """


class TruncatedCheckpoint(CheckpointError, EOFError):
    """A file that ends before it should."""
