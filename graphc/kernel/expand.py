"""Replaces every scalar op that is no base op by the base ops of its formula; the last pass before code generation.

In: a kernel with any ops of `graphc.kernel.scalar`. Out: the same kernel with base ops alone, of which none computes in
float16, bfloat16 or (but for logic and comparison) on bools, and no shift has an amount of another dtype. Literals are
folded, and what is computed twice in a body or around it is computed once: sin(x) and cos(x) share their reduction.

    y = sigmoid x    becomes    y_1 = abs x;  y_2 = neg y_1;  ...  y = div y_30 y_31

A formula is run once per op and operand dtypes; each use copies the recorded steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeAlias, cast

import numpy as np

from graphc.ir.dtype import DType, bf16, bool_, f16, f32, i8, i16, i32, i64, u8, u16, u32, u64
from graphc.ir.lowering import Scalar
from graphc.kernel.formula import FORMULAS
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Barrier,
    Bind,
    Check,
    Choose,
    CommitCopies,
    Contract,
    CopyAsync,
    FenceShared,
    HostCall,
    If,
    Kernel,
    Literal,
    Load,
    LoadMatrix,
    Loop,
    MultiplyMatrices,
    MultiplyShared,
    Operand,
    Panel,
    Position,
    Reduce,
    Shuffle,
    Statement,
    Store,
    Value,
    WaitCopies,
    WaitProducts,
)
from graphc.kernel.scalar import SCALARS, evaluate, result_dtype

_HALF: Final = (f16, bf16)
_ON_BOOL: Final = {"add": "bitwise_or", "maximum": "bitwise_or", "mul": "bitwise_and", "minimum": "bitwise_and"}
_UNSIGNED: Final = {i8: u8, i16: u16, i32: u32, i64: u64}


def expand(kernel: Kernel, *, native: frozenset[str] = frozenset()) -> Kernel:
    """The kernel in base ops and the ops named in `native`; the same object if it is that already."""
    body = _Expander(native).body(kernel.body)
    return kernel if body is kernel.body else replace(kernel, body=body)


@dataclass(frozen=True, slots=True)
class Step:
    """A base op of a recorded formula; an operand is a literal, or the number of an operand or step."""

    op: str
    dtype: DType
    operands: tuple[int | Literal, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A formula run once: operands are numbered from 0, steps on from them."""

    steps: tuple[Step, ...]
    result: int | Literal


@lru_cache(maxsize=1024)
def record(op: str, operands: tuple[DType, ...], out: DType, native: frozenset[str] = frozenset()) -> Recorded:
    """The steps of an op on operands of these dtypes."""
    recorder = _Recorder(len(operands), native)
    result = recorder.apply(op, *(_Numbered(i, d) for i, d in enumerate(operands)), dtype=out)
    return _drop_unused(Recorded(tuple(recorder.steps), _number(result)), len(operands))


def _drop_unused(recorded: Recorded, operands: int) -> Recorded:
    """Without the steps on which the result doesn't depend."""
    needed = {recorded.result}
    for number, step in reversed(list(enumerate(recorded.steps, operands))):
        if number in needed:
            needed.update(x for x in step.operands if isinstance(x, int))
    renumbered: dict[int, int] = {number: number for number in range(operands)}
    steps: list[Step] = []
    for number, step in enumerate(recorded.steps, operands):
        if number in needed:
            renumbered[number] = operands + len(steps)
            inputs = tuple([renumbered[x] if isinstance(x, int) else x for x in step.operands])
            steps.append(Step(step.op, step.dtype, inputs))
    result = recorded.result
    return Recorded(tuple(steps), renumbered[result] if isinstance(result, int) else result)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A scalar that is being recorded."""

    number: int
    dtype: DType


_Known: TypeAlias = "_Numbered | Literal"


def _number(x: _Known) -> int | Literal:
    return x if isinstance(x, Literal) else x.number


class _Recorder:
    """The builder that formulas are recorded with."""

    def __init__(self, operands: int, native: frozenset[str]) -> None:
        self.steps: list[Step] = []
        self._operands = operands
        self._native = native
        self._known: dict[Step, _Numbered] = {}

    def constant(self, value: float, dtype: DType) -> Literal:
        """A literal, rounded to the dtype."""
        return _literal(np.asarray(value).astype(dtype.numpy), dtype)

    def cast(self, x: Scalar, dtype: DType) -> _Known:
        """The value converted."""
        return self.apply("cast", x, dtype=dtype)

    def select(self, condition: Scalar, a: Scalar, b: Scalar) -> _Known:
        """`a` where the condition holds, else `b`."""
        return self.apply("select", condition, a, b)

    def apply(self, op: str, *operands: Scalar, dtype: DType | None = None) -> _Known:
        """A scalar op in base ops."""
        known = cast("tuple[_Known, ...]", operands)
        out = result_dtype(op, tuple(x.dtype for x in known), dtype)
        if op == "cast" and out is known[0].dtype:
            return known[0]
        literals = [x for x in known if isinstance(x, Literal)]
        if len(literals) == len(known):
            return _literal(evaluate(op, out, *(np.asarray(x.value).astype(x.dtype.numpy) for x in literals)), out)
        if not SCALARS[op].is_base and op not in self._native:
            return cast("_Known", FORMULAS[op](self, *known))
        if op == "cast" and (out in _HALF or known[0].dtype in _HALF):
            if out is not f32 and known[0].dtype is not f32:
                return self.cast(self.cast(known[0], f32), out)
        elif op not in ("select", "bitcast") and any(x.dtype in _HALF for x in known):
            result = self.apply(op, *(self.cast(x, f32) for x in known))
            return self.cast(result, out)
        elif op in _ON_BOOL and out is bool_:
            op = _ON_BOOL[op]
        elif op in ("shift_left", "shift_right") and known[1].dtype is not out:
            known = (known[0], self._shift_amount(known[1], out))
        step = Step(op, out, tuple(_number(x) for x in known))
        if step not in self._known:
            self._known[step] = _Numbered(self._operands + len(self.steps), out)
            self.steps.append(step)
        return self._known[step]

    def _shift_amount(self, amount: _Known, dtype: DType) -> _Known:
        """The amount in another dtype, all that reach beyond its width as that width."""
        unsigned = _UNSIGNED.get(amount.dtype)
        if unsigned is not None:
            amount = self.apply("bitcast", amount, dtype=unsigned)
        return self.cast(self.apply("minimum", amount, self.constant(dtype.bits, amount.dtype)), dtype)


def _literal(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], dtype: DType) -> Literal:
    value = array[()]
    if dtype is bool_:
        return Literal(bool(value), dtype)
    return Literal(int(value) if dtype.is_integer else float(value), dtype)


class _Expander:
    """Walks a kernel's bodies; recursion is as deep as the nest of loops."""

    def __init__(self, native: frozenset[str]) -> None:
        self._native = native
        self._replaced: dict[Value, Operand] = {}
        self._known: dict[tuple[str, DType, tuple[Operand, ...]], Operand] = {}
        self._learned: list[tuple[str, DType, tuple[Operand, ...]]] = []

    def body(self, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """The statements of a body, the same object if nothing changed."""
        result: list[Statement] = []
        with self._scope():
            for statement in statements:
                if isinstance(statement, Apply):
                    self._apply(statement, result)
                else:
                    result.append(self._statement(statement))
        is_same = len(result) == len(statements) and all(a is b for a, b in zip(result, statements))
        return statements if is_same else tuple(result)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """Forget at the end what was computed inside."""
        start = len(self._learned)
        yield
        for key in self._learned[start:]:
            del self._known[key]
        del self._learned[start:]

    def _panel(self, panel: Panel) -> Panel:
        body = self.body(panel.body)
        element = self._operand(panel.element)
        return panel if body is panel.body and element is panel.element else Panel(body, element)

    def _operand(self, operand: Operand) -> Operand:
        return self._replaced.get(operand, operand) if isinstance(operand, Value) else operand

    def _operands(self, operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
        """The operands, the same object if none is replaced."""
        replaced = tuple(map(self._operand, operands))
        return operands if all(a is b for a, b in zip(replaced, operands)) else replaced

    def _optional(self, operand: Operand | None) -> Operand | None:
        return None if operand is None else self._operand(operand)

    def _statement(self, statement: Statement) -> Statement:
        """A statement that is no Apply, with its operands replaced and its bodies expanded."""
        changes: dict[str, object]
        match statement:
            case Position() | Allocate() | Apply() | HostCall():
                return statement
            case Barrier() | CommitCopies() | WaitCopies() | LoadMatrix():
                return statement
            case MultiplyShared() | WaitProducts() | FenceShared():
                return statement
            case Shuffle(operand=operand, lane=lane):
                changes = {"operand": self._operand(operand), "lane": self._operand(lane)}
            case CopyAsync(predicate=predicate):
                changes = {"predicate": self._optional(predicate)}
            case MultiplyMatrices(left=left, right=right, addend=addend):
                changes = {"left": self._operands(left), "right": self._operands(right)}
                changes["addend"] = self._operands(addend)
            case Bind(operand=operand):
                changes = {"operand": self._operand(operand)}
            case Load(predicate=predicate):
                changes = {"predicate": self._optional(predicate)}
            case Store(operand=operand, predicate=predicate):
                changes = {"operand": self._operand(operand), "predicate": self._optional(predicate)}
            case Check(predicate=predicate):
                changes = {"predicate": self._operand(predicate)}
            case Loop(body=body):
                changes = {"body": self.body(body)}
            case If(predicate=predicate, body=body):
                changes = {"predicate": self._operand(predicate), "body": self.body(body)}
            case Choose(operand=operand, body=body):
                changes = {"operand": self._operand(operand), "body": self.body(body)}
            case Reduce(body=body, element=element):
                changes = {"body": self.body(body), "element": self._operand(element)}
            case Contract(left=a, right=b, epilogue=epilogue):
                changes = {"left": self._panel(a), "right": self._panel(b), "epilogue": self.body(epilogue)}
        if all(getattr(statement, name) is new for name, new in changes.items()):
            return statement
        return replace(statement, **changes)  # type: ignore[arg-type]  # each name is a field of that statement

    def _apply(self, statement: Apply, result: list[Statement]) -> None:
        operands = tuple(map(self._operand, statement.operands))
        recorded = record(statement.op, tuple(x.dtype for x in operands), statement.out.dtype, self._native)
        values = list(operands)
        last = len(operands) + len(recorded.steps) - 1
        for step in recorded.steps:
            inputs = tuple([values[x] if isinstance(x, int) else x for x in step.operands])
            values.append(
                self._emit(step, inputs, statement, len(values), recorded.result == len(values) == last, result)
            )
        self._replaced[statement.out] = (
            recorded.result if isinstance(recorded.result, Literal) else values[recorded.result]
        )

    def _emit(
        self,
        step: Step,
        inputs: tuple[Operand, ...],
        source: Apply,
        number: int,
        is_result: bool,
        result: list[Statement],
    ) -> Operand:
        key = (step.op, step.dtype, inputs)
        known = self._known.get(key)
        if known is not None:
            return known
        literals = [x for x in inputs if isinstance(x, Literal)]
        if len(literals) == len(inputs):
            arrays = (np.asarray(x.value).astype(x.dtype.numpy) for x in literals)
            return _literal(evaluate(step.op, step.dtype, *arrays), step.dtype)
        out = source.out if is_result else Value(f"{source.out.name}_{number}", step.dtype)
        is_unchanged = out is source.out and step.op == source.op and inputs == source.operands
        result.append(source if is_unchanged else Apply(out, step.op, inputs))
        self._known[key] = out
        self._learned.append(key)
        return out
