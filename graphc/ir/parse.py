"""Read a graph back from its text.

In: text as `print_graph` writes it; line breaks mean nothing, except that a comment `# file.py:12` behind a node gives
its location. The type of a node may be left out; where it stands it is compared with what the op's type rule says.
Out: the graph, or a ParseError with line and column, never another exception.

>>> from graphc.ir.text import print_graph
>>> print(print_graph(parse_graph("graph same(%x: f32[n]) where n in 1..8 { return %x }")), end="")
graph same(%x: f32[n]) where n in 1..8 {
  return %x
}
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Mapping
from typing import Final

from graphc.ir.attribute import Array, Attribute
from graphc.ir.dense import Element, from_base64, from_elements
from graphc.ir.dim import Size
from graphc.ir.dtype import Kind
from graphc.ir.errors import GraphcError, ParseError
from graphc.ir.graph import INPUT, Graph, Node, make, make_input
from graphc.ir.location import Location, using
from graphc.ir.op import Op, all_ops, find_op
from graphc.ir.scan import MAX_NESTING, Scanner, Token, is_dtype_name
from graphc.ir.type import TensorType, problem_of

_COMMENT: Final = re.compile(r"# *([^#\s](?:[^#]*[^#\s])?):([0-9]{1,9})\s*")
_WORDS: Final[Mapping[str, Attribute]] = {"true": True, "false": False, "none": None, "inf": math.inf, "nan": math.nan}


def parse_graph(text: str) -> Graph:
    """The graph that the text describes; raises ParseError."""
    scanner = Scanner(text)
    with using(None):  # a node without a comment has no location: this line isn't the user's
        graph = _Reader(scanner, 0).graph()
    if scanner.token.kind != "end":
        raise scanner.unexpected("the end of the text: it holds one graph")
    return graph


class _Reader:
    """Reads one graph. The readers of bodies share the scanner, and so the sizes it knows."""

    def __init__(self, scanner: Scanner, depth: int) -> None:
        self.scanner = scanner
        self.depth = depth
        self.values: dict[str, Node] = {}

    def graph(self) -> Graph:
        scanner = self.scanner
        if self.depth > MAX_NESTING:
            raise scanner.error(f"bodies nest deeper than {MAX_NESTING} levels")
        scanner.expect("graph")
        name = scanner.name("the name of the graph")
        inputs = self._head()
        scanner.expect("{")
        while scanner.token.kind == "value":
            self._node()
        scanner.expect("return")
        outputs: list[Node] = []
        while scanner.token.kind == "value":
            token = scanner.token
            output = self._operand()
            if not isinstance(output.type, TensorType):
                raise scanner.error(f"{token.text} is a tuple: only tensors are returned", token)
            outputs.append(output)
            if not scanner.accept(","):
                break
        if not scanner.at("}"):
            raise scanner.unexpected("'}' or a value such as %0")
        scanner.take()
        return Graph(name, inputs, tuple(outputs))

    def _head(self) -> tuple[Node, ...]:
        """The inputs, and what follows `where`, which has to be read first: the inputs' types use it."""
        scanner = self.scanner
        opening = scanner.position
        scanner.expect("(")
        closing = scanner.closing.get(opening, opening)
        behind = closing + 1
        if self.depth == 0 and scanner.tokens[behind].text == "where":
            scanner.position = behind
            scanner.declarations()
            behind, scanner.position = scanner.position, opening + 1
        scanner.declares = self.depth == 0
        inputs: list[Node] = []
        while not scanner.at(")"):
            inputs.append(self._input())
            if not scanner.accept(",") and not scanner.at(")"):
                raise scanner.unexpected("',' or ')'")
        scanner.declares = False
        scanner.position = behind
        return tuple(inputs)

    def _input(self) -> Node:
        scanner = self.scanner
        token = scanner.token
        if token.kind != "value":
            raise scanner.unexpected("an input such as %x")
        scanner.take()
        name = scanner.unquote(token, 1) if token.text.startswith('%"') else token.text[1:].partition("@")[0]
        scanner.expect(":")
        type = scanner.tensor_type()
        if scanner.at(","):  # the comment is behind the comma
            location = self._location(scanner.position)
        else:
            location = self._location(scanner.position - 1)
        return self._define(token, make_input(name, type, location))

    def _node(self) -> None:
        scanner = self.scanner
        target = scanner.take()
        scanner.expect("=")
        op_token = scanner.token
        op_name = scanner.name("an op")
        try:
            op = find_op(op_name)
        except KeyError:
            hint = scanner.suggest(op_name, [op.name for op in all_ops()])
            raise scanner.error(f"there is no op {op_name!r}", op_token, hint) from None
        if op is INPUT:
            raise scanner.error("inputs stand in the head of the graph", op_token)
        scanner.expect("(")
        operands: list[Node] = []
        while not scanner.accept(")"):
            if operands and not scanner.accept(","):
                raise scanner.unexpected("',' or ')'")
            operands.append(self._operand())
        attributes = self._attributes()
        type_token = scanner.tokens[min(scanner.position + 1, len(scanner.tokens) - 1)]
        written = scanner.type() if scanner.accept(":") else None
        node = self._make(op, tuple(operands), attributes, op_token)
        if written is not None and written != node.type:
            raise scanner.error(f"{op.name} gives {node.type} here, the text says {written}", type_token)
        self._define(target, node)

    def _make(self, op: Op, operands: tuple[Node, ...], attributes: dict[str, Attribute], token: Token) -> Node:
        scanner = self.scanner
        location = self._location(scanner.position - 1)
        problem, hint = _misfit(op, len(operands), attributes)
        if problem is not None:
            raise scanner.error(problem, token, hint)
        try:
            with using(location):
                node = make(op, operands, attributes)
            reason = problem_of(node.type)
        except GraphcError as error:
            raise scanner.error(error.message, token, error.hint) from error
        except Exception as error:
            # A type rule takes its attributes to be of the right kind, and fails as it may where they are not.
            reason = str(error) or type(error).__name__
        if reason is not None:
            raise scanner.error(f"{op.name} does not take these operands and attributes: {reason}", token)
        return node

    def _define(self, token: Token, node: Node) -> Node:
        if token.text in self.values:
            raise self.scanner.error(f"{token.text} is defined twice", token)
        self.values[token.text] = node
        return node

    def _operand(self) -> Node:
        scanner = self.scanner
        if scanner.token.kind != "value":
            raise scanner.unexpected("a value such as %0")
        token = scanner.take()
        if token.text not in self.values:
            hint = scanner.suggest(token.text, self.values)
            raise scanner.error(f"{token.text} is not defined above", token, hint)
        return self.values[token.text]

    def _location(self, index: int) -> Location | None:
        """What the comment behind the token of this index says."""
        match = _COMMENT.fullmatch(self.scanner.comments.get(index, ""))
        return Location(match[1], int(match[2])) if match else None

    def _attributes(self) -> dict[str, Attribute]:
        scanner = self.scanner
        attributes: dict[str, Attribute] = {}
        if not scanner.accept("{"):
            return attributes
        while not scanner.accept("}"):
            if attributes and not scanner.accept(","):
                raise scanner.unexpected("',' or '}'")
            token = scanner.token
            name = scanner.name("the name of an attribute")
            if name in attributes:
                raise scanner.error(f"the attribute {name!r} is given twice", token)
            scanner.expect("=")
            attributes[name] = self._value(0)
        return attributes

    def _value(self, depth: int) -> Attribute:
        scanner = self.scanner
        token = scanner.token
        if token.kind == "string":
            return scanner.string()
        if token.kind in ("float", "int") or scanner.at("-"):
            return self._number()
        if scanner.at("(") and not self._is_size():
            return self._tuple(depth)
        if token.kind == "name":
            if token.text in _WORDS:
                scanner.take()
                return _WORDS[token.text]
            if is_dtype_name(token.text):
                return scanner.dtype()
            if token.text == "dense":
                return self._dense()
            if token.text == "graph":
                return _Reader(scanner, self.depth + 1).graph()
        if token.kind != "name" and not scanner.at("("):
            raise scanner.unexpected("a value")
        return scanner.size()

    def _is_size(self) -> bool:
        """Whether the parenthesis that opens here is part of an expression: an operator follows where it closes."""
        scanner = self.scanner
        closing = scanner.closing.get(scanner.position)
        behind = scanner.tokens[closing + 1] if closing is not None else None
        return behind is not None and behind.kind == "sign" and behind.text in ("+", "-", "*", "//", "%")

    def _tuple(self, depth: int) -> tuple[Attribute, ...]:
        scanner = self.scanner
        if depth >= MAX_NESTING:
            raise scanner.error(f"tuples nest deeper than {MAX_NESTING} levels")
        scanner.expect("(")
        elements: list[Attribute] = []
        while not scanner.accept(")"):
            if elements and not scanner.accept(","):
                raise scanner.unexpected("',' or ')'")
            elements.append(self._value(depth + 1))
        return tuple(elements)

    def _number(self) -> Size | float:
        """A float, or a size that begins with a number or a sign."""
        scanner = self.scanner
        start = scanner.position
        is_negative = scanner.accept("-")
        token = scanner.token
        if token.kind == "float" or (token.kind == "name" and token.text in ("inf", "nan")):
            value = float(scanner.take().text)
            return -value if is_negative else value
        scanner.position = start
        return scanner.size()

    def _dense(self) -> Array:
        scanner = self.scanner
        start = scanner.take()
        scanner.expect("<")
        type = scanner.tensor_type()
        shape = tuple(size for size in type.shape if isinstance(size, int))
        if len(shape) != type.rank:
            raise scanner.error("the sizes of a constant array are numbers", start)
        scanner.expect(":")
        try:
            if scanner.token.kind == "string":
                array = from_base64(shape, type.dtype, scanner.string())
            else:
                elements: list[Element] = []
                while not scanner.at(">"):
                    elements.append(self._element(type.dtype.kind))
                array = from_elements(shape, type.dtype, elements)
        except ParseError:
            raise
        except ValueError as error:
            raise scanner.error(str(error), start) from None
        scanner.expect(">")
        return array

    def _element(self, kind: Kind) -> Element:
        scanner = self.scanner
        if kind is Kind.BOOL:
            if not scanner.at("true", "false"):
                raise scanner.unexpected("true, false or '>'")
            return scanner.take().text == "true"
        if kind is Kind.COMPLEX:
            scanner.expect("(")
            real = self._real()
            scanner.expect(",")
            imaginary = self._real()
            scanner.expect(")")
            return complex(real, imaginary)
        if kind is Kind.FLOAT:
            return self._real()
        is_negative = scanner.accept("-")
        return -scanner.integer() if is_negative else scanner.integer()

    def _real(self) -> float:
        scanner = self.scanner
        is_negative = scanner.accept("-")
        token = scanner.token
        if token.kind == "int":
            value = float(scanner.integer())
        elif token.kind == "float" or scanner.at("inf", "nan"):
            value = float(scanner.take().text)
        else:
            raise scanner.unexpected("a number or '>'")
        return -value if is_negative else value


def _misfit(op: Op, count: int, attributes: Mapping[str, Attribute]) -> tuple[str | None, str | None]:
    """What is wrong with the number of operands or the names of attributes, and a hint; None where nothing is."""
    parameters = _parameters(op)
    kinds = inspect.Parameter
    keywords = {p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY}
    given = {name for name, _ in op.defaults} | attributes.keys()
    # A rule may take an attribute by position too: such a parameter is no operand.
    operands = [p for p in parameters if p.kind in _BY_POSITION and p.name not in given]
    any_number = any(p.kind is kinds.VAR_POSITIONAL for p in parameters)
    if count != len(operands) and not (any_number and count > len(operands)):
        return f"{op.name} takes {'at least ' if any_number else ''}{len(operands)} operands, {count} given", None
    names = keywords | {p.name for p in parameters if p.kind in _BY_POSITION}
    for name in attributes:
        if name not in names and not any(p.kind is kinds.VAR_KEYWORD for p in parameters):
            return f"{op.name} has no attribute {name!r}", f"its attributes: {', '.join(sorted(keywords)) or 'none'}"
    for p in parameters:
        if p.name in keywords and p.name not in given and p.default is kinds.empty:
            return f"{op.name} needs the attribute {p.name!r}", None
    return None, None


_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@functools.cache
def _parameters(op: Op) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(op.type_rule).parameters.values())
