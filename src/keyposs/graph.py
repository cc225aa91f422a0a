"""A trained network and its reading as one ONNX graph, and how far that is from torch."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from keyposs.codecs import DistanceMap
from keyposs.crop_tensor import cut_all
from keyposs.data import Synthetic
from keyposs.errors import KeyposError
from keyposs.module import LandmarkModule
from keyposs.pictures import cut
from keyposs.runtime import open_exported

OUTPUTS = "points", "scores", "covariance", "maps"
"""Names in the graph; covariances are left out where the codec tells none, maps where they are not asked for."""

IMAGE = {"image": {0: "faces"}}
"""What a graph of crops takes, with the names of the sizes that may be any."""

PHOTO = {"photo": {0: "height", 1: "width"}, "boxes": {0: "faces"}}
"""What a graph takes that cuts the faces of a photo itself."""

TALKATIVE = "onnx_ir", "onnxscript"
"""Loggers that tell of every constant they fold."""

NOISE = 30
"""Its standard deviation, of 0..255. Of noise alone many readings are undetermined, in torch as well."""

Faces = UInt8[Tensor, "n 3 s s"]


class Graph(nn.Module):
    """Image in, points out: all of `keyposs.predict` between a face's crop and its landmarks in pixels of the crop.

    Args:
        module: a trained network, in eval mode.
        reading: which of its codec's readings.
        faces: some crops, from which it sees what its codec tells of them.
        maps: whether the distance maps come out as well.

    Raises:
        KeyError: if the codec has no such reading.
        KeyposError: if maps are asked for and the codec has none.
    """

    inputs = IMAGE

    def __init__(self, module: LandmarkModule, reading: str, faces: Faces, maps: bool = False) -> None:
        super().__init__()
        self.landmarker, self.codec, self.reading = module.landmarker, module.codec, reading
        if maps and not isinstance(self.codec, DistanceMap):
            raise KeyposError("maps=true", f"codec={self.codec.method} has no distance maps", "leave maps= out")
        with torch.no_grad():
            output = module(faces)
        module.codec.decode(output)[reading]
        there = {"covariance": module.codec.covariance(output, reading) is not None, "maps": maps}
        self.outputs = tuple(name for name in OUTPUTS if there.get(name, True))

    def forward(self, image: Faces) -> tuple[Tensor, ...]:
        """Points (n, k, 2), scores (n, k), then what `outputs` names: covariances (n, k, 2, 2), maps (n, k, h, w)."""
        output = self.landmarker(image)
        read = self.codec.decode(output)[self.reading]
        if "covariance" in self.outputs:  # covariance() asks whether there is one
            read = *read, self.codec.spread.square() * self.codec.told(output)
        return (*read, self.codec.maps(output)) if "maps" in self.outputs else read


class PhotoGraph(nn.Module):
    """Photo and boxes in, points in pixels of the photo out: a graph that cuts the faces itself.

    Args:
        graph: of crops.
        image_size: side of a crop.
        padding: a crop's side over the longer side of its face's box.
    """

    inputs = PHOTO

    def __init__(self, graph: Graph, image_size: int, padding: float) -> None:
        super().__init__()
        self.reader, self.crop = graph, {"image_size": image_size, "padding": padding}
        self.outputs = graph.outputs

    def forward(self, photo: UInt8[Tensor, "h w 3"], boxes: Float[Tensor, "n 4"]) -> tuple[Tensor, ...]:
        """As `Graph`, in pixels of the photo."""
        crops, to_photo = cut_all(photo, boxes, **self.crop)
        points, scores, *rest = self.reader(crops)
        turn = to_photo[:, None, :, :2]
        points = (turn @ points[..., None])[..., 0] + to_photo[:, None, :, 2]
        if "covariance" in self.outputs:
            rest[0] = turn @ rest[0] @ turn.mT
        return points, scores, *rest


def samples(image_size: int, padding: float, count: int = 6) -> Faces:
    """Rendered faces, cut as a photo's are, every second one in noise."""
    faces = [
        cut(face.read(), face.box, image_size=image_size, padding=padding)[0]
        for face in Synthetic(test=count).annotations("test")
    ]
    crops = np.stack(faces).astype(np.float32)
    crops[1::2] += np.random.default_rng(0).normal(0, NOISE, crops[1::2].shape)
    return torch.from_numpy(crops.clip(0, 255).astype(np.uint8).transpose(0, 3, 1, 2).copy())


def scenes(faces: Faces) -> list[tuple[Tensor, Tensor]]:
    """Photos with boxes, for a graph that cuts faces itself: one face, and several, off the photo too, of all sizes."""
    side = faces.shape[-1]
    one, *others = (face.permute(1, 2, 0) for face in faces)
    sheet = torch.cat(others, 1).repeat_interleave(2, 0).repeat_interleave(2, 1)
    corner = 2.0 * side * torch.arange(len(others))
    wide = torch.tensor([0.1, 0.2, 1.8, 1.9]) * side
    boxes = wide + torch.stack([corner, 0 * corner, corner, 0 * corner], 1)
    boxes[-1] = torch.tensor([-0.4, 0.3, 0.5, 1.2]) * side
    return [(one, torch.tensor([[0.1, 0.1, 0.9, 0.8]]) * side), (sheet, boxes)]


def write(
    model: nn.Module,
    arguments: Sequence[Tensor],
    outputs: Sequence[str],
    facts: Mapping[str, str],
    file: Path,
    inputs: Mapping[str, Mapping[int, str]] = IMAGE,
) -> None:
    """Writes a module as ONNX.

    Args:
        model: in eval mode.
        arguments: what it may be called with; of what may have any size two or more.
        outputs: the names of what it gives.
        facts: the file's `metadata_props`.
        file: where to.
        inputs: the names of what it takes, with those of the sizes that may be any.
    """
    import onnx  # of the extra [export]

    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    with torch.no_grad():
        program = torch.onnx.export(
            model,
            tuple(arguments),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=[{dim: torch.export.Dim(name) for dim, name in free.items()} for free in inputs.values()],
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    for node in graph.graph.node:
        del node.metadata_props[:]  # where in which source file each operation stands
    onnx.helper.set_model_props(graph, dict(facts))
    onnx.save(graph, file)


def open_graph(file: Path) -> Callable[..., tuple[Tensor, ...]]:
    """A written graph as a function of tensors, run by onnxruntime on the CPU."""
    run = open_exported(file).run
    return lambda *arguments: tuple(map(torch.from_numpy, run(*(part.numpy() for part in arguments))))


@torch.no_grad()
def differences(
    graph: Graph | PhotoGraph, written: Callable[..., tuple[Tensor, ...]], cases: Iterable[Sequence[Tensor]]
) -> dict[str, float]:
    """The largest differences between what a graph and its module give of some arguments.

    Of points in pixels of the crop, or the photo; of scores; of covariances and maps as a share of their face's and
    point's largest entry.
    """
    largest = dict.fromkeys(graph.outputs, 0.0)
    for case in cases:
        for name, one, other in zip(graph.outputs, written(*case), graph(*case), strict=True):
            unit = other.abs().amax((-2, -1), keepdim=True) if name in OUTPUTS[2:] else 1.0
            largest[name] = max(largest[name], ((one - other).abs() / unit).max().item())
    return largest
