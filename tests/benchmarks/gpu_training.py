"""Training steps of networks with an optimizer, for graphc and torch alike.

In: a library in PyTorch's style, and a device. Out: `Pieces`, from which a step is made, as a whole or, as torch's
documentation has it, with the loss and the optimizer's step compiled. Weights differ between libraries, work doesn't.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from tests.benchmarks.gpu_compare import ATTENTION


@dataclass(frozen=True, slots=True)
class Pieces:
    """What a step consists of: `loss(model, *batch)`, its gradients, and the optimizer's step."""

    library: Any
    model: Any
    loss: Callable[..., Any]
    optimizer: Any
    batch: tuple[Any, ...]
    reason: str | None = None
    """Why bits may differ from the CPU's."""

    def step(self, compiled: Callable[[Any], Any] = lambda function: function) -> Callable[[], Any]:
        """A call that takes a step and gives the loss; `compiled` is done to the loss and to the optimizer's step."""
        loss, update = compiled(self.loss), compiled(self.optimizer.step)

        def step() -> Any:
            self.optimizer.zero_grad()
            value = loss(self.model, *self.batch)
            value.backward()
            update()
            return value

        return step


def _pieces(
    library: Any,
    device: str,
    model: Any,
    loss: Callable[..., Any],
    optimizer: Callable[..., Any],
    batch: tuple[Any, ...],
) -> Pieces:
    placed = model.to(device)
    return Pieces(library, placed, loss, optimizer(placed.parameters()), tuple(each.to(device) for each in batch))


def perceptron(torch: Any, device: str, *widths: int, batch: int) -> Pieces:
    """Linear layers with ReLU between them; squared errors, SGD."""
    with torch.device("cpu"):
        torch.manual_seed(0)
        model = _layers(torch, widths)
        data = torch.randn(batch, widths[0]), torch.randn(batch, widths[-1])

    def loss(model: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.mse_loss(model(x), y)

    return _pieces(torch, device, model, loss, partial(torch.optim.SGD, lr=1e-3), data)


def classifier(torch: Any, device: str, *widths: int, batch: int) -> Pieces:
    """Linear layers with ReLU between them; cross entropy, Adam."""
    with torch.device("cpu"):
        torch.manual_seed(0)
        model = _layers(torch, widths)
        data = torch.randn(batch, widths[0]), torch.randint(0, widths[-1], (batch,))

    return _pieces(torch, device, model, _cross_entropy(torch), partial(torch.optim.Adam, lr=1e-4), data)


def lenet(torch: Any, device: str, batch: int) -> Pieces:
    """LeNet on images of 3 x 32 x 32; cross entropy, SGD with momentum."""
    nn = torch.nn
    with torch.device("cpu"):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), *_layers(torch, (400, 120, 84, 10)),
        )  # fmt: skip
        data = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    optimizer = partial(torch.optim.SGD, lr=1e-3, momentum=0.9)
    return _pieces(torch, device, model, _cross_entropy(torch), optimizer, data)


def transformer(torch: Any, device: str, batch: int, length: int, width: int, heads: int) -> Pieces:
    """One block with causal attention and its norms first; squared errors, SGD."""
    with torch.device("cpu"):
        torch.manual_seed(0)
        model = _block(torch, width, heads)
        data = torch.randn(batch, length, width), torch.randn(batch, length, width)

    def loss(model: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.mse_loss(model(x), y)

    made = _pieces(torch, device, model, loss, partial(torch.optim.SGD, lr=1e-2), data)
    return Pieces(torch, made.model, made.loss, made.optimizer, made.batch, ATTENTION)


def language_model(torch: Any, device: str, batch: int, length: int, width: int, blocks: int, words: int) -> Pieces:
    """A GPT: embeddings of words and positions, blocks, a head; cross entropy of the next word, AdamW."""
    nn = torch.nn

    class LanguageModel(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.word, self.position = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(*(_block(torch, width, width // 64 or 2) for _ in range(blocks)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, x: Any) -> Any:
            places = torch.arange(x.shape[1], device=x.device)
            return self.head(self.norm(self.blocks(self.word(x) + self.position(places))))

    with torch.device("cpu"):
        torch.manual_seed(0)
        model = LanguageModel()
        data = (torch.randint(0, words, (batch, length + 1)),)

    def loss(model: Any, x: Any) -> Any:
        return nn.functional.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())

    made = _pieces(torch, device, model, loss, partial(torch.optim.AdamW, lr=3e-4), data)
    return Pieces(torch, made.model, made.loss, made.optimizer, made.batch, ATTENTION)


def _layers(torch: Any, widths: tuple[int, ...]) -> Any:
    layers: list[Any] = []
    for a, b in pairwise(widths):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _cross_entropy(torch: Any) -> Callable[..., Any]:
    def loss(model: Any, x: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(x), labels)

    return loss


def _block(torch: Any, width: int, heads: int) -> Any:
    """Attention that looks back, then two layers with GELU; each adds to what came in."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.parts, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape
            parts = self.parts(self.first(x)).reshape(batch, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
            return x + self.layers(self.second(x))

    return Block()


Make = Callable[[Any, str], Pieces]


def _made(function: Callable[..., Pieces], *numbers: int, **sizes: int) -> Make:
    return lambda torch, device: function(torch, device, *numbers, **sizes)


STEPS: dict[str, Make] = {
    "MLP 784-512-512-10, batch 256, Adam": _made(classifier, 784, 512, 512, 10, batch=256),
    "transformer block 256 wide, 8 x 128": _made(transformer, batch=8, length=128, width=256, heads=4),
    "LeNet, batch 64": _made(lenet, batch=64),
    "GPT of 4 blocks, 512 wide, 8 x 256": _made(language_model, batch=8, length=256, width=512, blocks=4, words=8192),
    "MLP 1000-100-10, batch 64, SGD": _made(perceptron, 1000, 100, 10, batch=64),
    "MLP 8-16-2, batch 4, SGD": _made(perceptron, 8, 16, 2, batch=4),
}
"""What is timed."""

SMALL_STEPS: dict[str, Make] = {
    "MLP, SGD": _made(perceptron, 8, 16, 2, batch=4),
    "MLP, Adam": _made(classifier, 50, 40, 10, batch=32),
    "LeNet": _made(lenet, batch=4),
    "transformer block": _made(transformer, batch=2, length=40, width=32, heads=2),
    "GPT": _made(language_model, batch=2, length=24, width=32, blocks=2, words=50),
}
"""The same, smaller: what is compared with the CPU."""
