"""Elements of a GPU's tensors chosen by their values: found on the GPU, as on the CPU, with one number for the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc import Tensor, nn
from graphc.ir.settings import override
from tests.cuda.traffic import Traffic, bits

COUNT = (0, 8)
NONE = (0, 0)
nan = float("nan")


def numbers(place: str) -> Any:
    return graphc.tensor([[3.0, -1.0, 2.0, 0.0], [5.0, 0.0, -2.0, 3.0], [-1.0, -4.0, 0.0, -3.0]]).to(place)


def written(x: Any, index: Any, value: Any) -> Any:
    x = x.clone()
    x[index] = value
    return x


READS: dict[str, tuple[tuple[int, int], Callable[[Any], Any]]] = {
    "mask": (COUNT, lambda x: x[x > 0]),
    "mask of a turned tensor": (COUNT, lambda x: x.t()[x.t() > 0]),
    "mask of nothing": (COUNT, lambda x: x[x > 9]),
    "mask of rows": (COUNT, lambda x: x[x.sum(1) > 0]),
    "mask of rows, then a slice": (COUNT, lambda x: x[x.sum(1) > 0, 1:]),
    "mask of columns": (COUNT, lambda x: x[:, x[0] > 0]),
    "mask of bytes": (COUNT, lambda x: x[(x > 0).byte()]),
    "mask and index": (COUNT, lambda x: x[x.sum(1) > 0, graphc.where(x[0] > 2, 1, 0)[:1]]),
    "indices": (NONE, lambda x: x[(x[0] > 2).long()]),
    "two index tensors": (NONE, lambda x: x[(x[0] > 2).long(), (x[1] > 2).int()]),
    "nonzero": (COUNT, lambda x: x.nonzero()),
    "nonzero as a tuple": (COUNT, lambda x: x.nonzero(as_tuple=True)),
    "nonzero of a row": (COUNT, lambda x: x[1].nonzero()),
    "nonzero of a number": ((0, 4), lambda x: x[0, 0].nonzero()),
    "nonzero_static": (NONE, lambda x: graphc.nonzero_static(x, size=5)),
    "nonzero_static of more": (NONE, lambda x: graphc.nonzero_static(x, size=15, fill_value=7)),
    "argwhere": (COUNT, lambda x: graphc.argwhere(x)),
    "where": (COUNT, lambda x: graphc.where(x > 0)),
    "masked_select": (COUNT, lambda x: x.masked_select(x[0] > 0)),
    "unique": (COUNT, lambda x: x.unique(return_inverse=True, return_counts=True)),
    "unique rows": (COUNT, lambda x: (x[:, :2] > 0).unique(dim=0, return_inverse=True, return_counts=True)),
    "unique columns": (COUNT, lambda x: (x > 0).unique(dim=1, return_inverse=True)),
    "unique_consecutive": (COUNT, lambda x: (x > 0).unique_consecutive(return_inverse=True, return_counts=True)),
    "unique_consecutive rows": (COUNT, lambda x: (x > 0).unique_consecutive(dim=0, return_counts=True)),
    "bincount": ((0, 16), lambda x: graphc.bincount(x.abs().long().reshape(-1), minlength=3)),
    "bincount of weights": ((0, 8), lambda x: graphc.bincount(x.abs().int().reshape(-1), x.reshape(-1) / 3)),
    "repeat_interleave": ((0, 9), lambda x: x.repeat_interleave((x[:, 0] > 0).int() * 2, 0)),
    "repeat_interleave by one": ((0, 9), lambda x: x.repeat_interleave((x[:1, 0] > 0).int() * 2)),
    "repeat_interleave of counts": ((0, 9), lambda x: graphc.repeat_interleave(x.abs().long()[0])),
    "one_hot": ((0, 16), lambda x: nn.functional.one_hot(x.abs().long())),
}
WRITES: dict[str, tuple[tuple[int, int], Callable[[Any], Any]]] = {
    "number": (NONE, lambda x: written(x, x > 0, 7)),
    "number of another dtype": (NONE, lambda x: written(x.int(), x > 0, 2.5)),
    "number in a tensor": (NONE, lambda x: written(x, x > 0, x[0, 0])),
    "number in rows": (NONE, lambda x: written(x, x.sum(1) > 0, 7)),
    "row": (NONE, lambda x: written(x, x.sum(1) > 0, x[2])),
    "row with a dimension": (NONE, lambda x: written(x, (x.sum(1) > 0,), x[2:])),
    "as many as hold": (COUNT, lambda x: written(x, x > 0, x.t().reshape(-1)[:4])),
    "rows, as many as hold": (COUNT, lambda x: written(x, x.sum(1) > 0, x[:2] + 9)),
    "turned tensor": (NONE, lambda x: written(x.t(), x.t() > 0, 7)),
    "columns": (COUNT, lambda x: written(x, (slice(None), x[0] > 0), 7)),
    "index": (NONE, lambda x: written(x, (x[0] > 2).long(), 7)),
    "index_put_": (NONE, lambda x: x.clone().index_put_(((x[0] > 2).long(),), x[0], accumulate=True)),
    "index_put_ of a mask": (COUNT, lambda x: x.clone().index_put_((x > 0,), x[0])),
    "masked_fill_": (NONE, lambda x: x.clone().masked_fill_(x > 0, 7)),
    "masked_scatter_": (NONE, lambda x: x.clone().masked_scatter_(x > 0, x * 2)),
}
USES = {**READS, **{f"write: {name}": use for name, use in WRITES.items()}}


@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
@pytest.mark.parametrize("name", USES)
def test_elements_are_found_on_the_gpu(name: str) -> None:
    moved, use = USES[name]
    x = numbers("cuda")
    with Traffic() as traffic:
        found = use(x)
    assert traffic.moved == moved
    assert {str(each.device) for each in (found if isinstance(found, tuple) else (found,))} == {"cuda:0"}
    assert bits(found) == bits(use(numbers("cpu")))


@pytest.mark.parametrize(
    "values",
    [[3.0, nan, -0.0, 0.0, 1.0, nan, 3.0, -0.0], [True, False, True], [[1, 2], [1, 2], [0, 5]], [], 4.0],
    ids=["nans and zeros", "bools", "rows", "nothing", "number"],
)
def test_special_numbers_and_shapes(values: Any) -> None:
    def found(place: str) -> Any:
        x: Any = graphc.tensor(values, device=place)
        results = [x.unique(True, True, True), x.unique_consecutive(True, True), x.nonzero(), x.masked_select(x != 0)]
        results.append(graphc.nonzero_static(x, size=2))
        results.append(written(x, x == 0, 1))
        if x.ndim:
            results.append(x.unique(True, True, True, dim=0))
        return bits(results)

    assert found("cuda") == found("cpu")


def test_sizes_may_differ_from_call_to_call() -> None:
    def use(place: str, size: int) -> Any:
        x: Any = graphc.arange(size * 4, device=place).reshape(size, 4) % 5
        return bits([x[x > 2], x.nonzero(), written(x, x > 2, x[x > 2] + 1)])

    for size in range(3, 7):
        assert use("cuda", size) == use("cpu", size)


def test_gradients_flow_through_what_masks_choose() -> None:
    def gradients(place: str) -> Any:
        x = numbers(place).requires_grad_()
        values = graphc.ones(4, device=place, requires_grad=True)
        y: Any = x * 2
        y[x > 0] = values * 3
        y[x.sum(1) < 0] = 5
        picked = y[x < 3]
        (picked * picked).sum().backward()
        return y, picked, x.grad, values.grad

    with override(backward="eager"):  # no program is made beside
        gradients("cuda")  # programs bring their constants with them
        with Traffic() as traffic:
            found = gradients("cuda")
    assert traffic.moved == (48, 16), "the numbers, and two counts"
    expected = gradients("cpu")
    assert bits(found) == bits(expected)
    names = [type(each.grad_fn).__name__ for each in found[:2]]
    assert names == [type(each.grad_fn).__name__ for each in expected[:2]] == ["IndexPutBackward0", "IndexBackward0"]


WRONG: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "too few values": (r"value tensor of shape \[2\] cannot be broadcast to indexing result of shape \[4\]",
                       lambda x: written(x, x > 0, x[0, :2])),
    "values of another size": (r"value tensor of shape \[3\] cannot be broadcast to indexing result of shape \[2, 4\]",
                               lambda x: written(x, x.sum(1) > 0, x[:, 0])),
    "another dtype": ("Index put requires the source and destination dtypes match",
                      lambda x: written(x, x > 0, x[0].int())),
    "values of the CPU": ("Expected all tensors to be on the same device", lambda x: written(x, x > 0, x[0].cpu())),
    "a mask of another shape": (r"The shape of the mask \[4\] at index 0 does not match", lambda x: x[x[0] > 0]),
    "an index too large": ("index 7 is out of bounds for dimension 0 with size 3", lambda x: x[(x[0] + 4).long()]),
    "an index too large, written": ("index 7 is out of bounds for dimension 0 with size 3",
                                    lambda x: written(x, (x[0] + 4).long(), 1)),
    "an index of nothing": ("index is out of bounds for dimension with size 0",
                            lambda x: x[:0][(x[0] > 9).long()]),
    "an index of nothing, written": ("index is out of bounds for dimension with size 0",
                                     lambda x: written(x[:0], (x[0] > 9).long(), 1)),
    "negative counts": ("bincount only supports 1-d non-negative integral inputs",
                        lambda x: graphc.bincount(x[0].long())),
    "negative repeats": ("repeats can not be negative", lambda x: x.repeat_interleave(x[:, 1].long(), 0)),
    "negative classes": ("Class values must be non-negative", lambda x: nn.functional.one_hot(x.long())),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_as_on_the_cpu(name: str) -> None:
    text, use = WRONG[name]
    with pytest.raises((RuntimeError, IndexError, ValueError), match=text):
        use(numbers("cuda"))


def test_a_write_by_a_mask_makes_a_new_version() -> None:
    x: Any = graphc.ones(3, device="cuda", requires_grad=True)
    y: Any = x * 2
    square = y * y
    y[y > 0] = 0
    assert isinstance(y, Tensor)
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        square.sum().backward()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        x[x > 0] = 0
