"""CUDA graphs: what a GPU is given is noted once, and done again by one call.

g = CUDAGraph()
with graph(g):
    static_output = model(static_input)
static_input.copy_(new_input)
g.replay()

Tensors that are made inside stay where they are as long as the graph does. Random numbers are drawn anew for each
replay, those that the same calls would draw without a graph; numbers of Python are what they were. Programs of
`graphc.compile` are replayed as graphs by themselves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TypeAlias

from graphc.cuda.devices import is_available, synchronize
from graphc.cuda.memory import empty_cache
from graphc.cuda.streams import Stream, StreamContext
from graphc.eager.guard import guarded
from graphc.ir.errors import ArgumentError, MissingFeature
from graphc.runtime.cuda import capture as runtime_capture
from graphc.runtime.cuda import device as runtime_device
from graphc.runtime.cuda import stream as runtime_stream
from graphc.runtime.cuda.driver import CudaError
from graphc.runtime.cuda.select import driver, what_is_missing

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing"]

PoolHandle: TypeAlias = "tuple[int, int]"
"""Private memory that graphs may share."""
_MODES = ("global", "thread_local", "relaxed")


@guarded
def is_current_stream_capturing() -> bool:
    """Whether what the current stream gets is noted; False without a GPU."""
    if not is_available():
        return False
    device = runtime_device.current_device()
    driver().activate(device)
    return runtime_capture.is_capturing(runtime_stream.current_stream(device).handle)


def graph_pool_handle() -> PoolHandle:
    """A name for private memory, for `capture_begin` of graphs that share it."""
    return 0, runtime_capture.new_pool()


class CUDAGraph:
    """What a stream was given between `capture_begin` and `capture_end`, which `replay` does again."""

    @guarded
    def __init__(self, keep_graph: bool = False) -> None:
        missing = what_is_missing()
        if missing is not None:
            raise ArgumentError("Tried to instantiate dummy base class _CUDAGraph", hint=missing)
        if keep_graph:
            raise MissingFeature("a CUDA graph keeps no more than what is launched", hint="leave out keep_graph")
        self._capture: runtime_capture.Capture | None = None
        self._graph: runtime_capture.Graph | None = None
        self._pool: PoolHandle = 0, 0

    @guarded
    def capture_begin(
        self, pool: PoolHandle | None = None, capture_error_mode: str = "global", check_input_liveness: bool = False
    ) -> None:
        """Let the current stream note what it gets, with memory from a private `pool`, one of its own if not given.

        Waiting for the GPU is an error of the stream's then, and of all streams for who waits for all; whatever the
        mode, other threads may go on with other streams.
        """
        if self._graph is not None:
            raise ArgumentError(
                "This CUDAGraph instance already owns a captured graph. To capture a new graph, create a new instance.",
                hint="or reset() this one",
            )
        if capture_error_mode not in _MODES:
            raise ArgumentError(
                f"Unknown capture error mode. Expected `global`, `thread_local`, or `relaxed`, got {capture_error_mode}"
            )
        if check_input_liveness:
            raise MissingFeature("a CUDA graph does not look whether its inputs live", hint="keep them yourself")
        stream = runtime_stream.current_stream(runtime_device.current_device())
        if stream.handle == 0:
            raise ArgumentError(
                "CUDA graphs must be captured on a non-default stream. (However, after capture, it's ok to replay them "
                "on the default stream.)",
                hint="with graphc.cuda.graph(...) chooses one",
            )
        chosen = (runtime_capture.new_pool(), 0) if pool is None else pool
        self._capture = runtime_capture.begin(stream, max(chosen))
        self._pool = chosen

    @guarded
    def capture_end(self) -> None:
        """Make what the stream has noted ready to be replayed."""
        capture = self._capture
        if capture is None:
            raise ArgumentError("capture_end() called before capture_begin().")
        if runtime_stream.current_stream(runtime_device.current_device()) != capture.stream:
            raise ArgumentError("Capture must end on the same stream it began on.", hint="make it the current one")
        self._capture = None
        self._graph = runtime_capture.end(capture)

    @guarded
    def replay(self) -> None:
        """Do what was noted, in the current stream."""
        if self._graph is None:
            raise ArgumentError("Called CUDAGraph::replay without a preceding successful capture.")
        self._graph.replay(runtime_stream.current_stream(runtime_device.current_device()))

    def reset(self) -> None:
        """Drop what was captured, or is being captured, so that another capture may begin."""
        if self._capture is not None:
            capture, self._capture = self._capture, None
            with suppress(CudaError):  # whatever was wrong with it
                runtime_capture.end(capture).close()
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    @guarded
    def pool(self) -> PoolHandle:
        """The private memory, for another graph's `capture_begin`."""
        if self._graph is None:
            raise ArgumentError("Called CUDAGraph::pool() without a preceding successful capture.")
        return self._pool

    @guarded
    def instantiate(self) -> None:
        """Raises: that is done once, by `capture_end`."""
        if self._graph is None:
            raise ArgumentError("capture_end() must have been called before calling instantiate")
        raise ArgumentError("instantiate() is intended to be called by the user only when keep_graph=true")

    @guarded
    def raw_cuda_graph(self) -> int:
        """Raises: only what is launched is kept."""
        raise ArgumentError(
            "You cannot access the raw cudaGraph_t instance unless CUDAGraph was initialized with keep_graph=true"
        )

    @guarded
    def raw_cuda_graph_exec(self) -> int:
        """The driver's handle of what is launched."""
        if self._graph is None:
            raise ArgumentError(
                "You cannot access the raw cudaGraphExec_t instance until instantiate() has been called"
            )
        return self._graph.handle

    def enable_debug_mode(self) -> None:
        """Raises MissingFeature."""
        raise MissingFeature("graphc writes no pictures of CUDA graphs", hint="NVIDIA's Nsight Systems shows them")

    def debug_dump(self, debug_path: str) -> None:
        """Raises MissingFeature."""
        self.enable_debug_mode()


class graph:
    """A context in which a `CUDAGraph` is captured, in a stream of its own unless one is given."""

    default_capture_stream: Stream | None = None

    def __init__(
        self,
        cuda_graph: CUDAGraph,
        pool: PoolHandle | None = None,
        stream: Stream | None = None,
        capture_error_mode: str = "global",
        enable_annotations: bool = False,
        check_input_liveness: bool = False,
    ) -> None:
        if enable_annotations:
            raise MissingFeature("CUDA graphs have no annotations", hint="leave out enable_annotations")
        if stream is None:
            known = graph.default_capture_stream
            device = runtime_device.current_device()
            # Each device has a stream of its own, and so has each driver.
            if known is None or known.device_index != device or graph._owner is not driver():
                known = graph.default_capture_stream = Stream(device)
                graph._owner = driver()
            stream = known
        self.cuda_graph = cuda_graph
        self.pool = pool
        self.capture_stream = stream
        self.capture_error_mode = capture_error_mode
        self._check_input_liveness = check_input_liveness
        self._context = StreamContext(stream)

    _owner: object = None

    @guarded
    def __enter__(self) -> None:
        synchronize()
        empty_cache()
        self._context.__enter__()
        try:
            self.cuda_graph.capture_begin(
                self.pool,
                capture_error_mode=self.capture_error_mode,
                check_input_liveness=self._check_input_liveness,
            )
        except BaseException:
            self._context.__exit__()
            raise

    @guarded
    def __exit__(self, *error: object) -> None:
        try:
            if error and error[0] is not None:
                with suppress(CudaError):  # what is wrong is what was raised inside
                    self.cuda_graph.capture_end()
                self.cuda_graph.reset()
            else:
                self.cuda_graph.capture_end()
        finally:
            self._context.__exit__(*error)
