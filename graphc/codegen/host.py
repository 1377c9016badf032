"""Calls of the host from native code.

In: the statement of a kernel that is one such call. Out: a call of the symbol that the runtime provides for all of
them, which gets the description of this one, and the addresses and sizes of its arrays (`graphc.kernel.host`).
"""

from __future__ import annotations

from graphc.codegen.emitter import Emitter
from graphc.codegen.index import index
from graphc.kernel.host import CALL, describe
from graphc.kernel.ir import HostCall


def emit_host_call(e: Emitter, statement: HostCall) -> None:
    """The call; where it fails, its code becomes the status of the run."""
    arrays = (*statement.operands, *statement.results)
    words = [e.emit(f"ptrtoint ptr {e.buffers[array.buffer].name} to i64") for array in arrays]
    words += [index(e, size) for array in arrays for size in array.type.shape]
    block = e.allocate_stack(f"[{len(words)} x i64]")
    for place, word in enumerate(words):
        e.line(f"store i64 {word}, ptr {e.emit(f'getelementptr i64, ptr {block}, i64 {place}')}, align 8")
    data = describe(statement).encode() + b"\0"
    text = "".join([f"\\{byte:02X}" for byte in data])
    e.module.define_global(f'@host_description = private constant [{len(data)} x i8] c"{text}", align 1')
    e.module.declare(f"i32 @{CALL}(ptr, ptr)")
    done = e.emit(f"call i32 @{CALL}(ptr @host_description, ptr {block})")
    with e.branch(e.emit(f"icmp ne i32 {done}, 1")):
        e.line(f"store atomic i32 {statement.code}, ptr {e.status} monotonic, align 4")
