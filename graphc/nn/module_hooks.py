"""What is called around a module's `forward` and its backward pass: hooks of one module, and of all.

In: callables. Out: handles that take them away again, and calls of modules in which they take part, in this order:
pre-hooks of all modules, of this one, `forward`, hooks of all modules, of this one.
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from graphc.eager.handle import RemovableHandle
from graphc.eager.tensor import Tensor
from graphc.nn.backward_hook import BackwardHook, hook_last_node
from graphc.nn.parts import Parts

Hook = Callable[..., Any]
Table = OrderedDict[int, Hook]
Marks = OrderedDict[int, bool]

global_backward_pre_hooks: Table = OrderedDict()
global_backward_hooks: Table = OrderedDict()
global_forward_pre_hooks: Table = OrderedDict()
global_forward_hooks: Table = OrderedDict()
global_forward_hooks_always_called: Marks = OrderedDict()
global_forward_hooks_with_kwargs: Marks = OrderedDict()
_full_backward: list[bool] = []
"""Whether the backward hooks of all modules are full ones; empty before the first."""


class Hooks(Parts):
    """Registers hooks, and calls `forward` among them."""

    forward: Callable[..., Any]

    _has_hooks: bool = False
    """Whether calls look for hooks: kept in the module from its first hook on, and here from the first of all."""
    _compiled_call_impl: Callable[..., Any] | None = None

    _backward_pre_hooks: Table
    _backward_hooks: Table
    _is_full_backward_hook: bool | None
    _forward_hooks: Table
    _forward_hooks_with_kwargs: Marks
    _forward_hooks_always_called: Marks
    _forward_pre_hooks: Table
    _forward_pre_hooks_with_kwargs: Marks

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns replaces the positional arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)`, which returns None or both.
        """
        marks = (self._forward_pre_hooks_with_kwargs,) if with_kwargs else ()
        return self._add(self._forward_pre_hooks, hook, prepend, (self._forward_pre_hooks_with_kwargs,), marks)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after `forward`; what it returns replaces the output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`; with `always_call` also where `forward` raised.
        """
        extra = (self._forward_hooks_with_kwargs, self._forward_hooks_always_called)
        marks = tuple(each for each, wanted in zip(extra, (with_kwargs, always_call)) if wanted)
        return self._add(self._forward_hooks, hook, prepend, extra, marks)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are there; a result replaces them."""
        return self._add(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are there.

        A result replaces `grad_input`.
        """
        self._mark_full(True)
        return self._add(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """A hook at the last node alone that `forward` makes; `register_full_backward_hook` sees all."""
        self._mark_full(False)
        return self._add(self._backward_hooks, hook, False)

    def _mark_full(self, is_full: bool) -> None:
        if self._is_full_backward_hook is (not is_full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. Please use only "
                "one of them."
            )
        self._is_full_backward_hook = is_full

    def _add(
        self, hooks: Table, hook: Hook, prepend: bool, extra: tuple[Marks, ...] = (), marks: tuple[Marks, ...] = ()
    ) -> RemovableHandle:
        handle = ModuleHandle(self, hooks, extra)
        hooks[handle.id] = hook
        for each in marks:
            each[handle.id] = True
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        self.__dict__["_has_hooks"] = True
        self._tell("hooks")
        return handle

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        if not self._find_hooks():
            return self.forward(*args, **kwargs)
        called: set[int] = set()
        """The hooks of those that are always called that have been."""
        result: Any = None
        try:
            args, kwargs = self._before_forward(args, kwargs)
            backward_hooks, last_node_hooks = self._get_backward_hooks()
            pre_hooks = [*global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]
            around = BackwardHook(self, backward_hooks, pre_hooks) if backward_hooks or pre_hooks else None
            if around is not None:
                args = around.setup_input_hook(args)
            result = self.forward(*args, **kwargs)
            for number, hook in (*global_forward_hooks.items(), *self._forward_hooks.items()):
                if self._is_always_called(number):
                    called.add(number)
                result = self._call_after(number, hook, args, kwargs, result)
            if around is not None:
                if not isinstance(result, tuple | Tensor):
                    warnings.warn(
                        "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                        f"received {type(result)}",
                        stacklevel=2,
                    )
                result = around.setup_output_hook(result)
            if last_node_hooks:
                hook_last_node(self, args, result, last_node_hooks)
        except Exception:
            self._call_always(called, args, kwargs, result)
            raise
        return result

    def _find_hooks(self) -> bool:
        """Whether there are hooks; where there are none calls don't look for them any more."""
        if (
            self._forward_pre_hooks
            or self._forward_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or global_forward_pre_hooks
            or global_forward_hooks
            or global_backward_hooks
            or global_backward_pre_hooks
        ):
            return True
        if self._compiled_call_impl is None:
            self.__dict__.pop("_has_hooks", None)
            Hooks._has_hooks = False
        return False

    def _before_forward(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments that the pre-hooks leave."""
        for number, hook in (*global_forward_pre_hooks.items(), *self._forward_pre_hooks.items()):
            if number in self._forward_pre_hooks_with_kwargs:
                returned = hook(self, args, kwargs)
                if returned is None:
                    continue
                if not (isinstance(returned, tuple) and len(returned) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {returned}."
                    )
                args, kwargs = returned
            else:
                returned = hook(self, args)
                if returned is not None:
                    args = returned if isinstance(returned, tuple) else (returned,)
        return args, kwargs

    def _get_backward_hooks(self) -> tuple[list[Hook], list[Hook]]:
        """The full backward hooks, and those of the last node."""
        of_all, own = list(global_backward_hooks.values()), list(self._backward_hooks.values())
        all_full = of_all if _full_backward == [True] else []
        own_full = own if self._is_full_backward_hook is True else []
        return [*all_full, *own_full], [*([] if all_full else of_all), *([] if own_full else own)]

    def _call_after(self, number: int, hook: Hook, args: Any, kwargs: Any, result: Any) -> Any:
        if number in self._forward_hooks_with_kwargs or number in global_forward_hooks_with_kwargs:
            returned = hook(self, args, kwargs, result)
        else:
            returned = hook(self, args, result)
        return result if returned is None else returned

    def _is_always_called(self, number: int) -> bool:
        return number in self._forward_hooks_always_called or number in global_forward_hooks_always_called

    def _call_always(self, called: set[int], args: Any, kwargs: Any, result: Any) -> None:
        """Call the hooks that are to be called although there was an error; their own errors become warnings."""
        for table, whose in ((global_forward_hooks, "global module"), (self._forward_hooks, "module")):
            for number, hook in list(table.items()):
                if number in called or not self._is_always_called(number):
                    continue
                try:
                    result = self._call_after(number, hook, args, kwargs, result)
                except Exception as error:
                    warnings.warn(
                        f"{whose} forward hook with ``always_call=True`` raised an exception that was silenced as "
                        f"another error was raised in forward: {error}",
                        stacklevel=2,
                    )


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, args)` before the `forward` of every module."""
    return _add_global(global_forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after the `forward` of every module."""
    extra = (global_forward_hooks_with_kwargs, global_forward_hooks_always_called)
    handle = _add_global(global_forward_hooks, hook, extra)
    for each, wanted in zip(extra, (with_kwargs, always_call)):
        if wanted:
            each[handle.id] = True
    return handle


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, grad_output)` when the gradients of any module's outputs are there."""
    return _add_global(global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` when the gradients of any module's inputs are there."""
    _mark_all_full(True)
    return _add_global(global_backward_hooks, hook)


def register_module_backward_hook(hook: Hook) -> RemovableHandle:
    """A hook at the last node alone of every module; `register_module_full_backward_hook` sees all."""
    _mark_all_full(False)
    return _add_global(global_backward_hooks, hook)


def _mark_all_full(is_full: bool) -> None:
    if _full_backward == [not is_full]:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module hook. Please use only "
            "one of them."
        )
    _full_backward[:] = [is_full]


def _add_global(hooks: Table, hook: Hook, extra: tuple[Marks, ...] = ()) -> RemovableHandle:
    handle = RemovableHandle(hooks, extra_dict=extra)
    hooks[handle.id] = hook
    Hooks._has_hooks = True
    return handle


class ModuleHandle(RemovableHandle):
    """The handle of a hook of one module, which tells who watches the module when the hook goes."""

    def __init__(self, module: Hooks, hooks: Table, extra: tuple[Marks, ...]) -> None:
        super().__init__(hooks, extra_dict=extra)
        self._module = weakref.ref(module)

    def remove(self) -> None:
        """Take the hook away, if it is still there."""
        super().remove()
        module = self._module()
        if module is not None:
            module._tell("hooks")

    def __getstate__(self) -> dict[str, Any]:
        module = self._module()
        if module is None:
            raise RuntimeError("You are trying to copy the handle of a hook of a dead Module!")
        return {**self.__dict__, "_module": module}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._module = weakref.ref(state["_module"])


class BoundHook:
    """A hook that gets its module first, without keeping the module alive; in copies it gets the copy."""

    def __init__(self, hook: Hook, module: Any) -> None:
        self.hook = hook
        self.module = weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {"hook": self.hook, "module": self.module()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["module"] is None:
            raise RuntimeError("You are trying to revive the hook of a dead Module!")
        self.hook, self.module = state["hook"], weakref.ref(state["module"])


def fresh_hooks() -> Iterator[tuple[str, Any]]:
    """The attributes of a module that has no hooks, in order."""
    yield "_backward_pre_hooks", OrderedDict()
    yield "_backward_hooks", OrderedDict()
    yield "_is_full_backward_hook", None
    yield "_forward_hooks", OrderedDict()
    yield "_forward_hooks_with_kwargs", OrderedDict()
    yield "_forward_hooks_always_called", OrderedDict()
    yield "_forward_pre_hooks", OrderedDict()
    yield "_forward_pre_hooks_with_kwargs", OrderedDict()
