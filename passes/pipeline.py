"""Passes by name, and pipelines of them that print and parse.

Level: tensor graph to tensor graph. A pass is a pure function from a valid graph to a valid graph, the same object if
nothing changed; its options are its keyword-only parameters. A pipeline is an ordered tuple of passes with options:

    >>> print(parse_pipeline("cse, dce"))
    cse,dce

A pass of one's own:

    @register("name")
    def rename(graph: Graph, *, name: str = "f") -> Graph:
        \"\"\"Give the graph another name.\"\"\"
        return Graph(name, graph.inputs, graph.outputs)

    parse_pipeline("cse,name{name=g}").run(graph)
"""

from __future__ import annotations

import inspect
import re
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Literal, Protocol, TypeAlias, TypeVar

from graphc.ir.errors import ArgumentError, ParseError, nearest
from graphc.ir.graph import Graph

OptionValue: TypeAlias = "bool | int | float | str | None"
PassFunction = TypeVar("PassFunction", bound=Callable[..., Graph])


@dataclass(frozen=True, slots=True)
class Option:
    """A keyword of a pass: its name, its default, the types it takes, or the words if only those are allowed."""

    name: str
    default: OptionValue
    types: tuple[type, ...]
    choices: tuple[OptionValue, ...] = ()

    def describe(self) -> str:
        """What it takes, in words."""
        if self.choices:
            return " or ".join(format_value(choice) for choice in self.choices)
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", NoneType: "none"}
        return " or ".join(words[each] for each in self.types)

    def takes(self, value: OptionValue) -> bool:
        """Whether the value is one that it takes."""
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, str) and '"' in value:  # the text form has no way to write it
            return False
        return type(value) in self.types or (type(value) is int and float in self.types)

    def __str__(self) -> str:
        return f"{self.name}={format_value(self.default)}"


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """A graph-to-graph function with its name, a line about it, and its options."""

    name: str
    summary: str
    function: Callable[..., Graph]
    options: tuple[Option, ...] = ()

    def option(self, name: str) -> Option | None:
        """The option of this name, if there is one."""
        return next((option for option in self.options if option.name == name), None)


@dataclass(frozen=True, slots=True)
class Step:
    """A pass in a pipeline, with the options that differ from their defaults, by name."""

    pass_: Pass
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __call__(self, graph: Graph) -> Graph:
        """Apply the pass."""
        result = self.pass_.function(graph, **dict(self.options))
        if not isinstance(result, Graph):
            raise ArgumentError(
                f"the pass {self.pass_.name} returned {type(result).__name__}",
                hint="a pass returns a graph: the one it was given where nothing changed",
            )
        return result

    def __str__(self) -> str:
        if not self.options:
            return self.pass_.name
        return f"{self.pass_.name}{{{','.join(f'{name}={format_value(value)}' for name, value in self.options)}}}"


@dataclass(frozen=True, slots=True)
class Applied:
    """One pass that ran: its place (from 1) in the pipeline, the graphs before and after, and the seconds it took."""

    number: int
    step: Step
    before: Graph
    after: Graph
    seconds: float


class Instrument(Protocol):
    """Called after each pass of a pipeline; see `graphc.passes.instrument`."""

    def __call__(self, applied: Applied) -> None:
        """Look at what the pass did."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Passes in order. Its text form parses back to it."""

    steps: tuple[Step, ...]

    def run(self, graph: Graph, instruments: Sequence[Instrument] = ()) -> Graph:
        """The graph after all passes; each instrument sees each pass."""
        for number, step in enumerate(self.steps, start=1):
            before, start = graph, time.perf_counter()
            graph = step(graph)
            seconds = time.perf_counter() - start
            for instrument in instruments:
                instrument(Applied(number, step, before, graph, seconds))
        return graph

    def __add__(self, other: Pipeline) -> Pipeline:
        return Pipeline(self.steps + other.steps)

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))


_PASSES: dict[str, Pass] = {}


def register(name: str) -> Callable[[PassFunction], PassFunction]:
    """Make a function from graph to graph known as a pass of this name.

    Its options are its keyword-only parameters, each annotated (bool, int, float, str, a Literal of such, or None) and
    with a default; the first line of its docstring says what it does.
    """
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
        raise ArgumentError(f"{name!r} can't name a pass", hint="use small letters, digits and underscores")
    if name in _PASSES:
        raise ArgumentError(f"a pass called {name!r} exists already", hint="choose another name")

    def add(function: PassFunction) -> PassFunction:
        summary = (inspect.getdoc(function) or "").partition("\n")[0]
        if not summary:
            raise ArgumentError(f"the pass {name!r} has no docstring", hint="say in one line what it does")
        _PASSES[name] = Pass(name, summary, function, tuple(_options(name, function)))
        return function

    return add


def unregister(name: str) -> None:
    """Forget a pass, so that its name is free again."""
    del _PASSES[name]


def find_pass(name: str) -> Pass:
    """The pass of this name; raises ArgumentError with the nearest name if there is none."""
    if name not in _PASSES:
        raise ArgumentError(f"there is no pass called {name!r}", hint=_nearest(name, _PASSES))
    return _PASSES[name]


def all_passes() -> Iterator[Pass]:
    """Every pass, by name."""
    return (found for _, found in sorted(_PASSES.items()))


def make_step(name: str, **options: OptionValue) -> Step:
    """A step of a pipeline; raises ArgumentError if the pass doesn't have such options."""
    found = find_pass(name)
    kept: dict[str, OptionValue] = {}
    for key, value in options.items():
        option = found.option(key)
        if option is None:
            names = [each.name for each in found.options]
            raise ArgumentError(f"the pass {name} has no option {key!r}", hint=_nearest(key, names))
        if not option.takes(value):
            raise ArgumentError(
                f"the pass {name} can't take {key}={format_value(value)}", hint=f"{key} takes {option.describe()}"
            )
        if value != option.default or type(value) is not type(option.default):
            kept[key] = value
    order = [option.name for option in found.options]
    return Step(found, tuple(sorted(kept.items(), key=lambda item: order.index(item[0]))))


def parse_pipeline(text: str) -> Pipeline:
    """The pipeline that `text` stands for: `simplify,decompose{complex=true},cse`. Raises ParseError."""
    return Pipeline(tuple(_Parser(text).steps()))


def as_pipeline(passes: Pipeline | str | Iterable[str]) -> Pipeline:
    """A pipeline as it is, from its text, or from the texts of its steps."""
    if isinstance(passes, Pipeline):
        return passes
    return parse_pipeline(passes if isinstance(passes, str) else ",".join(passes))


def format_value(value: OptionValue) -> str:
    """The text of an option's value."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) and value not in _CONSTANTS else f'"{value}"'
    return str(value)


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(
    r"""\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<number>[+-]?[\d.][\w.+-]*)|"(?P<text>[^"]*)"|(?P<mark>[{},=]))"""
)
_CONSTANTS: dict[str, OptionValue] = {"true": True, "false": False, "none": None}


class _Parser:
    """Reads a pipeline's text; every error names the column."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._start = 0

    def steps(self) -> Iterator[Step]:
        if not self._text.strip():
            return
        while True:
            yield self._step()
            kind, value = self._next()
            if kind == "end":
                return
            if (kind, value) != ("mark", ","):
                raise self._error(f"a comma or the end was expected, not {value!r}")

    def _step(self) -> Step:
        kind, name = self._next()
        if kind != "word":
            raise self._error("a pass's name was expected" + (f", not {name!r}" if name else ""))
        start = self._start
        options = self._options() if self._text[self._at :].lstrip().startswith("{") else {}
        try:
            return make_step(name, **options)
        except ArgumentError as error:
            self._start = start
            raise self._error(error.message, error.hint) from None

    def _options(self) -> dict[str, OptionValue]:
        self._next()
        options: dict[str, OptionValue] = {}
        while True:
            kind, name = self._next()
            if (kind, name) == ("mark", "}") and not options:
                return options
            if kind != "word":
                raise self._error(f"an option's name was expected, not {name!r}")
            if name in options:
                raise self._error(f"the option {name} is given twice")
            if self._next() != ("mark", "="):
                raise self._error(f"'=' was expected after {name}", f"write {name}=value")
            options[name] = self._value(name)
            kind, mark = self._next()
            if (kind, mark) == ("mark", "}"):
                return options
            if (kind, mark) != ("mark", ","):
                raise self._error(f"',' or '}}' was expected after the option {name}")

    def _value(self, name: str) -> OptionValue:
        kind, value = self._next()
        if kind == "word":
            return _CONSTANTS.get(value, value)
        if kind == "text":
            return value
        if kind == "number":
            for convert in (int, float):
                try:
                    return convert(value)
                except ValueError:
                    pass
        raise self._error(f"a value was expected for {name}" + (f", not {value!r}" if value else ""))

    def _next(self) -> tuple[str, str]:
        rest = self._text[self._at :]
        self._start = self._at + len(rest) - len(rest.lstrip())
        if not rest.strip():
            return "end", ""
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise self._error(f"{self._text[self._start]!r} means nothing here")
        self._at = found.end()
        assert found.lastgroup is not None
        return found.lastgroup, found[found.lastgroup]

    def _error(self, message: str, hint: str | None = None) -> ParseError:
        return ParseError(f"pipeline {self._text!r}, column {self._start + 1}: {message}", hint=hint)


def _options(name: str, function: Callable[..., Graph]) -> Iterator[Option]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if not parameters:
        return
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # an annotation names what only a type checker imports: go by the defaults
        hints = {}
    for parameter in parameters:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.default is inspect.Parameter.empty:
            raise ArgumentError(
                f"the pass {name!r} has the parameter {parameter.name!r}, which is no option",
                hint="write the options after '*', each with a default",
            )
        hint = hints.get(parameter.name, type(parameter.default))
        parts = typing.get_args(hint) or (hint,)
        choices = parts if typing.get_origin(hint) is Literal else ()
        types = tuple(dict.fromkeys(type(choice) for choice in choices)) or parts
        if not all(each in (bool, int, float, str, NoneType) for each in types):
            raise ArgumentError(
                f"the option {parameter.name!r} of the pass {name!r} has no type that text can give",
                hint="annotate it as bool, int, float, str, a Literal of such, or one of these or None",
            )
        yield Option(parameter.name, parameter.default, types, choices)


def _nearest(name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    close = nearest(name, known)
    if close is not None:
        return f"did you mean {close}?"
    return f"there are {', '.join(known)}" if known else "it has no options"
