"""Train a convolutional network of the LeNet kind on handwritten digits, as in the PyTorch tutorials.

    pip install -e '.[examples]' && python examples/mnist_style_cnn.py [--epochs N] [--no-compile]

Data: the 1,797 digits that scikit-learn bundles, drawn larger, from 8 x 8 to 32 x 32 pixels; one fifth is kept for the
test. Prints the mean loss of each epoch and the accuracy on the test digits: after ten epochs 98% of them are right.

A training step (forward, backward, update) is one native call, since `graphc.compile` has recorded it. With
`--no-compile` it runs operation by operation; the numbers are the same to the last bit.
"""

import argparse
import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.datasets import load_digits

import graphc as torch
import graphc.nn.functional as F
from graphc import nn, optim
from graphc.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    """Two convolutions and three linear layers: scores of the ten digits for images [batch, 1, 32, 32]."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def load_data(batch_size):
    """Loaders of the training and the test digits."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1  # [1797, 1, 8, 8], from -1 to 1
    images = F.interpolate(images, size=(32, 32), mode="bilinear")
    data = TensorDataset(images, torch.tensor(digits.target))
    train_data, test_data = random_split(data, [0.8, 0.2])
    # Without the last, smaller batch, all steps are of one kind, and one program serves them.
    return DataLoader(train_data, batch_size, shuffle=True, drop_last=True), DataLoader(test_data, batch_size=1000)


def train(net, loader, epochs, lr, is_compiled):
    """Train the network; returns the mean loss of each epoch."""
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9)

    def step(inputs, labels):
        optimizer.zero_grad()
        loss = criterion(net(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    if is_compiled:
        step = torch.compile(step)

    means = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("training", total=epochs * len(loader))
        for epoch in range(1, epochs + 1):
            running_loss = 0.0
            for inputs, labels in loader:
                running_loss += step(inputs, labels).item()
                progress.advance(task)
            means.append(running_loss / len(loader))
            progress.console.print(f"epoch {epoch:2d}  loss {means[-1]:.4f}")
    return means


@torch.no_grad()
def accuracy(net, loader):
    """The part of the digits for which the highest score is the right one."""
    net.eval()
    right = sum((net(inputs).argmax(dim=1) == labels).sum().item() for inputs, labels in loader)
    return right / len(loader.dataset)


def main(arguments=None):
    """Train, report; returns the mean loss of each epoch and the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="the step, as a whole")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    train_loader, test_loader = load_data(options.batch_size)
    net = Net()

    start = time.perf_counter()
    losses = train(net, train_loader, options.epochs, options.lr, options.compile)
    seconds = time.perf_counter() - start
    found = accuracy(net, test_loader)
    print(f"{options.epochs * len(train_loader)} steps in {seconds:.1f} s, compiling included")
    print(f"test accuracy {found:.1%}")
    return losses, found


if __name__ == "__main__":
    main()
