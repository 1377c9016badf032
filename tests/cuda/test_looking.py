"""What Python sees of a GPU's tensors, and what it makes there: no more goes between the memories than has to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc import nn
from tests.cuda.traffic import Traffic, bits

LOOKS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "item": (4, lambda x: x[1, 2].item()),
    "bool": (1, lambda x: bool((x > 3).any())),
    "int": (4, lambda x: int(x[0, 1])),
    "equal": (1, lambda x: graphc.equal(x, x.clone())),
    "equal of other sizes": (0, lambda x: graphc.equal(x, x[1:])),
    "allclose": (1, lambda x: graphc.allclose(x, x + 1)),
    "in": (1, lambda x: 7.0 in x),
    "not in": (1, lambda x: -7 in x),
    "tensor in": (1, lambda x: x[1] in x),
    "number of the CPU in": (1, lambda x: graphc.tensor(7.0) in x),
    "tolist": (24, lambda x: x[0, :6].tolist()),
    "repr": (24, lambda x: repr(x[0, :6]).replace(", device='cuda:0'", "")),
    "repr of a part": (144, lambda x: repr(x).replace("device='cuda:0', ", "").replace(", device='cuda:0'", "")),
    "repr of a turned one": (144, lambda x: repr(x.t()).replace(", device='cuda:0'", "")),
    "repr of three dimensions": (
        864, lambda x: repr(x.reshape(20, 20, 20)).replace(", device='cuda:0'", ""),
    ),
}  # fmt: skip
DTYPES = "float32 float64 float16 bfloat16 int64 int32 uint8".split()
MADE: dict[str, Callable[[str], Any]] = {
    "arange": lambda place: [graphc.arange(7, device=place), graphc.arange(2, 20, 3, device=place)],
    "arange of floats": lambda place: [
        graphc.arange(0.3, 2, 0.1, device=place),
        graphc.arange(5, 1, -1.7, device=place),
    ],
    "arange of dtypes": lambda place: [
        graphc.arange(3, 90, 4, dtype=getattr(graphc, dtype), device=place) for dtype in DTYPES
    ],
    "arange of fractions": lambda place: [
        graphc.arange(0.1, 40, 0.7, dtype=getattr(graphc, dtype), device=place) for dtype in DTYPES
    ],
    "arange into a tensor": lambda place: graphc.arange(5, out=graphc.empty(5, dtype=graphc.float32, device=place)),
    "arange of nothing": lambda place: graphc.arange(0, device=place),
    "eye": lambda place: [graphc.eye(*sizes, device=place) for sizes in ((3,), (2, 5), (5, 2), (0, 3), (3, 0))],
    "eye of bools": lambda place: graphc.eye(3, dtype=graphc.bool, device=place),
    "dirac_": lambda place: nn.init.dirac_(graphc.empty(4, 2, 3, device=place), 2),
    "eye_": lambda place: nn.init.eye_(graphc.empty(4, 2, device=place)),
}


@pytest.mark.parametrize("name", LOOKS)
def test_only_what_is_looked_at_comes_to_the_host(name: str) -> None:
    nbytes, look = LOOKS[name]
    x: Any = graphc.arange(8000.0).reshape(80, 100)
    there = x.cuda()
    expected = look(x)
    with Traffic() as traffic:
        assert look(there) == expected
    assert traffic.moved == (0, nbytes)


@pytest.mark.parametrize("name", MADE)
def test_tensors_that_count_are_made_on_the_gpu(name: str) -> None:
    with Traffic() as traffic:
        found = MADE[name]("cuda")
    assert traffic.moved == (0, 0)
    assert {each.device.type for each in (found if isinstance(found, list) else [found])} == {"cuda"}
    assert bits(found) == bits(MADE[name]("cpu"))
