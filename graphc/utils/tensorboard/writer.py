"""`SummaryWriter`: event files that TensorBoard shows, written by tensorboardX.

In: numbers, tensors, images, figures, texts, models, each under a tag and at a step. Out: files
`events.out.tfevents.*` in a folder.

    with SummaryWriter("runs/first") as writer:
        writer.add_scalar("loss", loss, step)
"""

from __future__ import annotations

import importlib.util
import io
import os
import socket
import time
import wave
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

import numpy as np

from graphc.eager.guard import guarded
from graphc.eager.tensor import Tensor
from graphc.ir.errors import ArgumentError, GraphcError
from graphc.utils.tensorboard.arrays import as_array, plain
from graphc.utils.tensorboard.graph import Operation, trace

try:
    from tensorboardX import SummaryWriter as _Inner
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.node_def_pb2 import NodeDef
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.proto.tensor_pb2 import TensorProto
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboardX.proto.types_pb2 import DataType
    from tensorboardX.proto.versions_pb2 import VersionDef
    from tensorboardX.summary import hparams
    from tensorboardX.writer import FileWriter
except ImportError as _error:
    raise ImportError(
        f"graphc.utils.tensorboard needs tensorboardX ({_error}): pip install 'graphc[tensorboard]'",
        name="tensorboardX",
    ) from None

__all__ = ["FileWriter", "SummaryWriter"]


class MissingPackage(GraphcError, ImportError):
    """A package that only this needs is not installed."""


def _require(package: str, method: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingPackage(f"{method} needs the package {package}", hint=f"pip install {package}")


class SummaryWriter:
    """Writes what TensorBoard shows into a folder; by default a new one below `runs`.

    `comment` is added to the name of that folder. After a restart `purge_step` hides events from that step on. Events
    are written when `max_queue` of them wait, or after `flush_secs` seconds, or by `flush` and `close`.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            log_dir = os.path.join("runs", f"{datetime.now():%b%d_%H-%M-%S}_{socket.gethostname()}{comment}")
        self.log_dir = log_dir
        self.purge_step = purge_step
        self.max_queue = max_queue
        self.flush_secs = flush_secs
        self.filename_suffix = filename_suffix
        self._inner: Any = _Inner(
            logdir=str(log_dir), max_queue=max_queue, flush_secs=flush_secs, filename_suffix=filename_suffix
        )
        self.default_bins: list[float] = self._inner.default_bins
        if purge_step is not None:
            self._add_event(Event(step=purge_step, file_version="brain.Event:2"))
            self._add_event(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))
            self.purge_step = None

    @property
    def file_writer(self) -> Any:
        """What writes the file; None once it is closed."""
        return self._inner.file_writer

    @property
    def all_writers(self) -> Any:
        """The same and those of `add_scalars`, by folder; None once they are closed."""
        return self._inner.all_writers

    def _get_file_writer(self) -> Any:
        return self._inner._get_file_writer()

    def _add_event(self, event: Any) -> None:
        self._get_file_writer().add_event(event)

    def get_logdir(self) -> str | os.PathLike[str]:
        """The folder of the files."""
        return self.log_dir

    # Numbers

    @guarded
    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number: a Python or numpy number, or a tensor of one element."""
        summary = _scalar(tag, scalar_value, new_style, double_precision)
        self._get_file_writer().add_summary(summary, plain(global_step), walltime)

    @guarded
    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers in one diagram, each in a folder of its own."""
        walltime = time.time() if walltime is None else walltime
        folder = self._get_file_writer().get_logdir()
        for tag, value in tag_scalar_dict.items():
            place = f"{folder}/{main_tag.replace('/', '_')}_{tag}"
            writer = self.all_writers.get(place)
            if writer is None:
                writer = FileWriter(place, self.max_queue, self.flush_secs, self.filename_suffix)
                self.all_writers[place] = writer
            writer.add_summary(_scalar(main_tag, value), plain(global_step), walltime)

    @guarded
    def add_tensor(
        self, tag: str, tensor: Tensor, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """All numbers of a tensor."""
        array = as_array(tensor)
        kind = getattr(DataType, f"DT_{_DATA_TYPES.get(array.dtype.name, array.dtype.name.upper())}")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in array.shape])
        content = TensorProto(dtype=kind, tensor_shape=shape, tensor_content=array.tobytes())
        self._get_file_writer().add_summary(
            Summary(value=[Summary.Value(tag=tag, tensor=content)]), plain(global_step), walltime
        )

    @guarded
    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How values are distributed; `bins` are edges, or a name that `numpy.histogram` knows."""
        array = as_array(values)
        if not array.size:
            raise ArgumentError("The input has no element.")
        self._inner.add_histogram(
            tag, array.astype(float).reshape(-1), plain(global_step), bins=bins, walltime=walltime, max_bins=max_bins
        )

    @guarded
    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: int,
        sum: float,
        sum_squares: float,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """A histogram that is counted already: upper ends of buckets, and how many values are in each."""
        limits, counts = as_array(bucket_limits).tolist(), as_array(bucket_counts).tolist()
        if len(limits) != len(counts):
            raise ArgumentError("len(bucket_limits) != len(bucket_counts), see the document.")
        facts = map(plain, (min, max, num, sum, sum_squares))
        self._inner.add_histogram_raw(tag, *facts, limits, counts, plain(global_step), walltime)

    @guarded
    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list[Any]] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """What a run was made with, and what came out of it, in a folder of its own."""
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        domains = hparam_domain_discrete or {}
        for name, values in domains.items():
            if name not in hparam_dict or not isinstance(values, list):
                raise TypeError(
                    f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict"
                )
        experiment, start, end = hparams({name: plain(value) for name, value in hparam_dict.items()}, metric_dict)
        _add_domains(experiment, domains)
        folder = os.path.join(str(self._get_file_writer().get_logdir()), run_name or str(time.time()))
        with SummaryWriter(folder) as writer:
            for summary in (experiment, start, end):
                writer._get_file_writer().add_summary(summary, plain(global_step))
            for name, value in metric_dict.items():
                writer.add_scalar(name, value, global_step)

    @guarded
    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision over recall, of labels (0 or 1) and predicted probabilities."""
        labels, predictions = as_array(labels), as_array(predictions)
        weights = None if weights is None else as_array(weights)
        self._inner.add_pr_curve(tag, labels, predictions, plain(global_step), num_thresholds, weights, walltime)

    @guarded
    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision over recall, of counts at each threshold."""
        counts = (true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts)
        arrays = map(as_array, (*counts, precision, recall))
        self._inner.add_pr_curve_raw(tag, *arrays, plain(global_step), num_thresholds, weights, walltime)

    def add_custom_scalars(self, layout: dict[str, dict[str, list[Any]]]) -> None:
        """Which scalars stand together in which diagrams."""
        self._inner.add_custom_scalars(layout)

    def add_custom_scalars_multilinechart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """A diagram of several scalars."""
        self._inner.add_custom_scalars_multilinechart(tags, category, title)

    def add_custom_scalars_marginchart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """A diagram of a scalar between two others."""
        self._inner.add_custom_scalars_marginchart(tags, category, title)

    # Pictures, sound, texts

    @guarded
    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """An image: floats in [0, 1], or bytes; `dataformats` names the dimensions."""
        self._inner.add_image(tag, as_array(img_tensor), plain(global_step), walltime, dataformats)

    @guarded
    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """A batch of images, in a grid."""
        self._inner.add_images(tag, as_array(img_tensor), plain(global_step), walltime, dataformats)

    @guarded
    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """An image with boxes `[n, 4]` drawn on it, each from left and top to right and bottom."""
        labels = [labels] * len(box_tensor) if isinstance(labels, str) else labels
        self._inner.add_image_with_boxes(
            tag, as_array(img_tensor), as_array(box_tensor), plain(global_step), walltime, dataformats, labels,
            rescale=rescale,
        )  # fmt: skip

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib, or a list of them; they are closed then."""
        _require("matplotlib", "add_figure")
        self._inner.add_figure(tag, figure, plain(global_step), close, walltime)

    @guarded
    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: int | None = None,
        fps: float = 4,
        walltime: float | None = None,
    ) -> None:
        """A video `[n, t, c, h, w]`: floats in [0, 1], or bytes. It takes the package moviepy."""
        _require("moviepy", "add_video")
        self._inner.add_video(tag, as_array(vid_tensor), plain(global_step), fps, walltime)

    @guarded
    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """A sound `[1, n]`: samples in [-1, 1]; others are clipped."""
        samples = np.clip(as_array(snd_tensor).squeeze(), -1, 1)
        if samples.ndim != 1:
            raise ArgumentError("input tensor should be 1 dimensional.")
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(int(sample_rate))
            sound.writeframes((samples * np.iinfo(np.int16).max).astype("<i2").tobytes())
        audio = Summary.Audio(
            sample_rate=sample_rate,
            num_channels=1,
            length_frames=len(samples),
            encoded_audio_string=buffer.getvalue(),
            content_type="audio/wav",
        )
        self._get_file_writer().add_summary(
            Summary(value=[Summary.Value(tag=tag, audio=audio)]), plain(global_step), walltime
        )

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """A text, in Markdown."""
        self._inner.add_text(tag, text_string, plain(global_step), walltime)

    @guarded
    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: dict[str, Any] | None = None,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Bodies or clouds of points: vertices `[b, n, 3]`, colors of the same shape, faces `[b, m, 3]`."""
        arrays = [None if each is None else as_array(each) for each in (vertices, colors, faces)]
        self._inner.add_mesh(tag, *arrays, config_dict, plain(global_step), walltime)

    @guarded
    def add_embedding(
        self,
        mat: Any,
        metadata: list[Any] | None = None,
        label_img: Any = None,
        global_step: int | None = None,
        tag: str = "default",
        metadata_header: list[str] | None = None,
    ) -> None:
        """Points `[n, d]` for the projector, with a label and a small square image `[n, c, h, h]` of each."""
        images = None if label_img is None else as_array(label_img)
        with np.errstate(invalid="ignore"):  # where images are missing in the last row, the sprite has nan
            self._inner.add_embedding(as_array(mat), metadata, images, plain(global_step), tag, metadata_header)

    # Models

    @guarded
    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """The operations of `model(input_to_model)`, below the modules that run them.

        The input is a tensor, or a list or tuple of arguments. `verbose` prints the graph. The call is watched as it
        runs, so any Python code will do, with or without `use_strict_trace`.
        """
        found = [_node(each) for each in trace(model, input_to_model)]
        graph = GraphDef(node=found, versions=VersionDef(producer=22))
        if verbose:
            print(graph)
        self._get_file_writer().add_event(Event(graph_def=graph.SerializeToString()))

    # The files

    def flush(self) -> None:
        """Write what waits."""
        if self.all_writers is not None:
            for writer in self.all_writers.values():
                writer.flush()

    def close(self) -> None:
        """Write what waits, and close the files; a later call of another method opens a new one."""
        if self.all_writers is None:
            return
        for writer in self.all_writers.values():
            writer.flush()
            writer.close()
        self._inner.file_writer = self._inner.all_writers = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


_DATA_TYPES = {"float16": "HALF", "float32": "FLOAT", "float64": "DOUBLE", "complex64": "COMPLEX64"}
"""What TensorFlow calls dtypes, where that is not numpy's name."""


def _scalar(tag: str, value: Any, new_style: bool = False, double_precision: bool = False) -> Any:
    array = as_array(value)
    if array.size != 1:
        raise ArgumentError(
            f"Tensor should contain one element (0 dimensions). Was given size: {array.size} and "
            f"{array.ndim} dimensions."
        )
    number = float(array.reshape(()))
    if not new_style:
        return Summary(value=[Summary.Value(tag=tag, simple_value=number)])
    content = (
        TensorProto(double_val=[number], dtype=DataType.DT_DOUBLE)
        if double_precision
        else TensorProto(float_val=[number], dtype=DataType.DT_FLOAT)
    )
    plugin = SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=tag, tensor=content, metadata=metadata)])


def _add_domains(experiment: Any, domains: dict[str, list[Any]]) -> None:
    """Tell which values each parameter may have."""
    if not domains:
        return
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        if info.name in domains:
            info.domain_discrete.extend(domains[info.name])
    plugin.content = content.SerializeToString()


def _node(operation: Operation) -> Any:
    shapes = [
        TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape]) for shape, _ in operation.results
    ]
    told = ", ".join(f"{dtype}[{', '.join(map(str, shape))}]" for shape, dtype in operation.results)
    return NodeDef(
        name=operation.name,
        op=operation.kind,
        input=operation.reads,
        attr={
            "_output_shapes": AttrValue(list=AttrValue.ListValue(shape=shapes)),
            "attr": AttrValue(s=told.encode()),
        },
    )
