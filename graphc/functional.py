"""graphc.functional: functions of tensors under the module path that older programs import them from.

>>> graphc.functional.einsum is graphc.einsum
True
"""

import graphc

_NAMES = (
    "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist chain_matmul "
    "einsum istft meshgrid norm split stft tensordot unique unique_consecutive unravel_index"
).split()
_table = {name: getattr(graphc, name) for name in _NAMES}
globals().update(_table)

__all__ = [*_table]
