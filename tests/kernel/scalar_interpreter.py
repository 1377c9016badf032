"""The kernel level's meaning written down a second time: one iteration after the other, one number at a time.

Slow, and without any checks: what `graphc.kernel.interpret` computes many at a time has to have the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import evaluate as value_of
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Bind,
    Buffer,
    Check,
    Contract,
    If,
    Kernel,
    Literal,
    Load,
    Loop,
    Operand,
    Position,
    Reduce,
    Statement,
    Store,
    Value,
)
from graphc.kernel.scalar import evaluate

Number = Any
OPS = {"sum": "add", "prod": "mul", "max": "maximum", "min": "minimum", "any": "bitwise_or", "all": "bitwise_and"}


class ScalarInterpreter:
    def __init__(self, kernel: Kernel, arrays: Sequence[npt.NDArray[Any]], sizes: Mapping[str, int]) -> None:
        self.symbols = dict(sizes)
        self.values: dict[Value, Number] = {}
        self.arrays: dict[Buffer, npt.NDArray[Any]] = dict(zip(kernel.buffers, arrays))
        self.codes: set[int] = set()
        self.body(kernel.body)

    def body(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            self.statement(statement)

    def get(self, operand: Operand) -> Number:
        if isinstance(operand, Literal):
            return np.array(operand.value).astype(operand.dtype.numpy)[()]
        return self.values[operand]

    def statement(self, statement: Statement) -> None:
        match statement:
            case Apply(out, op, operands):
                self.values[out] = evaluate(op, out.dtype, *map(self.get, operands))[()]
            case Position(out, index):
                number = np.int64(value_of(index, self.symbols))
                self.values[out] = evaluate("cast", out.dtype, number)[()]
            case Bind(symbol, extent, operand):
                last = max(0, value_of(extent, self.symbols) - 1)
                self.symbols[symbol.name] = min(max(int(self.get(operand)), 0), last)
            case Load(out, buffer, index, predicate):
                holds = predicate is None or bool(self.get(predicate))
                zero = np.zeros((), buffer.dtype.numpy)[()]
                self.values[out] = self.arrays[buffer][value_of(index, self.symbols)] if holds else zero
            case Store(buffer, index, operand, predicate):
                if predicate is None or bool(self.get(predicate)):
                    self.arrays[buffer][value_of(index, self.symbols)] = self.get(operand)
            case Loop(symbol, extent, _, body):
                for k in range(value_of(extent, self.symbols)):
                    self.symbols[symbol.name] = k
                    self.body(body)
            case Reduce():
                self.values[statement.out] = self.reduce(statement)
            case Contract():
                self.contract(statement)
            case Allocate(buffer):
                self.arrays[buffer] = np.zeros(max(0, value_of(buffer.size, self.symbols)), buffer.dtype.numpy)
            case If(predicate, body):
                if self.get(predicate):
                    self.body(body)
            case Check(predicate, code):
                if not self.get(predicate):
                    self.codes.add(code)

    def reduce(self, statement: Reduce) -> Number:
        elements = []
        for k in range(value_of(statement.extent, self.symbols)):
            self.symbols[statement.symbol.name] = k
            self.body(statement.body)
            elements.append(self.get(statement.element))
        dtype = statement.element.dtype
        if statement.combiner.startswith("arg"):
            best = 0
            for k, x in enumerate(elements):
                a, b = float(x), float(elements[best])
                wins = a > b if statement.combiner == "argmax" else a < b
                best = k if b == b and (wins or a != a) else best
            return np.int64(best)
        identity = {"sum": 0, "prod": 1, "any": 0, "all": 1}.get(statement.combiner)
        if identity is None:
            sign = 1 if statement.combiner == "min" else -1
            if dtype.is_floating_point:
                identity = sign * float("inf")
            elif dtype.is_integer:
                limits = np.iinfo(dtype.numpy)
                identity = limits.max if sign > 0 else limits.min
            else:
                identity = sign > 0
        accumulators = [np.array(identity).astype(dtype.numpy)[()]] * 64
        op = OPS[statement.combiner]
        for k, x in enumerate(elements):
            accumulators[k % 64] = evaluate(op, dtype, accumulators[k % 64], x)[()]
        half = 32
        while half:
            for lane in range(half):
                accumulators[lane] = evaluate(op, dtype, accumulators[lane], accumulators[lane + half])[()]
            half //= 2
        return accumulators[0]

    def contract(self, statement: Contract) -> None:
        dtype = statement.acc.dtype
        rows, columns, depth = (
            value_of(size, self.symbols) for size in (statement.rows, statement.columns, statement.depth)
        )
        for m in range(rows):
            for n in range(columns):
                total = zero = np.zeros((), dtype.numpy)[()]
                for start in range(0, depth, 256):
                    block = zero
                    for k in range(start, min(depth, start + 256)):
                        self.symbols.update({statement.m.name: m, statement.n.name: n, statement.k.name: k})
                        sides = []
                        for panel in (statement.left, statement.right):
                            self.body(panel.body)
                            sides.append(evaluate("cast", dtype, self.get(panel.element))[()])
                        if dtype.is_floating_point:
                            block = evaluate("fma", dtype, *sides, block)[()]
                        else:
                            block = evaluate("add", dtype, block, evaluate("mul", dtype, *sides)[()])[()]
                    total = evaluate("add", dtype, total, block)[()] if start else block
                self.values[statement.acc] = total
                self.symbols.update({statement.m.name: m, statement.n.name: n})
                self.body(statement.epilogue)
