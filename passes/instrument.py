"""Instruments: what looks at each pass of a pipeline while it runs.

Level: tensor graph. In: for each pass the graphs before and after. Out: an error, files, or numbers. An instrument is
anything that can be called with an `Applied`; give several and each sees every pass:

    seconds, nodes = Time(), Count()
    graph = pipeline.run(graph, (Verify(), seconds, nodes))
    print(seconds.report())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import MAX_SIZE, evaluate
from graphc.ir.dtype import DType, Kind
from graphc.ir.errors import ArgumentError, GraphcError, VerifyError
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.ir.settings import settings
from graphc.ir.text import print_graph
from graphc.ir.verify import verify
from graphc.passes.pipeline import Applied, Instrument

RELATIVE_TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "float64": 1e-11}
"""What `Compare` allows per dtype, relative to the largest value of the output: some hundred roundings."""


class Verify:
    """Checks every graph, and says which pass gave a wrong one."""

    def __call__(self, applied: Applied) -> None:
        if applied.after is applied.before:
            return
        try:
            verify(applied.after)
        except GraphcError as error:
            raise VerifyError(
                f"after the pass {applied.step}: {error.message}", location=error.location, hint=error.hint
            ) from error


class Dump:
    """Writes each stage to a numbered file in a folder, the graph before the first pass as number 00."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._stem: str | None = None
        self._count = 0

    def __call__(self, applied: Applied) -> None:
        if applied.number == 1:
            self.write("traced.gir", applied.before.name, print_graph(applied.before))
        self.write(f"{applied.step.pass_.name}.gir", applied.before.name, print_graph(applied.after))

    def write(self, stage: str, name: str, text: str) -> None:
        """Write one more stage of the graph `name`; raises ArgumentError where the folder can't be written."""
        try:
            if self._stem is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._stem = self._free_stem(name)
            path = self._folder / f"{self._stem}.{self._count:02d}.{stage}"
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ArgumentError(
                f"a stage can't be written to the folder {str(self._folder)!r}: {error.strerror}",
                hint="name a folder that can be written, e.g. by GRAPHC_DUMP=dumps",
            ) from None
        self._count += 1

    def _free_stem(self, name: str) -> str:
        """The graph's name, numbered where an earlier run of a pipeline left files under it."""
        stem, count = name, 1
        while (self._folder / f"{stem}.00.traced.gir").exists():
            count += 1
            stem = f"{name}-{count}"
        return stem


class Time:
    """Seconds per pass, in order."""

    def __init__(self) -> None:
        self.seconds: list[tuple[str, float]] = []

    def __call__(self, applied: Applied) -> None:
        self.seconds.append((str(applied.step), applied.seconds))

    def report(self) -> str:
        """One line per pass, in milliseconds."""
        return "\n".join(f"{1e3 * seconds:9.2f} ms  {name}" for name, seconds in self.seconds)


class Count:
    """Nodes before and after each pass, in order."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, int, int]] = []

    def __call__(self, applied: Applied) -> None:
        self.nodes.append((str(applied.step), len(applied.before.nodes), len(applied.after.nodes)))

    def report(self) -> str:
        """One line per pass."""
        return "\n".join(f"{before:6} -> {after:6} nodes  {name}" for name, before, after in self.nodes)


class Compare:
    """Interprets the graph before and after each pass, and raises VerifyError at the first one that changed a value.

    Integers and bools must be equal. A float may differ by `tolerance` times the largest value of its output, by
    default as `RELATIVE_TOLERANCE` has it for the dtype; 0 asks for the same bits, up to the sign of zero.
    """

    def __init__(
        self,
        arguments: Sequence[npt.NDArray[np.generic]] | None = None,
        *,
        tolerance: float | None = None,
        seed: int = 0,
    ) -> None:
        self._arguments = None if arguments is None else tuple(arguments)
        self._tolerance = tolerance
        self._seed = seed
        self._graph: Graph | None = None
        self._values: tuple[npt.NDArray[np.generic], ...] = ()

    def __call__(self, applied: Applied) -> None:
        if applied.after is applied.before:
            return
        if self._arguments is None:
            self._arguments = random_arguments(applied.before, self._seed)
        expected = self._values if self._graph is applied.before else self._evaluate(applied.before)
        found = self._evaluate(applied.after)
        if len(found) != len(expected):
            raise VerifyError(f"the pass {applied.step} changed the number of outputs: {len(expected)} to {len(found)}")
        for index, (a, b) in enumerate(zip(expected, found)):
            problem = difference(a, b, self._tolerance)
            if problem is not None:
                raise VerifyError(
                    f"the pass {applied.step} (number {applied.number}) changed output {index}: {problem}",
                    location=applied.before.outputs[index].location,
                )
        self._graph, self._values = applied.after, found

    def _evaluate(self, graph: Graph) -> tuple[npt.NDArray[np.generic], ...]:
        assert self._arguments is not None
        return evaluate_graph(graph, self._arguments)


def instruments_from_settings() -> tuple[Instrument, ...]:
    """What the settings `verify` and `dump` ask for."""
    chosen: list[Instrument] = []
    if settings().verify:
        chosen.append(Verify())
    if settings().dump:
        chosen.append(Dump(settings().dump))
    return tuple(chosen)


def difference(
    expected: npt.NDArray[np.generic], found: npt.NDArray[np.generic], tolerance: float | None = None
) -> str | None:
    """How two arrays differ, in words; None if they agree to the tolerance (by default that of their dtype)."""
    if expected.dtype != found.dtype or expected.shape != found.shape:
        return f"{expected.dtype}{list(expected.shape)} became {found.dtype}{list(found.shape)}"
    if expected.dtype.kind in "biu":
        wrong = np.argwhere(expected != found)
        if not len(wrong):
            return None
        where = tuple(int(i) for i in wrong[0])
        first = f"first at {list(where)}: {expected[where]} became {found[where]}"
        return f"{len(wrong)} of {expected.size} elements differ, {first}"
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    a, b = expected.astype(wide), found.astype(wide)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return None
    name = str(np.dtype(expected.dtype).name).replace("complex128", "float64").replace("complex64", "float32")
    relative = RELATIVE_TOLERANCE[name] if tolerance is None else tolerance
    finite = np.isfinite(a) & np.isfinite(b)
    scale = float(np.max(np.abs(a), where=finite, initial=0.0))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(same, 0.0, np.where(finite, np.abs(a - b), np.inf))
    allowed = relative * scale
    if float(error.max()) <= allowed:
        return None
    where = tuple(int(i) for i in np.unravel_index(int(error.argmax()), error.shape))
    return (
        f"largest error {float(error.max()):.3g} at {list(where)} ({expected[where]} became {found[where]}), "
        f"allowed {allowed:.3g}"
    )


def random_arguments(
    graph: Graph, seed: int = 0, sizes: Mapping[str, int] | None = None
) -> tuple[npt.NDArray[np.generic], ...]:
    """Arrays that fit the graph's inputs: floats around 1, integers 0 and 1 (valid as indices).

    Symbolic sizes are those of `sizes`, or 2 to 5.
    """
    generator = np.random.default_rng(seed)
    values = dict(sizes or {})
    for place, symbol in enumerate(graph.sizes):
        upper = symbol.upper if isinstance(symbol.upper, int) else MAX_SIZE
        values.setdefault(symbol.name, min(upper, max(symbol.lower, 2 + place % 4)))
    return tuple(
        _random_array(generator, node.tensor.dtype, tuple(evaluate(size, values) for size in node.shape))
        for node in graph.inputs
    )


def _random_array(generator: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    if dtype.kind <= Kind.INT:
        return np.asarray(generator.integers(0, 2, shape)).astype(dtype.numpy)
    real = generator.uniform(0.5, 1.5, shape) * generator.choice([-1.0, 1.0], shape)
    imaginary = generator.uniform(-1.5, 1.5, shape) if dtype.is_complex else 0.0
    return np.asarray(real + 1j * imaginary if dtype.is_complex else real).astype(dtype.numpy)
