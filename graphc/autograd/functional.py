"""Derivatives of functions of tensors: Jacobians, Hessians, and their products with vectors.

In: a Python function of tensors and the point where its derivative is wanted. Out: tensors, in tuples where the
function takes or gives tuples. Products with a Jacobian from the right are made by differentiating backward passes.

>>> import graphc
>>> jacobian(lambda x: x**2, graphc.tensor([1.0, 2.0]))
tensor([[2., 0.],
        [0., 4.]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphc.eager.backward import grad
from graphc.eager.dispatch import function_of
from graphc.eager.history import detach, requires_grad_
from graphc.eager.mode import enable_grad, is_grad_enabled, set_grad_enabled
from graphc.eager.node import AutogradError
from graphc.eager.placement import full_like, gpu_of, on
from graphc.eager.tensor import Tensor, wrap
from graphc.eager.view import view_function

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors: TypeAlias = "tuple[Tensor, ...]"
Gradients: TypeAlias = "tuple[Tensor | None, ...]"

_OUTPUTS = "outputs of the user-provided function"


def vjp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """What the function gives, and v times its Jacobian; v has the shapes of what the function gives.

    With `create_graph` both can be differentiated; with `strict` an input without influence is an error.
    """
    with enable_grad():
        is_tuple, points = _prepared("inputs", inputs, "vjp", create_graph)
        gives_tuple, outputs = _as_tuple(_OUTPUTS, func(*points), "vjp")
        _require(outputs, "outputs", strict)
        if v is None:
            _check_single(outputs, "the user-provided function returns a single Tensor with a single element.")
        vector = None if v is None else _vector(v, outputs, gives_tuple, "vjp", create_graph)
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = _gradients(outputs, points, vector, create_graph)
        product = _filled(found, points, strict, create_graph, "back")
    return _delivered(outputs, gives_tuple, create_graph), _delivered(product, is_tuple, create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """What the function gives, and its Jacobian times v; v has the shapes of the inputs."""
    with enable_grad():
        _, points = _prepared("inputs", inputs, "jvp", create_graph)
        is_tuple = isinstance(inputs, tuple)
        vector = None if v is None else _vector(v, points, is_tuple, "jvp", create_graph)
        if v is None:
            _check_single(
                points, "the input to the user-provided function is a single Tensor with a single element.", "if"
            )
        gives_tuple, outputs = _as_tuple(_OUTPUTS, func(*points), "jvp")
        _require(outputs, "outputs", strict)
        seeds = _seeds(outputs)
        pulled = _gradients(outputs, points, seeds, create_graph=True)
        _require(pulled, "grad_inputs", strict)
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = _gradients(pulled, seeds, vector, create_graph)
        product = _filled(found, outputs, strict, create_graph, "back_trick")
    return _delivered(outputs, gives_tuple, create_graph), _delivered(product, gives_tuple, create_graph)


def vhp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """What the function of one element gives, and v times its Hessian; v has the shapes of the inputs."""
    with enable_grad():
        is_tuple, points, vector, outputs, slopes = _slopes("vhp", func, inputs, v, create_graph, strict)
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = _gradients(slopes, points, vector, create_graph)
        product = _filled(found, points, strict, create_graph, "double_back")
    return _delivered(outputs, False, create_graph), _delivered(product, is_tuple, create_graph)


def hvp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """What the function of one element gives, and its Hessian times v; `vhp` is quicker, and the same."""
    with enable_grad():
        is_tuple, points, vector, outputs, slopes = _slopes("hvp", func, inputs, v, create_graph, strict)
        seeds = _seeds(points)
        pulled = _gradients(slopes, points, seeds, create_graph=True)
        _require(slopes, "hessian", strict)
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = _gradients(pulled, seeds, vector, create_graph)
        product = _filled(found, points, strict, create_graph, "double_back_trick")
    return _delivered(outputs, False, create_graph), _delivered(product, is_tuple, create_graph)


def jacobian(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivatives of all that the function gives by all of the inputs.

    Of one output by one input a tensor whose shape is the output's followed by the input's; else a tuple by outputs,
    by inputs, or by outputs of tuples by inputs. `vectorize` changes nothing but which arguments go together.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs '
            'than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        return _columns(func, inputs, create_graph, strict, vectorize)
    with enable_grad():
        is_tuple, points = _prepared("inputs", inputs, "jacobian", create_graph)
        gives_tuple, outputs = _as_tuple(_OUTPUTS, func(*points), "jacobian")
        _require(outputs, "outputs", strict)
        if vectorize and strict:
            raise AutogradError(
                "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. "
                "Please either set `strict=False` or `vectorize=False`."
            )
        rows = [_rows(index, output, points, create_graph, strict) for index, output in enumerate(outputs)]
    listed = [_delivered(row, is_tuple, create_graph) for row in rows]
    return tuple(listed) if gives_tuple else listed[0]


def hessian(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function that gives one element, as `jacobian` arranges those of its gradient."""
    is_tuple, _ = _as_tuple("inputs", inputs, "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def scalar(*points: Tensor) -> object:
        gives_tuple, outputs = _as_tuple(_OUTPUTS, func(*points), "hessian")
        _require(outputs, "outputs", strict)
        _check_scalar("hessian", gives_tuple, outputs)
        return view_function("squeeze")(outputs[0])

    def gradient(*points: Tensor) -> Any:
        if outer_jacobian_strategy == "forward-mode":
            points = tuple(requires_grad_(each) for each in points)
        found = jacobian(scalar, points, create_graph=True)
        _require(found, "jacobian", strict)
        return found

    found = jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if is_tuple else found[0] if not isinstance(found[0], tuple) else found[0][0]


def _rows(index: int, output: Tensor, points: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The derivatives of one output by each of the inputs, by as many backward passes as it has elements."""
    parts: list[list[Tensor]] = [[] for _ in points]
    seed = np.zeros(output._array.shape, output._array.dtype)
    for place in range(seed.size):
        one = seed.copy()
        one.reshape(-1)[place] = 1
        found = _gradients((output,), points, (wrap(on(one, gpu_of(output._array))),), create_graph, keep=True)
        for number, (gradient, point) in enumerate(zip(found, points)):
            if gradient is None and strict:
                raise AutogradError(
                    f"Output {index} of the user-provided function is independent of input {number}. This is not "
                    "allowed in strict mode."
                )
            if gradient is not None and strict and create_graph and not gradient.requires_grad:
                raise AutogradError(
                    "The jacobian of the user-provided function is independent of input "
                    f"{index}. This is not allowed in strict mode when create_graph=True."
                )
            parts[number].append(_zeros(point) if gradient is None else gradient)
    return tuple(_stacked(each, output, point) for each, point in zip(parts, points))


def _columns(
    func: Callable[..., Any], inputs: Tensor | Tensors, create_graph: bool, strict: bool, vectorize: bool
) -> Any:
    """The Jacobian by products with one direction after another."""
    if create_graph:
        raise NotImplementedError(
            'torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are not supported '
            'together (yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.'
        )
    if strict:
        raise AutogradError(
            'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported '
            'together (yet). Please either set `strict=False` or `strategy="reverse-mode"`.'
        )
    is_tuple, points = _as_tuple("inputs", inputs, "jacobian")
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for "
            "`vectorize=True`."
        )
    columns: list[list[Tensors]] = []
    gives_tuple = False
    outputs: Tensors = ()
    for number, point in enumerate(points):
        columns.append([])
        for place in range(point._array.size):
            directions = [np.zeros(each._array.shape, each._array.dtype) for each in points]
            directions[number].reshape(-1)[place] = 1
            given, pushed = jvp(func, points, tuple(wrap(on(each, gpu_of(point._array))) for each in directions))
            gives_tuple, outputs = _as_tuple(_OUTPUTS, given, "jacobian")
            columns[-1].append(_as_tuple(_OUTPUTS, pushed, "jacobian")[1])
    rows = []
    for index, output in enumerate(outputs):
        row = []
        for point, found in zip(points, columns):
            shape = output._array.shape
            block = np.empty((*shape, point._array.size), output._array.dtype)
            for place, pushed in enumerate(found):
                block[..., place] = on(pushed[index]._array, None)
            row.append(wrap(on(block.reshape(shape + point._array.shape), gpu_of(output._array))))
        rows.append(tuple(row) if is_tuple else row[0])
    return tuple(rows) if gives_tuple else rows[0]


def _slopes(
    name: str,
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None,
    create_graph: bool,
    strict: bool,
) -> tuple[bool, Tensors, Tensors | None, Tensors, Gradients]:
    """The first half of a product with a Hessian: the point, the vector, the value and the gradient there."""
    is_tuple, points = _prepared("inputs", inputs, name, create_graph)
    if v is None:
        _check_single(points, "the input to the user-provided function is a single Tensor with a single element.", "if")
    vector = None if v is None else _vector(v, points, is_tuple, name, create_graph)
    gives_tuple, outputs = _as_tuple(_OUTPUTS, func(*points), name)
    _require(outputs, "outputs", strict)
    _check_scalar(name, gives_tuple, outputs)
    slopes = _gradients(outputs, points, None, create_graph=True)
    _require(slopes, "jacobian", strict)
    return is_tuple, points, vector, outputs, slopes


def _gradients(
    outputs: Sequence[Tensor | None],
    points: Tensors,
    cotangents: Sequence[Tensor] | None,
    create_graph: bool,
    keep: bool | None = None,
) -> Gradients:
    """The gradients of those outputs that have one."""
    given = (None,) * len(outputs) if cotangents is None else cotangents
    pairs = [(output, ct) for output, ct in zip(outputs, given) if output is not None and output.requires_grad]
    if not pairs:
        return (None,) * len(points)
    found: Gradients = grad(
        [output for output, _ in pairs],
        points,
        [ct for _, ct in pairs],
        create_graph=create_graph,
        retain_graph=keep,
        allow_unused=True,
    )
    return found


def _as_tuple(what: str, value: object, name: str) -> tuple[bool, Tensors]:
    """Whether the value is a tuple, and the tensors in it."""
    listed = value if isinstance(value, tuple) else (value,)
    for index, each in enumerate(listed):
        if not isinstance(each, Tensor):
            which = f"value at index {index}" if isinstance(value, tuple) else f"given {what}"
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the {which} has type "
                f"{type(each)}."
            )
    return isinstance(value, tuple), listed


def _prepared(what: str, value: object, name: str, create_graph: bool, needs: bool = True) -> tuple[bool, Tensors]:
    """The tensors as others, told from those that the function may know from elsewhere."""
    is_tuple, tensors = _as_tuple(what, value, name)
    return is_tuple, tuple(
        view_function("view_as")(each, each) if create_graph and each.requires_grad else _fresh(each, needs)  # type: ignore[misc]  # a tensor
        for each in tensors
    )


def _fresh(tensor: Tensor, needs: bool) -> Tensor:
    return requires_grad_(detach(tensor), needs)


def _vector(v: object, like: Tensors, is_tuple: bool, name: str, create_graph: bool) -> Tensors:
    """The vector of a product, checked against the tensors that it goes with."""
    _, vector = _prepared("v", v, name, create_graph, needs=False)
    if len(vector) != len(like):
        raise AutogradError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(vector)}."
            if is_tuple
            else "The given v should contain a single Tensor."
        )
    for index, (one, other) in enumerate(zip(vector, like)):
        if one._array.shape != other._array.shape:
            where = f"Entry {index} in " if is_tuple else ""
            raise AutogradError(f"{where}v has invalid size: should be {other.shape} but got {one.shape}.")
    return vector


def _check_single(tensors: Tensors, condition: str, word: str = "if") -> None:
    if len(tensors) != 1 or tensors[0]._array.size != 1:
        raise AutogradError(f"The vector v can only be None {word} {condition}")


def _check_scalar(name: str, is_tuple: bool, outputs: Tensors) -> None:
    if is_tuple:
        raise AutogradError(f"The function given to {name} should return a single Tensor")
    if outputs[0]._array.size != 1:
        raise AutogradError(f"The Tensor returned by the function given to {name} should contain a single element")


_INDEPENDENT = {
    "outputs": "Output {0} of the user-provided function does not require gradients. The outputs must be computed in a "
    "differentiable manner from the input when running in strict mode.",
    "grad_inputs": "The gradient with respect to input {0} is independent of the inputs of the user-provided function. "
    "This is not allowed in strict mode.",
    "jacobian": "While computing the hessian, found that the jacobian of the user-provided function with respect to "
    "input {0} is independent of the input. This is not allowed in strict mode. You should ensure that your function "
    "is twice differentiable and that the jacobian depends on the inputs (this would be violated by a linear function "
    "for example).",
    "hessian": "The hessian of the user-provided function with respect to input {0} is independent of the input. This "
    "is not allowed in strict mode. You should ensure that your function is thrice differentiable and that the hessian "
    "depends on the inputs.",
}
"""What strict mode says of a value that doesn't require a gradient."""
_MISSING = {
    "back": "The output of the user-provided function is independent of input {0}. This is not allowed in strict mode.",
    "back_trick": "The gradient with respect to the input is independent of entry {0} in the grad_outputs when using "
    "the double backward trick to compute forward mode gradients. This is not allowed in strict mode.",
    "double_back": "The jacobian of the user-provided function is independent of input {0}. This is not allowed in "
    "strict mode.",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {0} in the grad_jacobian. "
    "This is not allowed in strict mode as it prevents from using the double backward trick to replace forward mode "
    "AD.",
}
"""What strict mode says of a gradient that isn't there."""


def _require(values: Sequence[Tensor | None], what: str, strict: bool) -> None:
    """In strict mode, raise for the first of the values that depends on nothing."""
    if not strict:
        return
    for index, each in enumerate(values):
        if each is None:
            raise AutogradError(_MISSING["back"].format(index))
        if not each.requires_grad:
            raise AutogradError(_INDEPENDENT[what].format(index))


def _filled(found: Gradients, like: Tensors, strict: bool, create_graph: bool, stage: str) -> Tensors:
    """The gradients, with zeros for those that aren't there."""
    for index, each in enumerate(found):
        if strict and each is None:
            raise AutogradError(_MISSING[stage].format(index))
        if strict and create_graph and each is not None and not each.requires_grad:
            what = "hessian" if stage.startswith("double") else "jacobian"
            raise AutogradError(
                f"The {what} of the user-provided function is independent of input {index}. This is not allowed in "
                "strict mode when create_graph=True."
            )
    return tuple(_zeros(other) if each is None else each for each, other in zip(found, like))


def _zeros(like: Tensor) -> Tensor:
    return wrap(full_like(like._array, 0))


def _seeds(like: Tensors) -> Tensors:
    """Cotangents whose values don't matter, since what is computed of them is linear."""
    return tuple(requires_grad_(_zeros(each)) for each in like)


def _stacked(parts: Sequence[Tensor], output: Tensor, point: Tensor) -> Tensor:
    """The gradients of an output's elements, as one tensor."""
    shape = output._array.shape + point._array.shape
    if not parts:
        return wrap(on(np.zeros(shape, point._array.dtype), gpu_of(point._array)))
    result = view_function("view")(function_of("stack")(list(parts)), shape)
    assert isinstance(result, Tensor)
    return result


def _delivered(tensors: Tensors, is_tuple: bool, create_graph: bool) -> Tensor | Tensors:
    """As the caller wants them: recorded or not, in a tuple or not."""
    found = tensors if create_graph else tuple(detach(each) for each in tensors)
    return found if is_tuple else found[0]
