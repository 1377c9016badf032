"""The libraries that are measured: how each imports, runs a case, and takes a training step.

A library is made in a process of its own, for a number of threads that the environment tells it too. Each computes the
case's own lines; results are numpy arrays, so that they can be checked.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.case import Arrays, Case, digits, step_inputs, tiny_inputs
from tests.benchmarks.training import TRAININGS

Call = Callable[[], Any]
RATE, MOMENTUM = 0.2, 0.9


class Numpy:
    """numpy, as the case is written."""

    cached = False
    """Whether a cache of compiled code outlives the process."""

    def __init__(self, threads: int) -> None:
        pass

    def case(self, case: Case, inputs: Arrays) -> Call:
        """A call that does the work."""
        return lambda: case.function(np, *inputs)

    def step(self) -> Call | None:
        """A call that takes a training step and gives the loss; None where the library has no gradients."""
        return None

    def tiny_step(self) -> Call | None:
        """A call that takes the eager training step and gives the loss; None where the library is not eager."""
        return None

    def training(self, name: str, is_quick: bool) -> Call | None:
        """A call that takes a step of a module; None where the library has no modules."""
        return None

    def array(self, result: Any) -> Any:
        """A result as a numpy array, when the work is done."""
        return np.asarray(result)


class Graphc(Numpy):
    """graphc: every case is a compiled function."""

    cached = True

    def __init__(self, threads: int) -> None:
        self.graphc = importlib.import_module("graphc")
        self.graphc.set_num_threads(threads)

    def case(self, case: Case, inputs: Arrays) -> Call:
        # The function takes positional arguments alone, so that a call is what a user's call is.
        if len(inputs) == 1:
            compiled, (x,) = self.graphc.compile(lambda x: case.function(self.graphc, x)), inputs
            return lambda: compiled(x)
        compiled, (x, y) = self.graphc.compile(lambda x, y: case.function(self.graphc, x, y)), inputs
        return lambda: compiled(x, y)

    def step(self) -> Call:
        step = digits().step
        params, (x, labels) = step_inputs()
        state = params, {name: np.zeros_like(array) for name, array in params.items()}
        rate = np.float32(RATE)

        def call() -> Any:
            nonlocal state
            value, *state = step(*state, x, labels, rate)
            return value

        return call

    def training(self, name: str, is_quick: bool) -> Call:
        self.graphc.manual_seed(0)
        step, batch = TRAININGS[name](self.graphc, is_quick)
        compiled = self.graphc.compile(step)
        return lambda: compiled(*batch).detach()


class Jax(Numpy):
    """jax: every case is jitted, and waited for."""

    def __init__(self, threads: int) -> None:
        if threads == 1 and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # jax has no setting that holds it to one thread
        self.jax = importlib.import_module("jax")

    def case(self, case: Case, inputs: Arrays) -> Call:
        jitted = self.jax.jit(lambda *arrays: case.function(self.jax.numpy, *arrays))
        arrays = [self.jax.numpy.asarray(x) for x in inputs]
        return lambda: jitted(*arrays).block_until_ready()

    def step(self) -> Call:
        jax, jnp = self.jax, self.jax.numpy
        params, (x, labels) = step_inputs()
        x, labels = jnp.asarray(x), jnp.asarray(labels)

        def loss(p: Any, x: Any, labels: Any) -> Any:
            scores = jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
            return -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], 1).mean()

        def update(p: Any, v: Any, x: Any, labels: Any) -> Any:
            value, g = jax.value_and_grad(loss)(p, x, labels)
            v = {name: MOMENTUM * v[name] + g[name] for name in p}
            return value, {name: p[name] - RATE * (g[name] + MOMENTUM * v[name]) for name in p}, v

        jitted = jax.jit(update, donate_argnums=(0, 1))
        state = jax.tree.map(jnp.asarray, (params, {name: np.zeros_like(array) for name, array in params.items()}))

        def call() -> Any:
            nonlocal state
            value, *state = jitted(*state, x, labels)
            return jax.block_until_ready((value, state))[0]

        return call


class Eager(Numpy):
    """A library in PyTorch's style, in eager mode."""

    module: str

    def __init__(self, threads: int) -> None:
        self.torch = importlib.import_module(self.module)
        self.torch.set_num_threads(threads)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is done to a function before it is called."""
        return function

    def case(self, case: Case, inputs: Arrays) -> Call:
        function = self.compile(lambda *tensors: case.function(self.torch, *tensors))
        tensors = [self.torch.from_numpy(x) for x in inputs]

        def call() -> Any:
            with self.torch.no_grad():
                return function(*tensors)

        return call

    def training(self, name: str, is_quick: bool) -> Call:
        self.torch.manual_seed(0)
        step, batch = TRAININGS[name](self.torch, is_quick)
        return lambda: step(*batch).detach()

    def tiny_step(self) -> Call:
        torch = self.torch
        arrays, batch = tiny_inputs()
        params = [torch.from_numpy(array).requires_grad_() for array in arrays]
        w1, b1, w2, b2 = params
        x, y = map(torch.from_numpy, batch)

        def call() -> Any:
            value = ((torch.relu(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()
            for p in params:
                p.grad = None
            value.backward()
            with torch.no_grad():
                for p in params:
                    p.add_(p.grad, alpha=-1e-2)
            return value.detach()

        return call


class GraphcEager(Eager):
    """graphc's eager tensors."""

    module = "graphc"
    cached = True


class Torch(Eager):
    """torch in eager mode."""

    module = "torch"

    def step(self) -> Call:
        torch, functional = self.torch, self.torch.nn.functional
        params, (x, labels) = step_inputs()
        p = {name: torch.nn.Parameter(torch.from_numpy(array)) for name, array in params.items()}
        optimizer = torch.optim.SGD(p.values(), lr=RATE, momentum=MOMENTUM, nesterov=True)
        x, labels = torch.from_numpy(x), torch.from_numpy(labels)

        def loss(x: Any, labels: Any) -> Any:
            return functional.cross_entropy(functional.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"], labels)

        forward, update = self.compile(loss), self.compile(optimizer.step)

        def call() -> Any:
            optimizer.zero_grad()
            value = forward(x, labels)
            value.backward()
            update()
            return value.detach()

        return call


class TorchCompile(Torch):
    """torch.compile, on the loss and on the optimizer's step; it needs a C++ compiler."""

    cached = True

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.torch.compile(function)  # type: ignore[no-any-return]

    def tiny_step(self) -> None:
        return None

    def training(self, name: str, is_quick: bool) -> None:
        return None


LIBRARIES: dict[str, type[Numpy]] = {
    "graphc": Graphc,
    "graphc eager": GraphcEager,
    "numpy": Numpy,
    "torch": Torch,
    "torch.compile": TorchCompile,
    "jax": Jax,
}
MODULES = {
    "graphc": "graphc",
    "graphc eager": "graphc",
    "numpy": "numpy",
    "torch": "torch",
    "torch.compile": "torch",
    "jax": "jax",
}
