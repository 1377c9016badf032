"""A graph as native code that can be called.

In: a graph. Out: an `Executable`, which keeps what each stage gave (graph after the passes, kernels, program), so that
the command line and people can look at it.

    executable = graph.compile()
    executable(np.ones((3, 4), np.float32))
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.frontend import loop as _loop  # noqa: F401  # enters what native code calls for loops
from graphc.frontend.arguments import as_argument
from graphc.frontend.concrete import has_tensors, run_on_tensors
from graphc.frontend.place import Place, find_place
from graphc.frontend.scope import current_scope
from graphc.frontend.tensor import SymbolicTensor, constant, node_of
from graphc.frontend.trace import structures
from graphc.ir.boundary import hide_frames, hide_internal_frames
from graphc.ir.dim import evaluate
from graphc.ir.dtype import Kind
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, IndexOutOfRange, MemoryExceeded, describe
from graphc.ir.graph import Graph, Node, set_compiler
from graphc.ir.interpret import evaluate_graph
from graphc.ir.location import Location
from graphc.ir.replace import inline
from graphc.ir.sizes import bind_sizes, check_arguments
from graphc.ir.type import TupleType

if TYPE_CHECKING:
    from graphc.kernel.gpu import GpuTarget
    from graphc.kernel.ir import Kernel
    from graphc.kernel.program import Program
    from graphc.passes.pipeline import Instrument, Pipeline
    from graphc.runtime.cuda.launch import CudaLauncher
    from graphc.runtime.launch import Launcher

AnyArray: TypeAlias = npt.NDArray[Any]
Numerics: TypeAlias = 'Literal["strict", "fast"]'
"""Whether passes must keep every bit, or only what is right up to rounding."""


def pipeline_of(numerics: Numerics = "strict", passes: str | None = None, target: GpuTarget | None = None) -> Pipeline:
    """The passes that a graph goes through, for the CPU or a GPU; raises ParseError for a text that is no pipeline."""
    # Late: importing graphc must be quick, and the passes are needed at the first compilation.
    from graphc.frontend import stages

    return stages.pipeline_of(numerics, passes, target)


def optimize(
    graph: Graph, *, numerics: Numerics = "strict", passes: str | None = None, instruments: Sequence[Instrument] = ()
) -> Graph:
    """The graph after its passes: those of `passes`, or the default ones; `fuse` comes last in any case."""
    from graphc.frontend import stages  # late, as in pipeline_of

    return stages.optimize(graph, numerics=numerics, passes=passes, instruments=instruments)


def make_program(fused: Graph, target: GpuTarget | None = None) -> Program:
    """The program of a fused graph for the CPU or a GPU: kernels lowered, scheduled, and given their memory."""
    from graphc.frontend import stages  # late, as in pipeline_of

    return stages.make_program(fused, target=target)


MOST_REMEMBERED = 1024
"""Shapes of arguments that are known to fit; with symbolic sizes there may be any number."""
MOST_INTERPRETED = 200
"""Nodes of graphs that are run again, slowly, to find out which value was refused."""

MOST_BYTES = 1 << 47
"""Of one tensor: what a process can address on today's machines."""


class Executable:
    """Native code for one graph. Call it with numpy arrays in the containers that the graph's function takes.

    Arrays may have any strides and be read-only: C-contiguous, aligned ones are read where they are, others are copied.
    A Python number may stand for an input without dimensions. The results are new arrays. Code for a GPU takes arrays
    of the host, too, which are copied there and the results back; arrays of its device stay there.

    >>> import numpy as np, graphc
    >>> double = graphc.symbolic_trace(lambda x: x + x, "f32[n]").compile()
    >>> double(np.array([1, 2], np.float32))
    array([2., 4.], dtype=float32)
    """

    def __init__(
        self,
        graph: Graph,
        fused: Graph,
        program: Program,
        launcher: Launcher | CudaLauncher | None = None,
        place: Place | None = None,
    ) -> None:
        self.graph = graph
        """As it was traced or built."""
        self.fused = fused
        """After the passes."""
        self.program = program
        """Launches of kernels, and where their buffers lie."""
        self._arguments, self._results, self._parameters = structures(graph)
        self._checked: dict[Hashable, dict[str, int]] = {}
        self._is_flat = all(entry.kind is None for entry in self._arguments.entries)
        self.place = place
        """The GPU that the code is for; None: the CPU."""
        self._launcher = _load(program, place) if launcher is None else launcher
        self.fast: Callable[..., object] = self._launcher.fast
        """Takes the inputs if all are exactly right, and gives a tuple of outputs; else it gives None or a status."""
        self.fill: Callable[[tuple[object, ...]], object] | None = None
        """Puts a tuple of outputs into the containers of the results; None where the result is one array."""
        if self._results.kind is not None:
            self.fill = self._results.fill

    @classmethod
    def build(
        cls,
        graph: Graph,
        *,
        numerics: Numerics = "strict",
        passes: str | None = None,
        instruments: Sequence[Instrument] = (),
        donated: Mapping[int, int] | None = None,
        place: Place | None = None,
    ) -> Executable:
        """Run the passes, generate code for the place and load it.

        `donated` maps outputs to inputs whose memory they may take. Those that could (`program.in_place`) are written
        there by `fast` and `outputs`, and are not among the results.
        """
        from graphc.frontend import stages  # late, as in pipeline_of

        _check_sizes(graph)
        fused, program = stages.build(
            graph,
            numerics=numerics,
            passes=passes,
            instruments=instruments,
            donated=donated or {},
            target=None if place is None else place.target,
        )
        return cls(graph, fused, program, place=place)

    def bound(self) -> Executable:
        """The same code with a way in of its own, so that calls with two sets of sizes don't displace each other's."""
        return Executable(self.graph, self.fused, self.program, self._launcher.another(), self.place)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels, in order of their first launch; equal ones that came from different nodes are listed each."""
        return self.program.kernels

    @property
    def ptx(self) -> str:
        """The code of the kernels for a GPU. Raises ArgumentError for a program of the CPU."""
        if self.place is None:
            raise ArgumentError(
                f"{self.graph.name} is compiled for the CPU", hint='compile it with target="cuda:sm_80"'
            )
        from graphc.frontend import stages  # late, as in pipeline_of

        return stages.ptx_of(self.program, self.place.target)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return tuple(map(_name, self.graph.inputs))

    @hide_internal_frames
    def peak_bytes(self, *args: object) -> int:
        """Bytes that a run on such arguments takes beyond them; known before the run."""
        arrays = self._arrays(self._inputs(args, {}))
        sizes = bind_sizes(self.graph, [array.shape for array in arrays])
        return evaluate(self.program.peak_bytes, sizes)

    def __copy__(self) -> Executable:
        return self  # nothing of it changes

    def __deepcopy__(self, memo: object) -> Executable:
        return self

    @hide_internal_frames
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ArgumentError(
            f"the executable {self.graph.name} can't be pickled: its machine code belongs to this process",
            hint="pickle the function and compile it there, which is quick with the disk cache; "
            "str(executable.graph) keeps the graph",
        )

    def __repr__(self) -> str:
        types = ", ".join(f"{_name(node)}: {node.type}" for node in self.graph.inputs)
        return f"<executable {self.graph.name}({types})>"

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Run on the arguments."""
        try:
            if self._is_flat and not kwargs:
                result = self.fast(*args)
                if type(result) is tuple:
                    return result[0] if self.fill is None else self.fill(result)
            return self.call_flat(self._inputs(args, kwargs))
        except Exception as error:
            hide_frames(error)
            raise

    def call_flat(self, inputs: Sequence[object]) -> Any:
        """Run on the inputs in order, out of their containers."""
        result = self.fast(*inputs)
        if result is None:
            if current_scope() is not None or any(isinstance(each, SymbolicTensor) for each in inputs):
                return self._inline(inputs)
            if has_tensors(inputs):
                tensors = run_on_tensors(self, inputs)
                return tensors[0] if self.fill is None else self.fill(tensors)
            result = self.outputs(inputs)
            if self.place is not None and all(type(each) is not self._launcher.array_type for each in inputs):
                result = tuple(map(self._launcher.on_host, result))  # they came from there
        elif not isinstance(result, tuple):
            self.refuse(result, inputs)
        return result[0] if self.fill is None else self.fill(result)

    def outputs(self, inputs: Sequence[object]) -> tuple[AnyArray, ...]:
        """The graph's outputs in order, for inputs of any layout."""
        result = self._run_slowly(inputs)
        if not isinstance(result, tuple):
            self.refuse(result, inputs)
        return result

    def _inputs(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> list[object]:
        """The inputs out of the arguments' containers; raises ArgumentError where those are others."""
        given = self._in_order(args, kwargs)
        leaves: list[object] = []
        for name, entry, value in zip(self._parameters, self._arguments.entries, given, strict=True):
            if not entry.take(value, leaves):
                raise ArgumentError(
                    f"{self.graph.name} is called with other containers than it was made for: "
                    f"{entry.problem(value, name)}",
                    hint="call it with the containers and values that it was traced with, or compile the function",
                )
        return leaves

    def _in_order(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[object, ...]:
        names = self._parameters
        if not kwargs and len(args) == len(names):
            return args
        takes = f"it takes {', '.join(names) or 'nothing'}"
        if len(args) > len(names):
            raise ArgumentError(f"{self.graph.name} takes {len(names)} arguments, {len(args)} given", hint=takes)
        wrong = next((name for name in kwargs if name not in names[len(args) :]), None)
        if wrong is not None:
            what = "is given twice" if wrong in names else "is no argument"
            raise ArgumentError(f"{self.graph.name}: {wrong!r} {what}", hint=takes)
        missing = [name for name in names[len(args) :] if name not in kwargs]
        if missing:
            raise ArgumentError(f"{self.graph.name}: the argument {missing[0]!r} is missing", hint=takes)
        return (*args, *(kwargs[name] for name in names[len(args) :]))

    def _run_slowly(self, inputs: Sequence[object]) -> object:
        """Check everything, copy what isn't laid out as kernels read it, and run."""
        arrays = self._arrays(inputs)
        key = tuple([(array.dtype, array.shape) for array in arrays])
        sizes = self._checked.get(key)
        if sizes is None:
            sizes = check_arguments(self.graph, arrays)
            if len(self._checked) >= MOST_REMEMBERED:
                self._checked.clear()
            self._checked[key] = sizes
        ready = [self._laid_out(array, node) for array, node in zip(arrays, self.graph.inputs)]
        result = self._launcher.run(ready, sizes)
        for _, place in self.program.in_place:
            if ready[place] is not arrays[place]:  # a copy was written in place
                self._launcher.copy_into(arrays[place], ready[place])
        return result

    def _laid_out(self, array: AnyArray, node: Node) -> AnyArray:
        """The array as kernels read it: where they run, this machine's byte order, C-contiguous, aligned."""
        wanted = node.tensor.dtype
        if array.dtype is wanted.numpy and array.flags.c_contiguous and array.flags.aligned and self.place is None:
            return array
        try:
            return self._launcher.laid_out(array, wanted.numpy)
        except MemoryError:
            raise MemoryExceeded(
                f"the argument {_name(node)!r} of shape {array.shape} has to be copied, and there is no memory for its "
                f"{array.size * wanted.numpy.itemsize} bytes",
                hint="pass a C-contiguous array, which is read where it is, or a smaller one and expand it in the "
                "function",
            ) from None

    def _arrays(self, inputs: Sequence[object]) -> list[AnyArray]:
        if len(inputs) != len(self.graph.inputs):
            raise ArgumentError(
                f"{self.graph.name} takes {len(self.graph.inputs)} arrays, {len(inputs)} given",
                hint=f"they are {', '.join(self.input_names) or 'none'}",
            )
        return [_as_array(each, node) for each, node in zip(inputs, self.graph.inputs)]

    def _inline(self, inputs: Sequence[object]) -> object:
        """The graph as a part of the one that is being traced; its sizes must be numbers."""
        nodes: list[Node] = []
        for each, node in zip(inputs, self.graph.inputs, strict=True):
            given = node_of(each) if isinstance(each, SymbolicTensor) else constant(_as_array(each, node))
            if given.type != node.type:
                raise ArgumentError(
                    f"{self.graph.name} was made for {_name(node)} : {node.type}, and is called with a {given.type}",
                    hint="while another function is traced, call the function instead of what was compiled from it",
                )
            nodes.append(given)
        return self._results.fill([SymbolicTensor(node) for node in inline(self.graph, nodes)])

    def refuse(self, code: object, inputs: Sequence[object]) -> NoReturn:
        """Turn the status of a run that failed a check into its error."""
        for site in self.program.checks:
            if site.code == code:
                if site.is_host:
                    raise host_error(site.location)
                raise self._refusal(inputs) or IndexOutOfRange(
                    site.message, location=site.location, hint="an index counts from 0, or from -1 backwards"
                )
        raise AssertionError(f"the program ended with the unknown code {code}")

    def _refusal(self, inputs: Sequence[object]) -> GraphcError | None:
        """The error as the interpreter raises it, which names the value; None for graphs too large to run again."""
        if len(self.graph.nodes) > MOST_INTERPRETED:
            return None
        try:
            evaluate_graph(self.graph, [self._launcher.on_host(each) for each in self._arrays(inputs)])
        except IndexOutOfRange as error:
            return error
        return None


def host_error(location: Location | None) -> BaseException:
    """The exception for which a run ended in Python code that the program called; ours gets the user's line."""
    # Late, as in pipeline_of.
    from graphc.runtime.host import take_error

    error = take_error()
    if isinstance(error, GraphcError) and error.location is None:
        error.location = location
    return error


def _load(program: Program, place: Place | None) -> Launcher | CudaLauncher:
    from graphc.frontend import native  # late, as in pipeline_of

    return native.load_program(program) if place is None else native.load_on_device(program, place)


def _check_sizes(graph: Graph) -> None:
    """Raise MemoryExceeded for a tensor that no machine can address, even if no kernel would have to store it."""
    for type in dict.fromkeys(node.type for node in graph.nodes):
        for tensor in type.elements if isinstance(type, TupleType) else (type,):
            if isinstance(tensor.nbytes, int) and tensor.nbytes > MOST_BYTES:
                node = next(node for node in graph.nodes if node.type == type)
                raise MemoryExceeded(
                    f"{node.op.name}: a {tensor} has {tensor.nbytes} bytes, more than a machine can address",
                    location=node.location,
                    hint="use smaller sizes",
                )


def _name(node: Node) -> str:
    return str(node.attribute("name"))


def _as_array(value: object, node: Node) -> AnyArray:
    """An argument as an array, which has a dtype of ours; a Python number in the dtype of the input that it is for."""
    if isinstance(value, int | float | complex) and not isinstance(value, np.generic):
        return _number(value, node)
    found = as_argument(value, _name(node))
    if not isinstance(found, np.ndarray):
        raise ArgumentError(
            f"the argument {_name(node)!r} is {describe(value)}, and a compiled graph computes with arrays",
            hint=f"pass an array {node.type}",
        )
    return found


def _number(value: complex, node: Node) -> AnyArray:
    wanted, name = node.tensor.dtype, _name(node)
    if to_dtype(type(value) if type(value) in (bool, int, float, complex) else float).kind > wanted.kind:
        raise DTypeError(
            f"the argument {name!r} is {reprlib.repr(value)}, expected {wanted.name} ({node.type})",
            hint="convert it first" if wanted.kind is not Kind.BOOL else "pass True or False",
        )
    try:
        with np.errstate(over="ignore"):
            return np.asarray(value, wanted.numpy)
    except OverflowError:
        raise DTypeError(
            f"the argument {name!r} is {reprlib.repr(value)}, which is no {wanted.name}", hint="use a smaller number"
        ) from None


@hide_internal_frames
def compile_graph(
    graph: Graph,
    target: str = "cpu",
    *,
    numerics: Numerics = "strict",
    passes: str | None = None,
    instruments: Sequence[Instrument] = (),
    **unknown: object,
) -> Executable:
    """What `Graph.compile` does."""
    if unknown:
        raise ArgumentError(
            f"compile: there is no option {next(iter(unknown))!r}",
            hint="the options are target, numerics, passes, instruments",
        )
    check_options(numerics, passes)
    return Executable.build(graph, numerics=numerics, passes=passes, instruments=instruments, place=find_place(target))


def check_options(numerics: object, passes: object) -> None:
    """Raise ArgumentError or ParseError for options that no compilation could use."""
    if numerics not in ("strict", "fast"):
        raise ArgumentError(f"compile: numerics={numerics!r}", hint='use "strict" or "fast"')
    if passes is not None:
        if not isinstance(passes, str):
            raise ArgumentError(
                f"compile: passes is {describe(passes)}", hint='give the text of a pipeline, e.g. "cse,fuse"'
            )
        pipeline_of("strict", passes)


set_compiler(compile_graph)
