"""Training steps of modules with an optimizer, written as PyTorch's users write them.

In: a library in PyTorch's style. Out: a function that takes a step and gives the loss, and its arguments. The sizes are
those of full and of quick runs; weights differ between libraries, work doesn't.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Step = tuple[Callable[..., Any], tuple[Any, ...]]


def _step(torch: Any, model: Any, optimizer: Any, inputs: Any, labels: Any) -> Step:
    loss = torch.nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step, (inputs, labels)


def perceptron(torch: Any, is_quick: bool) -> Step:
    """Two tiny layers and SGD: what everything around the arithmetic costs."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    return _step(torch, model, optimizer, torch.randn(8, 10), torch.randint(0, 4, (8,)))


def lenet(torch: Any, is_quick: bool) -> Step:
    """LeNet on 64 images of 28 x 28, with momentum."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    batch = 4 if is_quick else 64
    return _step(torch, model, optimizer, torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,)))


def transformer(torch: Any, is_quick: bool) -> Step:
    """Two blocks of a transformer encoder of width 128 on 16 sequences of 64, with AdamW."""
    nn = torch.nn
    width, batch, length = (16, 2, 8) if is_quick else (128, 16, 64)
    blocks = [nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True) for _ in range(2)]
    model = nn.Sequential(nn.Embedding(96, width), *blocks, nn.Linear(width, 96), nn.Flatten(0, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs, labels = (torch.randint(0, 96, (batch, length)) for _ in range(2))
    return _step(torch, model, optimizer, inputs, labels.flatten())


TRAININGS: dict[str, Callable[[Any, bool], Step]] = {
    "tiny MLP step, nn and SGD": perceptron,
    "LeNet step, batch 64": lenet,
    "transformer step": transformer,
}
