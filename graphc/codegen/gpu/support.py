"""What of a kernel a GPU's code can be made for: a list of what has been seen to work.

In: a kernel in base ops. Out: nothing, or a GraphcError that names what is missing. LLVM's back end ends the process
where it meets what it has no instructions for, so nothing that is not listed may reach it.
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import DType, bf16, bool_, f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64
from graphc.ir.errors import MissingFeature, UnsupportedDType
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.ir import (
    Apply,
    Contract,
    HostCall,
    Kernel,
    MultiplyMatrices,
    MultiplyShared,
    Reduce,
    Shuffle,
    Statement,
    nested_bodies,
)

_INTEGERS: Final = frozenset({i8, i16, i32, i64, u8, u16, u32, u64})
_FLOATS: Final = frozenset({f16, bf16, f32, f64})
_REAL: Final = frozenset({bool_}) | _INTEGERS | _FLOATS

SUPPORTED: Final[dict[str, frozenset[DType]]] = {
    **dict.fromkeys("add sub mul neg abs maximum minimum eq ne lt le gt ge select cast bitcast".split(), _REAL),
    **dict.fromkeys("div fma sqrt floor ceil round trunc copysign".split(), _FLOATS),
    **dict.fromkeys("divide_truncated remainder_truncated shift_left shift_right".split(), _INTEGERS),
    **dict.fromkeys("bitwise_and bitwise_or bitwise_xor bitwise_not".split(), _INTEGERS | {bool_}),
}
"""The dtypes that each op is emitted for; tests put every one of them through LLVM and the assembler."""


MOST_PARAMETER_BYTES: Final = 32764
"""Of a kernel's parameters."""


def parameter_bytes(kernel: Kernel) -> int:
    """What a kernel's parameters take: addresses of buffers, sizes, and the address of the status word."""
    return 8 * (len(kernel.buffers) + len(kernel.sizes) + 1)


def check_support(kernel: Kernel, target: GpuTarget) -> None:
    """Raise UnsupportedDType or MissingFeature for what cannot be emitted for the target."""
    pending: list[tuple[Statement, ...]] = [kernel.body]
    while pending:
        for statement in pending.pop():
            match statement:
                case Apply(out=out, op=op, operands=operands):
                    for dtype in (*(x.dtype for x in operands), out.dtype):
                        if dtype not in SUPPORTED.get(op, ()) and not (dtype is bool_ and out.dtype is bool_):
                            raise UnsupportedDType(
                                f"{op} of {dtype.name} has no code for {target}",
                                hint="compute it in another dtype, or on the CPU",
                            )
                case Reduce(element=operand) | Shuffle(operand=operand) if operand.dtype not in _REAL:
                    raise UnsupportedDType(f"values of {operand.dtype.name} have no registers on {target}")
                case MultiplyMatrices(dtype=name) if name != "f16" and not target.has_bf16_matrices:
                    raise MissingFeature(
                        f"the tensor cores of {target} do not multiply {name}",
                        hint="they multiply f16; those of sm_80 and later multiply bf16 and tf32, too",
                    )
                case MultiplyShared() if not target.has_warpgroups:
                    raise MissingFeature(
                        f"the tensor cores of {target} do not multiply matrices in shared memory",
                        hint="those of sm_90 do",
                    )
                case Contract() | HostCall():
                    raise MissingFeature(f"{type(statement).__name__} is no statement of a kernel for {target}")
                case _:
                    pending.extend(nested_bodies(statement))
    grid = grid_of(kernel)
    if grid is not None and grid.shared_bytes > target.most_shared_bytes:
        raise MissingFeature(
            f"{kernel.name} needs {grid.shared_bytes} bytes of shared memory; a block on {target} has at most "
            f"{target.most_shared_bytes}"
        )
    if parameter_bytes(kernel) > MOST_PARAMETER_BYTES:
        raise MissingFeature(
            f"{kernel.name} has {len(kernel.buffers)} arrays and {len(kernel.sizes)} sizes; a kernel on {target} has "
            f"at most {MOST_PARAMETER_BYTES // 8 - 1} of both",
            hint="join fewer tensors at a time",
        )
