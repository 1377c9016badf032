"""What is compared at real sizes, and timed: each case once, written so that graphc and torch run the same lines.

In: a library in PyTorch's style. Out: a `Case` with its arguments at three sizes (`full` is timed, `middle` fills many
blocks and is compared with the CPU, `tiny` is for a kernel interpreter), its least traffic to memory and its products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from tests.benchmarks.gpu_compare import ATTENTION, CORES, SCAN

Array: TypeAlias = "npt.NDArray[Any]"
Function: TypeAlias = "Callable[..., Any]"

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int64": 8}


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor: normal numbers, or whole ones below `limit`."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    limit: int = 0

    @property
    def nbytes(self) -> int:
        """Of its elements."""
        return math.prod(self.shape) * BYTES[self.dtype]

    def on_device(self, library: Any) -> Any:
        """Drawn by the library's own generator."""
        if self.dtype == "int64":
            return library.randint(0, self.limit, self.shape, device="cuda")
        return library.randn(self.shape, device="cuda").to(getattr(library, self.dtype))

    def array(self, generator: np.random.Generator) -> Array:
        """The same on the host."""
        if self.dtype == "int64":
            return generator.integers(0, self.limit, self.shape)
        kind = ml_dtypes.bfloat16 if self.dtype == "bfloat16" else np.dtype(self.dtype)
        return generator.standard_normal(self.shape, np.float32).astype(kind)


Arguments: TypeAlias = "tuple[Argument, ...]"
Sizes: TypeAlias = "tuple[Arguments, Arguments, Arguments]"
"""Full, middle and tiny."""


@dataclass(frozen=True, slots=True)
class Case:
    """A function of a library and tensors. With `backward` its gradients by its first arguments are part of it."""

    group: str
    name: str
    function: Function
    sizes: Sizes
    traffic: Callable[[Arguments], int] | None = None
    """Bytes that must be read and written; None: the arithmetic is the limit."""
    products: Callable[[Arguments], int] | None = None
    """Multiplications and additions."""
    unit: str = "float32"
    """What multiplies: a dtype, or tf32."""
    backward: int = 0
    """Arguments that gradients are taken by."""
    has_upstream: bool = False
    """Whether the last argument is the result's gradient; 1 is it otherwise."""
    reason: str | None = None
    """Why bits may differ from the CPU's."""
    with_eager: bool = False
    with_torch_compile: bool = False

    @property
    def full(self) -> Arguments:
        """What is timed."""
        return self.sizes[0]

    @property
    def middle(self) -> Arguments:
        """What fills many blocks, and a CPU computes soon."""
        return self.sizes[1]

    @property
    def tiny(self) -> Arguments:
        """What a kernel interpreter computes soon."""
        return self.sizes[2]

    def call(self, library: Any, compiled: Callable[[Function], Function]) -> Function:
        """What is timed, once it was given to the library's compiler: the whole of it, or as torch's users do."""
        function = self.function

        def forward(*tensors: Any) -> Any:
            return function(library, *tensors)

        if not self.backward:
            return compiled(forward)
        is_whole = library.__name__ == "graphc"
        inner = forward if is_whole else compiled(forward)

        def step(*tensors: Any) -> Any:
            rest = tensors[self.backward : -1] if self.has_upstream else tensors[self.backward :]
            leaves = [each.detach().requires_grad_() for each in tensors[: self.backward]]
            result = inner(*leaves, *rest)
            upstream = tensors[-1] if self.has_upstream else library.ones_like(result)
            return library.autograd.grad(result, leaves, upstream)

        return compiled(step) if is_whole else step


@contextmanager
def using_unit(library: Any, unit: str) -> Iterator[None]:
    """Inside, matrices of float32 are multiplied as tf32, if that is the unit, and as they are otherwise."""
    switches = [library.backends.cuda.matmul]
    if library.__name__ == "torch":
        switches.append(library.backends.cudnn)
    before = [each.allow_tf32 for each in switches]
    for each in switches:
        each.allow_tf32 = unit == "tf32"
    try:
        yield
    finally:
        for each, value in zip(switches, before):
            each.allow_tf32 = value


def all_cases() -> tuple[Case, ...]:
    """Every case, in order of importance."""
    parts = (_elementwise, _reductions, _matrices, _attention, _rows, _layout, _convolutions)
    return tuple(case for part in parts for case in part())


def _once(arguments: Arguments) -> int:
    """Everything is read, and a result like the first argument written."""
    return sum(each.nbytes for each in arguments) + arguments[0].nbytes


def _read(arguments: Arguments) -> int:
    return sum(each.nbytes for each in arguments)


def gelu(library: Any, x: Any) -> Any:
    """One operation for a library, some ten for a compiler."""
    return library.nn.functional.gelu(x)


def chain(library: Any, x: Any, y: Any) -> Any:
    """Five operations in a row."""
    return library.tanh(x * y + 0.5) * y - x


def _elementwise() -> Iterator[Case]:
    functions: tuple[tuple[str, Function, int], ...] = (
        ("add", lambda _, x, y: x + y, 2),
        ("gelu", gelu, 1),
        ("chain of 5", chain, 2),
    )
    for size in (1 << 24, 1 << 28, 1 << 20):
        for dtype in ("float32", "bfloat16"):
            for name, function, count in functions:

                def arguments(n: int, dtype: str = dtype, count: int = count) -> Arguments:
                    return (Argument((n,), dtype),) * count

                yield Case(
                    "elementwise", f"{name}, {dtype}, {size >> 20} Mi", function,
                    (arguments(size), arguments(1_000_003 if size >> 20 == 1 else size >> 4), arguments(1000)),
                    traffic=_once, with_eager="chain" in name, with_torch_compile="chain" in name and size >> 24 == 1,
                )  # fmt: skip


def _reductions() -> Iterator[Case]:
    def matrix(rows: int, columns: int) -> Arguments:
        return (Argument((rows, columns)),)

    vector = (Argument((1 << 28,)),), (Argument((3_000_001,)),), (Argument((5000,)),)
    yield Case("reductions", "sum of 256 Mi", lambda _, x: x.sum(), vector, traffic=_read)
    for width in (1024, 4096, 16384):
        sizes = matrix((1 << 28) // width, width), matrix(300, width), matrix(3, width // 16)
        yield Case(
            "reductions", f"sum of rows, {width} wide", lambda _, x: x.sum(dim=1), sizes,
            traffic=lambda a: _read(a) + 4 * a[0].shape[0],
        )  # fmt: skip
    yield Case(
        "reductions", "sum of columns, 16384 high, 4096 wide", lambda _, x: x.sum(dim=0),
        (matrix(16384, 4096), matrix(1000, 1000), matrix(40, 50)), traffic=lambda a: _read(a) + 4 * a[0].shape[1],
    )  # fmt: skip
    yield Case(
        "reductions", "argmax of rows, 4096 wide", lambda _, x: x.argmax(dim=1),
        (matrix(16384, 4096), matrix(500, 4096), matrix(3, 70)), traffic=lambda a: _read(a) + 8 * a[0].shape[0],
    )  # fmt: skip


def _product(arguments: Arguments) -> int:
    *batch, rows, depth = arguments[0].shape
    return 2 * math.prod(batch) * rows * depth * arguments[1].shape[-1]


def multiply(library: Any, x: Any, y: Any) -> Any:
    """A product of matrices."""
    return x @ y


def _matrices() -> Iterator[Case]:
    def square(n: int, dtype: str, *batch: int) -> Arguments:
        return (Argument((*batch, n, n), dtype),) * 2

    units = (("bfloat16", "bfloat16"), ("tf32", "float32"), ("float16", "float16"), ("float32", "float32"))
    for size in (4096, 8192, 2048, 1024, 512):
        for unit, dtype in units:
            middle = (Argument((300, 517), dtype), Argument((517, 260), dtype)) if size == 512 else square(512, dtype)
            yield Case(
                "matmul", f"{unit} {size}", multiply, (square(size, dtype), middle, square(24, dtype)),
                products=_product, unit=unit, reason=None if unit == "float32" else CORES,
            )  # fmt: skip
    for unit, dtype in units[:2]:
        yield Case(
            "matmul", f"{unit} 64 times 512", multiply,
            (square(512, dtype, 64), square(130, dtype, 5), square(16, dtype, 2)), products=_product, unit=unit,
            reason=CORES,
        )  # fmt: skip


def attend(library: Any, query: Any, key: Any, value: Any) -> Any:
    """Every query looks at all keys."""
    return library.nn.functional.scaled_dot_product_attention(query, key, value)


def attend_causally(library: Any, query: Any, key: Any, value: Any) -> Any:
    """Every query looks at keys that do not stand behind it."""
    return library.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)


def _attention() -> Iterator[Case]:
    for length in (2048, 512, 8192):
        for dtype in ("bfloat16", "float32"):
            for function, part, name in ((attend, 1, "all"), (attend_causally, 2, "causal")):
                for backward, factor, how in ((0, 4, ""), (3, 14, ", with gradients")):
                    # Two products of matrices forward, five backward, each with n * n * features multiplications.
                    count = 4 if backward else 3  # queries, keys, values, and the result's gradient
                    middle = {2048: 200, 512: 67, 8192: 512}[length]

                    def products(arguments: Arguments, factor: int = factor // part) -> int:
                        batch, count, n, features = arguments[0].shape
                        return factor * batch * count * n * n * features

                    yield Case(
                        "attention", f"{dtype}, {length} long, {name}{how}", function,
                        (
                            (Argument((max(1, 16384 // length), 16, length, 64), dtype),) * count,
                            (Argument((1, 16, middle, 64), dtype),) * count,
                            (Argument((1, 2, 10, 16), dtype),) * count,
                        ),
                        products=products, unit=dtype, reason=ATTENTION, backward=backward,
                        has_upstream=backward > 0,
                    )  # fmt: skip


def softmax(library: Any, x: Any) -> Any:
    """Of rows."""
    return library.softmax(x, dim=-1)


def layer_norm(library: Any, x: Any, weight: Any, bias: Any) -> Any:
    """Of rows."""
    return library.nn.functional.layer_norm(x, x.shape[-1:], weight, bias)


def cross_entropy(library: Any, x: Any, labels: Any) -> Any:
    """The mean over rows."""
    return library.nn.functional.cross_entropy(x, labels)


def _rows() -> Iterator[Case]:
    for width in (1024, 4096, 32768):
        rows = (1 << 26) // width

        def matrix(n: int, m: int) -> Arguments:
            return (Argument((n, m)),)

        def scaled(n: int, m: int) -> Arguments:
            return Argument((n, m)), Argument((m,)), Argument((m,))

        def labelled(n: int, m: int) -> Arguments:
            return Argument((n, m)), Argument((n,), "int64", m)

        for name, function, make, count in (
            ("softmax", softmax, matrix, 1),
            ("layer norm", layer_norm, scaled, 3),
            ("cross entropy", cross_entropy, labelled, 1),
        ):
            sizes: Sizes = make(rows, width), make(70, width), make(3, width // 64)
            forward = _read if function is cross_entropy else _once
            yield Case(
                "rows", f"{name}, {width} wide", function, sizes, traffic=forward, with_eager=width == 4096,
                with_torch_compile=width == 4096,
            )  # fmt: skip
            is_scalar = function is cross_entropy
            with_upstream = sizes if is_scalar else tuple((*each, each[0]) for each in sizes)
            yield Case(
                "rows", f"{name} with gradient, {width} wide", function, with_upstream, traffic=_once, backward=count,
                has_upstream=not is_scalar,
            )  # fmt: skip


def _layout() -> Iterator[Case]:
    def matrix(n: int, m: int, dtype: str = "float32") -> Arguments:
        return (Argument((n, m), dtype),)

    def picked(n: int, m: int, k: int) -> Arguments:
        return Argument((n, m)), Argument((k,), "int64", n)

    def gathered(arguments: Arguments) -> int:
        table, places = arguments
        return places.nbytes + 2 * places.shape[0] * table.shape[1] * BYTES[table.dtype]

    def along(n: int, m: int) -> Arguments:
        return Argument((n, m)), Argument((n, m), "int64", m)

    def added(n: int, m: int, rows: int) -> Arguments:
        return Argument((n, m)), Argument((n,), "int64", rows)

    big, middle, tiny = (8192, 8192), (500, 700), (20, 30)
    for dtype in ("float32", "bfloat16"):
        sizes = matrix(*big, dtype), matrix(*middle, dtype), matrix(*tiny, dtype)
        yield Case("layout", f"transpose, {dtype}", lambda _, x: x.t().contiguous(), sizes, traffic=_once)
    yield Case(
        "layout", "heads to the front", lambda _, x: x.transpose(1, 2).contiguous(),
        ((Argument((32, 2048, 16, 64)),), (Argument((3, 100, 5, 64)),), (Argument((2, 5, 3, 8)),)), traffic=_once,
    )  # fmt: skip
    rows = picked(50_000, 1024, 65_536), picked(1000, 96, 3000), picked(10, 8, 20)
    yield Case(
        "layout", "embedding, 65536 rows of 1024", lambda library, x, i: library.nn.functional.embedding(i, x), rows,
        traffic=gathered,
    )  # fmt: skip
    yield Case("layout", "index of rows", lambda _, x, i: x[i], rows, traffic=gathered)
    yield Case(
        "layout", "gather along rows", lambda library, x, i: library.gather(x, 1, i),
        (along(16384, 4096), along(300, 900), along(5, 20)), traffic=_once,
    )  # fmt: skip
    yield Case(
        "layout", "index_add of 1 Mi rows of 64 to 65536", lambda library, x, i: library.zeros_like(x[:65536])
        .index_add(0, i, x), (added(1 << 20, 64, 65536), added(70_000, 16, 65536), added(50, 4, 9)),
        traffic=lambda a: _read(a) + 65536 * 64 * 4,
    )  # fmt: skip
    yield Case("layout", "sort of 4096 rows of 4096", lambda _, x: x.sort(dim=1)[0],
               (matrix(4096, 4096), matrix(60, 3000), matrix(3, 50)), traffic=_once)  # fmt: skip
    vectors: Sizes = (Argument((1 << 24,)),), (Argument((100_003,)),), (Argument((700,)),)
    yield Case("layout", "sort of 16 Mi", lambda _, x: x.sort()[0], vectors, traffic=_once)
    yield Case("layout", "cumsum of 16 Mi", lambda _, x: x.cumsum(0), vectors, traffic=_once, reason=SCAN)
    yield Case("layout", "cumsum of rows, 4096 wide", lambda _, x: x.cumsum(1),
               (matrix(16384, 4096), matrix(300, 4096), matrix(3, 70)), traffic=_once, reason=SCAN)  # fmt: skip


def _convolutions() -> Iterator[Case]:
    def images(batch: int, channels: int, size: int, filters: int, taps: int, dtype: str) -> Arguments:
        return Argument((batch, channels, size, size), dtype), Argument((filters, channels, taps, taps), dtype)

    shapes = (  # of ResNet-50: channels, height and width, filters, taps, stride
        (64, 56, 64, 3, 1), (256, 56, 64, 1, 1), (128, 28, 128, 3, 1), (512, 7, 512, 3, 1), (3, 224, 64, 7, 2),
    )  # fmt: skip
    for channels, size, filters, taps, stride in shapes:
        for unit, dtype in (("bfloat16", "bfloat16"), ("float32", "float32")):

            def convolve(library: Any, x: Any, w: Any, stride: int = stride) -> Any:
                return library.nn.functional.conv2d(x, w, stride=stride, padding=w.shape[-1] // 2)

            def products(arguments: Arguments, stride: int = stride) -> int:
                x, w = arguments
                return 2 * x.shape[0] * (x.shape[2] // stride) ** 2 * math.prod(w.shape)

            yield Case(
                "conv2d", f"{unit}, {channels} x {size} x {size} to {filters}, {taps} x {taps}", convolve,
                (
                    images(64, channels, size, filters, taps, dtype), images(2, channels, size, filters, taps, dtype),
                    images(1, min(channels, 4), 8, 4, taps, dtype),
                ),
                products=products, unit=unit,
                reason=None if unit == "float32" else CORES,
            )  # fmt: skip
