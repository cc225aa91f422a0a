"""Exported networks in 8-bit integers: calibrated on training faces, kept only where `val` is read about as well."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from keyposs.data import FaceDataModule
from keyposs.errors import KeyposError
from keyposs.graph import PHOTO
from keyposs.metrics import FaceErrors, nme_per_face, to_image
from keyposs.pictures import whole_box
from keyposs.runtime import Run, open_exported
from keyposs.types import Faces

CALIBRATION = 128
"""Training faces whose activations say how far each layer's integers reach."""

LAYERS = ["Conv", "Gemm", "MatMul"]
"""What is done in integers; what reads the maps stays in float32."""


class Cost(NamedTuple):
    """What integers cost, on `val`."""

    faces: int
    before: float  # NME in percent, in float32
    after: float  # and in integers
    largest: float  # pixels of the crop that a point moves at most
    mean: float  # and on average


def quantize(
    file: Path, faces: Callable[[], Iterator[Sequence[np.ndarray]]], facts: Mapping[str, str], quantized: Path
) -> None:
    """Writes a graph with 8-bit weights and activations, of layers that have weights.

    Args:
        file: the graph in float32.
        faces: what the graph takes, a call of it after another.
        facts: the new file's `metadata_props`.
        quantized: the new file.
    """
    import onnx
    from onnxruntime import quantization  # both of the extra [export]

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            names = open_exported(file).inputs
            self.calls = (dict(zip(names, call, strict=True)) for call in faces())

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.calls, None)

    was = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises a preparation that our graphs do not need
    try:
        quantization.quantize_static(
            onnx.load(file),
            quantized,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=LAYERS,
            extra_options={"MatMulConstBOnly": True},  # others are no layers
        )
    finally:
        logging.root.setLevel(was)
    graph = onnx.load(quantized)
    onnx.helper.set_model_props(graph, dict(facts))
    onnx.save(graph, quantized)


def calls(inputs: Sequence[str], images: Tensor, padding: float) -> Iterator[tuple[np.ndarray, ...]]:
    """What a graph takes of some crops: all of them, or one after another as a photo that a face fills."""
    if tuple(inputs) != tuple(PHOTO):
        yield (images.numpy(),)
        return
    box = whole_box(images.shape[-1], images.shape[-1], padding)[None].astype(np.float32)
    for image in images:
        yield image.permute(1, 2, 0).contiguous().numpy(), box


def calibrate(datamodule: FaceDataModule) -> Tensor:
    """Crops of training faces, (n, 3, s, s), spread over all of them.

    Raises:
        KeyposError: if the data has no training faces, or one is bad.
    """
    datamodule.setup("fit")
    count = len(datamodule.annotations("train"))
    chosen = np.unique(np.linspace(0, count - 1, min(count, CALIBRATION)).astype(int))
    return torch.stack([datamodule.face("train", int(i)).image for i in chosen])


def cost(before: Run, after: Run, inputs: Sequence[str], datamodule: FaceDataModule) -> Cost:
    """Reads `val` with a graph and with its integers.

    Args:
        before: the graph.
        after: the one in integers.
        inputs: what both take.
        datamodule: the faces, of the networks' own markup.
    """
    datamodule.setup("validate")
    errors = FaceErrors(datamodule.dataset.threshold), FaceErrors(datamodule.dataset.threshold)
    moved = []
    for faces in datamodule.val_dataloader():
        points = [_points(run, inputs, faces.image, datamodule.padding) for run in (before, after)]
        for metric, found in zip(errors, points, strict=True):
            metric.update(_errors(faces, found))
        moved.append(torch.linalg.vector_norm(points[1] - points[0], dim=-1).flatten())
    apart = torch.cat(moved)
    nme, worse = (float(metric.compute()["nme"]) for metric in errors)
    return Cost(int(errors[0].faces), nme, worse, float(apart.max()), float(apart.mean()))


def _points(run: Run, inputs: Sequence[str], images: Tensor, padding: float) -> Tensor:
    return torch.from_numpy(np.concatenate([run(*call)[0] for call in calls(inputs, images, padding)]))


def _errors(faces: Faces, points: Tensor) -> Tensor:
    in_photo = (to_image(faces.crop_to_image, part) for part in (points, faces.keypoints))
    return nme_per_face(*in_photo, faces.visible, faces.norm)


def check_cost(file: Path, found: Cost, worse: float) -> None:
    """The gate: refuses integers that read faces worse; NaN is worse too.

    Args:
        file: that was to be written.
        found: what they cost.
        worse: percent of the norm that they may cost.

    Raises:
        KeyposError: if they cost more.
    """
    if not found.after - found.before <= worse:
        cause = f"was not written: in 8 bits NME on val is {found.after:.2f}, {found.before:.2f} before; "
        cause += f"worse={worse:g} allows no more than {found.before + worse:.2f}"
        raise KeyposError(file, cause, "export without int8=true, or allow more with worse=")
