"""A kernel as LLVM IR for a CPU: one function, called as `graphc.codegen.abi` says.

In: a kernel and a target. Out: the text of a module that defines the function. It asks for nothing from outside, but
that a call of the host goes through the symbol `graphc.kernel.host.CALL`.

    text = emit_kernel(kernel, native_target(), "add")
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.codegen.abi import status_slot, workspace_slot
from graphc.codegen.body import STRAIGHT, emit_body
from graphc.codegen.contract import emit_contract
from graphc.codegen.contract_plan import workspace_bytes
from graphc.codegen.emitter import Emitter, Module, Register
from graphc.codegen.host import emit_host_call
from graphc.codegen.loops import emit_loop
from graphc.codegen.reduce import emit_reduce
from graphc.codegen.scalar import BEYOND_BASE
from graphc.codegen.target import Target
from graphc.kernel.expand import expand
from graphc.kernel.ir import Contract, HostCall, Kernel, Loop, Reduce

HANDLERS: dict[type, Callable[..., None]] = {
    **STRAIGHT,
    Loop: emit_loop,
    Reduce: emit_reduce,
    Contract: emit_contract,
    HostCall: emit_host_call,
}


def emit_kernel(kernel: Kernel, target: Target, symbol: str) -> str:
    """The text of a module that defines the kernel as the function `symbol`."""
    module = Module(target)
    add_kernel(module, kernel, symbol)
    return module.text


def add_kernel(module: Module, kernel: Kernel, symbol: str) -> None:
    """Define the kernel's function in a module."""
    workspace = workspace_bytes(kernel, module.target)
    e = Emitter(module, symbol, "ptr %block, i64 %thread, i64 %threads", handlers=HANDLERS)
    e.thread, e.threads = "%thread", "%threads"
    for slot, buffer in enumerate(kernel.buffers):
        e.buffers[buffer] = Register(_slot(e, "ptr", slot), "ptr", 1, 0)
    for slot, size in enumerate(kernel.sizes, len(kernel.buffers)):
        e.bind(size, _slot(e, "i64", slot))
    e.status = _slot(e, "ptr", status_slot(kernel))
    if workspace:
        offset = e.emit(f"mul i64 %thread, {workspace}")
        e.workspace = e.emit(f"getelementptr i8, ptr {_slot(e, 'ptr', workspace_slot(kernel))}, i64 {offset}")
    emit_body(e, expand(kernel, native=BEYOND_BASE).body)
    e.finish()


def _slot(e: Emitter, type_: str, slot: int) -> str:
    return e.emit(f"load {type_}, ptr {e.emit(f'getelementptr i64, ptr %block, i64 {slot}')}, align 8")
