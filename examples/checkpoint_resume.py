"""Interrupt a training, resume it from its checkpoint, and compare with one that was never interrupted: same bits.

    pip install -e '.[examples]' && python examples/checkpoint_resume.py [--steps N] [--stop-at N] [--every N]

A checkpoint holds all that a training depends on: the parameters and running statistics of the model, the optimizer's
moments, the scheduler's place, the loader's place in the middle of an epoch, and the random numbers for shuffling and
dropout. It is written beside the old one and then takes its place, so there is a whole one at any time. Prints how the
two trainings went, and that they end with the same losses and parameters, to the last bit.
"""

import argparse
import sys
from pathlib import Path

from rich.progress import Progress
from sklearn.datasets import load_digits

import graphc as torch
import graphc.nn.functional as F
from graphc import nn, optim
from graphc.serialization import load_checkpoint, save_checkpoint
from graphc.utils.data import DataLoader, TensorDataset


class Interrupted(Exception):
    """Stands for a power cut."""


class Training:
    """A network for the digits that scikit-learn bundles, and all that trains it."""

    def __init__(self, seed, total_steps):
        torch.manual_seed(seed)
        digits = load_digits()
        images = torch.tensor(digits.data, dtype=torch.float32) / 16
        self.loader = DataLoader(TensorDataset(images, torch.tensor(digits.target)), batch_size=64, shuffle=True)
        self.model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
        self.optimizer = optim.AdamW(self.model.parameters(), lr=1e-3)
        self.scheduler = optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=1e-2, total_steps=total_steps)
        self.losses = []

    @property
    def parts(self):
        """What has a state, by the names it is saved under."""
        return {name: getattr(self, name) for name in ("model", "optimizer", "scheduler", "loader")}

    def save(self, path):
        """Write a checkpoint; random numbers are a part of it without being asked for."""
        save_checkpoint(path, **self.parts, losses=self.losses)

    def resume(self, path):
        """Go on where the checkpoint was written."""
        rest = load_checkpoint(path, **self.parts)
        self.losses = rest["losses"]

    def step(self, inputs, labels):
        """One step; returns its loss."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(inputs), labels)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()

    def run(self, steps, path=None, every=None, stop_at=None):
        """Train until `steps` steps are done, saving every few; raise Interrupted before step `stop_at`."""
        with Progress(disable=not sys.stdout.isatty()) as progress:
            task = progress.add_task("training", total=steps, completed=len(self.losses))
            while len(self.losses) < steps:
                for inputs, labels in self.loader:
                    if len(self.losses) in (steps, stop_at):
                        break
                    self.losses.append(self.step(inputs, labels))
                    progress.advance(task)
                    if path is not None and len(self.losses) % every == 0:
                        self.save(path)
                if len(self.losses) == stop_at:
                    raise Interrupted


def main(arguments=None):
    """Train without and with an interruption; returns whether both gave the same bits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--stop-at", type=int, default=130, help="the step at which the second training is interrupted")
    parser.add_argument("--every", type=int, default=50, help="steps from one checkpoint to the next")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the checkpoint")
    options = parser.parse_args(arguments)
    if not options.every <= options.stop_at < options.steps:
        parser.error("the interruption comes after the first checkpoint and before the end")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "checkpoint.safetensors"

    whole = Training(options.seed, options.steps)
    whole.run(options.steps)
    print(f"without interruption: {len(whole.losses)} steps, the last loss is {whole.losses[-1]!r}")

    first = Training(options.seed, options.steps)
    try:
        first.run(options.steps, path, options.every, options.stop_at)
    except Interrupted:
        print(f"interrupted after {len(first.losses)} steps; all that is left is {path}")

    second = Training(options.seed + 1, options.steps)  # another seed: what counts comes from the checkpoint
    second.resume(path)
    print(f"resumed after {len(second.losses)} steps")
    second.run(options.steps)
    print(f"with interruption: {len(second.losses)} steps, the last loss is {second.losses[-1]!r}")

    states = zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    same = whole.losses == second.losses and all(torch.equal(one, other) for one, other in states)
    print("all losses and parameters are the same, bit for bit" if same else "the two trainings differ")
    return same


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
