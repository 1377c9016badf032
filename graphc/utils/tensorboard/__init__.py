"""What TensorBoard shows of a training: `SummaryWriter`. It needs `pip install 'graphc[tensorboard]'`."""

from graphc.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
