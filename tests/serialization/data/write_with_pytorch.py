"""Wrote the files beside it, by PyTorch 2.13: `python write_with_pytorch.py folder`. No test runs it."""

import collections
import pathlib
import sys

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 1)


DTYPES = (
    "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128 "
    "float8_e4m3fn float8_e5m2"
).split()


def main(folder):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.125)
    net(torch.ones(4, 2) * torch.arange(4.0)[:, None]).square().sum().backward()
    optimizer.step()
    states = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(states, folder / "training.pt")

    base = torch.arange(6.0)
    shared = {
        "base": base,
        "view": base[2:5],
        "transposed": base.reshape(2, 3).t(),
        "expanded": base[1].expand(3),
        "tied": (base, [base]),
        "parameter": nn.Parameter(torch.tensor([1.5, -2.0])),
        "frozen": nn.Parameter(torch.ones(1), requires_grad=False),
        "leaf": torch.ones(2, requires_grad=True),
    }
    torch.save(shared, folder / "shared.pt")

    torch.save({name: torch.tensor([0, 1, 2]).to(getattr(torch, name)) for name in DTYPES}, folder / "dtypes.pt")

    data = collections.OrderedDict(
        size=torch.Size([2, 3]),
        dtype=torch.bfloat16,
        device=torch.device("cpu"),
        none=None,
        flags=(True, False),
        numbers=[1, -300, 70000, 2**40, 2**80, 1.5, float("inf")],
        complex=1 + 2j,
        bytes=b"a\xff",
        bytearray=bytearray(b"z"),
        set={1, 2},
        counter=collections.Counter("aab"),
        scalar=np.float64(0.1),
        array=np.arange(6).reshape(2, 3),
        text="naïve \U0001f600",
        empty=torch.empty(0, 3),
        zero_dim=torch.tensor(7),
        conj=torch.tensor([1 + 2j]).conj(),
        layout=torch.strided,
    )
    torch.save(data, folder / "data.pt")

    old = {"base": base, "view": base[3:], "n": 2}
    torch.save(old, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(Net(), folder / "module.pt")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
