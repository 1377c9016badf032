"""Linear regression in the style of the PyTorch tutorials: tensors, `backward`, an update by hand, and plots.

    python examples/linear_regression.py [--out FOLDER] [--epochs N] [--seed N]

The data are points of a plane with noise. Prints the loss and the parameters on the way, and leaves `fit.png`, the data
with the line found for each feature, and `loss.png` in FOLDER.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

import graphc as torch

TRUE_WEIGHT = torch.tensor([[2.0], [-3.0]])
TRUE_BIAS = 10.0


def make_data(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points [count, 2] between -5 and 5, and their targets [count, 1]: a plane, and noise of variance 4."""
    x = 10 * torch.rand(count, 2) - 5
    y = x @ TRUE_WEIGHT + TRUE_BIAS + torch.normal(0.0, 2.0, size=(count, 1))
    return x, y


def batches(x: torch.Tensor, y: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The data in random order, `size` rows at a time."""
    order = torch.randperm(len(x))
    for rows in order.split(size):
        yield x[rows], y[rows]


def train(
    x: torch.Tensor, y: torch.Tensor, epochs: int, rate: float = 0.01
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Weight [2, 1], bias [1, 1] and the mean loss of each epoch."""
    weight = torch.randn(2, 1, requires_grad=True)
    bias = torch.zeros(1, 1, requires_grad=True)
    losses = []
    for epoch in range(1, epochs + 1):
        total = 0.0
        for features, target in batches(x, y, 20):
            loss = ((features @ weight + bias - target) ** 2).mean() / 2
            loss.backward()
            with torch.no_grad():
                for parameter in (weight, bias):
                    parameter -= rate * parameter.grad
                    parameter.grad.zero_()
            total += loss.item() * len(features)
        losses.append(total / len(x))
        if epoch == 1 or epoch % 10 == 0:
            print(f"epoch {epoch:3d}  loss {losses[-1]:8.4f}  {describe(weight, bias)}")
    return weight.detach(), bias.detach(), losses


def describe(weight: torch.Tensor, bias: torch.Tensor) -> str:
    """The parameters in a line."""
    numbers = ", ".join(f"{number:.4f}" for number in weight.flatten())
    return f"weight [{numbers}]  bias {bias.item():.4f}"


def draw_fit(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, path: Path) -> None:
    """The targets over each feature, without what the other feature contributes, and the line that was found."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    for i, (axis, colour) in enumerate(zip(axes, ("tab:blue", "tab:green"))):
        other = 1 - i
        rest = y[:, 0] - weight[other, 0] * x[:, other]
        ends = torch.tensor([-5.0, 5.0])
        axis.scatter(x[:, i].numpy(), rest.numpy(), s=12, alpha=0.5, color=colour, label="samples")
        axis.plot(ends.numpy(), (weight[i, 0] * ends + bias[0, 0]).numpy(), color="tab:red", linewidth=3, label="model")
        axis.set_xlabel(f"feature {i + 1}")
        axis.legend()
    axes[0].set_ylabel("target, the other feature's part taken away")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_losses(losses: list[float], path: Path) -> None:
    """The mean loss of each epoch; noise of variance 4 leaves 2."""
    figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
    axis.plot(range(1, len(losses) + 1), losses, marker=".")
    axis.axhline(2.0, color="grey", linestyle="--", label="what the noise leaves")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.set_xlabel("epoch")
    axis.set_ylabel("half the mean square error")
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> float:
    """Train, draw, and return the last loss."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    matplotlib.use("Agg")

    x, y = make_data(400)
    weight, bias, losses = train(x, y, options.epochs)
    print(f"found  {describe(weight, bias)}")
    print(f"true   {describe(TRUE_WEIGHT, torch.tensor(TRUE_BIAS))}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw_fit(x, y, weight, bias, options.out / "fit.png")
    draw_losses(losses, options.out / "loss.png")
    print(f"pictures: {options.out / 'fit.png'}, {options.out / 'loss.png'}")
    return losses[-1]


if __name__ == "__main__":
    main()
