"""What starts a backward pass: `tensor.backward()`, `autograd.backward`, `autograd.grad`.

In: outputs, their cotangents, and perhaps the inputs asked for; each may be a tensor or its place on the tape. Out:
gradients in the leaves' `grad`, or given back.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from graphc.eager.dispatch import function_of
from graphc.eager.engine import run_backward
from graphc.eager.history import grad_fn, requires_grad_, retain_grad
from graphc.eager.node import AutogradError, Edge, GradNode, edge_of
from graphc.eager.placement import full_like, gpu_of, place_of
from graphc.eager.tensor import Tensor, wrap_constant, wrap_shared
from graphc.eager.transfer import transfer
from graphc.ir.dtype import DType
from graphc.ir.errors import SignatureError


class GradientEdge(NamedTuple):
    """A place on the tape: a result of a node. `autograd.grad` takes it in place of a tensor."""

    node: GradNode
    output_nr: int
    ownership_token: object = None


Place: TypeAlias = "Tensor | GradientEdge"
Places: TypeAlias = "Place | Sequence[Place] | dict[Any, Place]"
Cotangents: TypeAlias = "Tensor | Sequence[Tensor | None] | None"


def backward(
    tensors: Place | Sequence[Place],
    grad_tensors: Cotangents = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Cotangents = None,
    inputs: Places | None = None,
) -> None:
    """Compute the sum of the gradients of `tensors` by the leaves, and add it to their `grad`.

    `grad_tensors` are the cotangents, one for each tensor that has more than one element. With `inputs` only their
    `grad` changes.
    """
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise AutogradError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only "
                "use `grad_tensors`."
            )
        grad_tensors = grad_variables
    sources = None if inputs is None else _listed(inputs, "backward")
    roots = _roots(_outputs(tensors), grad_tensors)
    places: list[Edge] | None = None
    if sources is not None:
        for each in sources:
            if isinstance(each, Tensor) and (grad_fn(each) is not None or not each.requires_grad):
                retain_grad(each)
        places = [_edge(each, index, "backward") for index, each in enumerate(sources)]
    if create_graph:
        warnings.warn(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and its "
            "gradient which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid "
            "this. If you have to use this function, make sure to reset the .grad fields of your parameters to None "
            "after use to break the cycle and avoid the leak.",
            stacklevel=2,
        )
    keep = create_graph if retain_graph is None else retain_graph
    run_backward(roots, places, keep_graph=bool(keep), create_graph=bool(create_graph))


def tensor_backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Places | None = None,
) -> None:
    """Compute the gradients of the leaves behind this tensor, and add them to their `grad`.

    `gradient` is the cotangent, of the tensor's shape; a tensor of one element needs none.
    """
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def grad(
    outputs: Place | Sequence[Place],
    inputs: Places,
    grad_outputs: Cotangents = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The sum of the gradients of `outputs` by each of `inputs`, as a tuple, or as a dict where these are in one.

    No `grad` changes. With `create_graph` the results can be differentiated again. An input that the outputs don't
    depend on is an error, or None with `allow_unused`, or zeros with `materialize_grads`. With `is_grads_batched`
    cotangents have one dimension more, and so have the results: a pass for each.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    sources = _listed(inputs, "grad")
    results = _outputs(outputs)
    keep = bool(create_graph if retain_graph is None else retain_graph)
    if is_grads_batched:
        found = _batched(results, sources, grad_outputs, keep, create_graph, bool(allow_unused or materialize_grads))
    else:
        roots = _roots(results, grad_outputs)
        found = _found(roots, sources, keep, create_graph, bool(allow_unused or materialize_grads))
    if materialize_grads:
        found = [_zeros(source, create_graph) if each is None else each for source, each in zip(sources, found)]
    return dict(zip(inputs, found)) if isinstance(inputs, dict) else tuple(found)


def _found(
    roots: list[tuple[Edge, Tensor]], sources: Sequence[Place], keep: bool, create_graph: bool, allow_unused: bool
) -> list[Tensor | None]:
    places = [_edge(each, index, "grad") for index, each in enumerate(sources)]
    found = run_backward(roots, places, keep_graph=keep, create_graph=bool(create_graph), accumulate=False)
    for index, each in enumerate(found):
        if each is None and not allow_unused:
            raise AutogradError(
                f"The differentiated Tensor at index {index} appears to not have been used in the graph. Set "
                "allow_unused=True if this is the desired behavior."
            )
    return [None if each is None else _own(each, create_graph) for each in found]


def _batched(
    outputs: Sequence[Place],
    sources: Sequence[Place],
    given: Cotangents,
    keep: bool,
    create_graph: bool,
    allow_unused: bool,
) -> list[Tensor | None]:
    """A pass for each row of the cotangents; the gradients of one input as the rows of a tensor."""
    listed = _cotangents(given, len(outputs))
    for index, (output, cotangent) in enumerate(zip(outputs, listed)):
        shape = _kind(output)[0]
        if cotangent is not None and cotangent._array.shape[1:] != shape:
            given_shape = cotangent._array.shape[1:]
            raise AutogradError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
                "dimension. The sizes of the remaining dimensions are expected to match the shape of corresponding "
                f"output, but a mismatch was detected: grad_output[{index}] has a shape of {_size(given_shape)} and "
                f"output[{index}] has a shape of {_size(shape)}. If you only want some tensors in `grad_output` to be "
                "considered batched, consider using vmap."
            )
    count = max((each._array.shape[0] for each in listed if each is not None), default=0)
    row_of = function_of("select")
    passes = []
    for row in range(count):
        rows: Any = [None if each is None else row_of(each, 0, row) for each in listed]
        is_last = row == count - 1
        passes.append(_found(_roots(outputs, rows), sources, keep or not is_last, create_graph, allow_unused))
    stack: Any = function_of("stack")
    return [None if each[0] is None else stack(list(each)) for each in zip(*passes)]


def _own(gradient: Tensor, create_graph: bool) -> Tensor:
    return gradient if create_graph else wrap_shared(gradient._array, gradient._storage)


def _zeros(source: Place, create_graph: bool) -> Tensor:
    if isinstance(source, GradientEdge):
        raise AutogradError("materialize_grads cannot be used when the given input is a GradientEdge")
    return requires_grad_(wrap_constant(full_like(source._array, 0)), bool(create_graph))


def _listed(inputs: Places, name: str) -> list[Place]:
    """The inputs asked for."""
    if isinstance(inputs, Tensor | GradientEdge):
        return [inputs]
    if isinstance(inputs, Mapping) and type(inputs) is not dict:
        raise TypeError(
            f"`inputs` argument to `{name}()` must be a dict, not {type(inputs).__name__}. Other Mapping types are not "
            "supported."
        )
    found = list(inputs.values()) if isinstance(inputs, dict) else list(inputs)
    if not found:
        raise AutogradError(f"`inputs` argument to `{name}()` cannot be empty.")
    return found


def _outputs(tensors: Place | Sequence[Place]) -> tuple[Place, ...]:
    return (tensors,) if isinstance(tensors, Tensor | GradientEdge) else tuple(tensors)


def _edge(place: object, index: int, name: str) -> Edge:
    """Where the gradient of an input arrives."""
    if isinstance(place, GradientEdge):
        return place.node, place.output_nr
    if not isinstance(place, Tensor):
        raise AutogradError(f"all inputs have to be Tensors or GradientEdges, but got {type(place).__name__}")
    edge = edge_of(place)
    if edge is None:
        raise AutogradError("One of the differentiated Tensors does not require grad")
    return edge


def _kind(output: Place) -> tuple[tuple[int, ...], DType]:
    """Shape and dtype of an output."""
    if isinstance(output, Tensor):
        return output._array.shape, output.dtype
    found = output.node.result(output.output_nr)
    return found.shape, found.dtype  # type: ignore[return-value]  # sizes are numbers here


def _size(shape: tuple[int, ...]) -> str:
    return f"torch.Size({list(shape)})"


def _cotangents(given: Cotangents, count: int) -> tuple[Tensor | None, ...]:
    return (None,) * count if given is None else (given,) if isinstance(given, Tensor) else tuple(given)


def _roots(outputs: Sequence[Place], given: Cotangents) -> list[tuple[Edge, Tensor]]:
    """Where the backward pass starts, and with which cotangents."""
    listed = _cotangents(given, len(outputs))
    seeds = [_seed(output, cotangent, index) for index, (output, cotangent) in enumerate(zip(outputs, listed))]
    if len(listed) != len(outputs):
        raise AutogradError(f"got {len(outputs)} tensors and {len(listed)} gradients")
    roots: list[tuple[Edge, Tensor]] = []
    for index, (output, seed) in enumerate(zip(outputs, seeds)):
        edge = (output.node, output.output_nr) if isinstance(output, GradientEdge) else edge_of(output)
        if edge is None:
            raise AutogradError(f"element {index} of tensors does not require grad and does not have a grad_fn")
        assert seed is not None
        roots.append((edge, seed))
    return roots


def _seed(output: Place, cotangent: object, index: int) -> Tensor | None:
    """The cotangent of an output, which may be left out where it is one number."""
    shape, dtype = _kind(output)
    if cotangent is None:
        if isinstance(output, Tensor) and not output.requires_grad:
            return None
        if any(size != 1 for size in shape):
            raise AutogradError("grad can be implicitly created only for scalar outputs")
        if not dtype.is_floating_point:
            raise AutogradError(f"grad can be implicitly created only for real scalar outputs but got {dtype}")
        return wrap_constant(full_like(output._array, 1) if isinstance(output, Tensor) else np.ones(shape, dtype.numpy))
    if not isinstance(cotangent, Tensor):
        raise SignatureError(f"gradients can be either Tensors or None, but got {type(cotangent).__name__}")
    if cotangent._array.shape != shape:
        raise AutogradError(
            f"Mismatch in shape: grad_output[{index}] has a shape of {cotangent.shape} and output[{index}] has a shape "
            f"of {_size(shape)}."
        )
    if cotangent.dtype.is_complex != dtype.is_complex:
        raise AutogradError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{index}] has a dtype of {cotangent.dtype} and output[{index}] has a dtype of {dtype}."
        )
    if isinstance(output, Tensor) and gpu_of(cotangent._array) != gpu_of(output._array):
        if cotangent._array.ndim:
            raise AutogradError(
                f"invalid gradient at index {index} - expected device {place_of(output._array)} but got "
                f"{place_of(cotangent._array)}"
            )
        cotangent = transfer(cotangent, gpu_of(output._array))
    if cotangent.dtype is not dtype:
        cast: Any = function_of("to")(cotangent, dtype)
        return cast  # type: ignore[no-any-return]  # a tensor
    return cotangent


METHODS = {"backward": tensor_backward}
