"""graphc.storage: the classes of tensors' memory.

>>> import graphc
>>> isinstance(graphc.ones(2).untyped_storage(), UntypedStorage)
True
"""

from graphc.eager.memory import TypedStorage, UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]
