"""Build a graph without a function: placeholders, operators, gradients; then compile and run it.

    python examples/symbolic.py

Fits a line by gradient descent, with the descent step written as symbols.
"""

from __future__ import annotations

import numpy as np

import graphc

x = graphc.placeholder((None, 3), "float32", name="x")
y = graphc.placeholder((x.shape[0],), "float32", name="y")
w = graphc.placeholder((3,), "float32", name="w")

error = x @ w - y
loss = (error * error).mean()
(slope,) = graphc.gradients(loss, [w])
descend = graphc.function([x, y, w], {"loss": loss, "w": w - 0.1 * slope}, name="descend")


def main(steps=200):
    """Fit; returns the weights found."""
    print(descend.graph)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((500, 3)).astype(np.float32)
    wanted = np.array([1.5, -2.0, 0.5], np.float32)
    values = points @ wanted + 0.01 * rng.standard_normal(500).astype(np.float32)
    weights = np.zeros(3, np.float32)
    for number in range(steps):
        result = descend(points, values, weights)
        weights = result["w"]
        if number % 50 == 0:
            print(f"step {number:3}  loss {result['loss']:.5f}")
    print("weights", weights.round(3), "wanted", wanted)
    return weights


if __name__ == "__main__":
    main()
