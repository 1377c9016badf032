"""Train a two-layer network on handwritten digits; the whole training step is one compiled call.

    pip install -e '.[examples]' && python examples/digits.py

Data: the 1,797 digits of 8 x 8 pixels that scikit-learn bundles, one fifth of them kept for the test. The step takes
the parameters and a batch, computes the loss, its gradients and the updated parameters (Nesterov momentum), and returns
them: forward, backward and update are one graph, compiled once. Draws the loss curve and the confusion matrix of the
test digits as PNG files.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws to files, needs no display
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import graphc

BATCH, RATE, MOMENTUM = 64, 0.2, 0.9
NOISE = 0.2  # added to the pixels in training: without it the test accuracy is a percent lower


def forward(params, x):
    """Scores of the ten digits for images x [batch, 64]."""
    hidden = graphc.relu(x @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def loss(params, x, labels):
    """Mean cross entropy."""
    return graphc.cross_entropy(forward(params, x), labels)


@graphc.compile
def step(params, velocity, x, labels, rate):
    """One training step: (loss, new parameters, new velocity)."""
    value, grads = graphc.value_and_grad(loss)(params, x, labels)
    velocity = {name: MOMENTUM * velocity[name] + grads[name] for name in params}
    params = {name: params[name] - rate * (grads[name] + MOMENTUM * velocity[name]) for name in params}
    return value, params, velocity


@graphc.compile(dynamic={"x": {0: "batch"}})
def predict(params, x):
    """The most likely digit of each image; any batch size, one program."""
    return forward(params, x).argmax(dim=1)


def initial_parameters(rng, hidden):
    """Weights uniform in +-1/sqrt(inputs), as torch.nn.Linear starts."""

    def uniform(inputs, *shape):
        return rng.uniform(-(inputs**-0.5), inputs**-0.5, shape).astype(np.float32)

    return {
        "w1": uniform(64, 64, hidden),
        "b1": uniform(64, hidden),
        "w2": uniform(hidden, hidden, 10),
        "b2": uniform(hidden, 10),
    }


def load_data(seed):
    """(train images, test images, train labels, test labels), pixels from 0 to 1."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    return train_test_split(images, digits.target, test_size=0.2, random_state=seed, stratify=digits.target)


def train(images, labels, epochs, hidden, seed, progress):
    """The trained parameters and the loss of every step, [epochs, batches]."""
    rng = np.random.default_rng(seed)
    params = initial_parameters(rng, hidden)
    velocity = {name: np.zeros_like(array) for name, array in params.items()}
    batches = len(images) // BATCH
    losses = np.zeros((epochs, batches))
    task = progress.add_task("training", total=losses.size, loss="")
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / epochs))  # cosine decay
        for i in range(batches):
            chosen = order[i * BATCH : (i + 1) * BATCH]
            noise = NOISE * rng.standard_normal((BATCH, 64), np.float32)
            value, params, velocity = step(params, velocity, images[chosen] + noise, labels[chosen], np.float32(rate))
            losses[epoch, i] = value
            progress.update(task, advance=1, loss=f"loss {value:.3f}")
    return params, losses


def draw(folder, losses, confusion):
    """Write loss.png and confusion.png."""
    folder.mkdir(parents=True, exist_ok=True)
    epochs, batches = losses.shape
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(losses.ravel(), color="tab:blue", alpha=0.3, label="each step")
    axes.plot((np.arange(epochs) + 0.5) * batches, losses.mean(axis=1), color="tab:blue", label="mean of each epoch")
    axes.set(xlabel="step", ylabel="cross entropy", yscale="log", title="Training loss")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(folder / "loss.png", dpi=120)
    plt.close(figure)

    figure, axes = plt.subplots(figsize=(6, 5.4), layout="constrained")
    shown = axes.imshow(confusion, cmap="Blues", norm=PowerNorm(0.4))  # single mistakes stay visible
    figure.colorbar(shown, ax=axes, label="test digits")
    for true, guess in np.argwhere(confusion):
        color = "white" if confusion[true, guess] > confusion.max() / 3 else "black"
        axes.text(guess, true, confusion[true, guess], ha="center", va="center", color=color)
    title = f"{confusion.trace()} of {confusion.sum()} test digits right"
    axes.set(xlabel="predicted", ylabel="true", title=title, xticks=range(10), yticks=range(10))
    figure.savefig(folder / "confusion.png", dpi=120)
    plt.close(figure)


def main(arguments=None):
    """Train, report, draw; returns the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--hidden", type=int, default=128, help="width of the hidden layer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    options = parser.parse_args(arguments)
    train_images, test_images, train_labels, test_labels = load_data(options.seed)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}")
    with Progress(*columns, TimeRemainingColumn()) as progress:
        start = time.perf_counter()
        params, losses = train(train_images, train_labels, options.epochs, options.hidden, options.seed, progress)
        seconds = time.perf_counter() - start
    guesses = predict(params, test_images)
    accuracy = float((guesses == test_labels).mean())
    confusion = np.zeros((10, 10), np.int64)
    np.add.at(confusion, (test_labels, guesses), 1)
    draw(options.out, losses, confusion)
    (compilation,) = step.compilations
    launches = len(compilation.executable.program.launches)
    print(f"{losses.size} steps in {seconds:.2f} s, compiling included; a step is one call of {launches} kernels")
    print(f"test accuracy {accuracy:.1%}; pictures in {options.out}/")
    return accuracy


if __name__ == "__main__":
    main()
