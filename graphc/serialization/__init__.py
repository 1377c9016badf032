"""Files of tensors and of what goes with them: `graphc.save` and `graphc.load`, checkpoints, and whom files may name.

>>> import graphc, io
>>> file = io.BytesIO()
>>> graphc.save({"weight": graphc.ones(2), "step": 7}, file)
>>> _ = file.seek(0)
>>> graphc.load(file)
{'weight': tensor([1., 1.]), 'step': 7}
"""

from graphc.serialization.checkpoint import load_checkpoint, save_checkpoint
from graphc.serialization.entry import load, save
from graphc.serialization.errors import CheckpointError, TruncatedCheckpoint
from graphc.serialization.safe_globals import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from graphc.serialization.unsafe import get_unsafe_globals_in_checkpoint

__all__ = [
    "CheckpointError",
    "TruncatedCheckpoint",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "load_checkpoint",
    "safe_globals",
    "save",
    "save_checkpoint",
]
