"""Tensors of other libraries over the same memory, by DLPack's capsules.

>>> import numpy, graphc
>>> array = numpy.zeros(2)
>>> tensor = graphc.utils.dlpack.from_dlpack(array)
>>> tensor[0] = 1.0
>>> array
array([1., 0.])
"""

from graphc.eager.dlpack import DLDeviceType
from graphc.eager.dlpack import from_dlpack as _from_dlpack
from graphc.eager.dlpack import to_dlpack as _to_dlpack
from graphc.eager.guard import guarded

from_dlpack = guarded(_from_dlpack)
to_dlpack = guarded(_to_dlpack)

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]
