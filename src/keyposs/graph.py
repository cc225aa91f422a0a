"""A trained network and its reading as one ONNX graph, and how far that is from torch."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from keyposs.codecs import DistanceMap
from keyposs.data import Synthetic
from keyposs.errors import KeyposError
from keyposs.module import LandmarkModule
from keyposs.pictures import cut

INPUT, OUTPUTS = "image", ("points", "scores", "covariance", "maps")
"""Names in the graph; covariances are left out where the codec tells none, maps where they are not asked for."""

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


def samples(image_size: int, padding: float, count: int = 6) -> Faces:
    """Rendered faces, cut as a photo's are, every second one in noise."""
    faces = [
        cut(face.read(), face.box, image_size=image_size, padding=padding)[0]
        for face in Synthetic(test=count).annotations("test")
    ]
    crops = np.stack(faces).astype(np.float32)
    crops[1::2] += np.random.default_rng(0).normal(0, NOISE, crops[1::2].shape)
    return torch.from_numpy(crops.clip(0, 255).astype(np.uint8).transpose(0, 3, 1, 2).copy())


def write(model: nn.Module, image: Tensor, outputs: Sequence[str], facts: Mapping[str, str], file: Path) -> None:
    """Writes a module of one argument as ONNX, of any number of faces.

    Args:
        model: in eval mode.
        image: an argument of two faces or more, like all others but for their number.
        outputs: the names of what it gives.
        facts: the file's `metadata_props`.
        file: where to.
    """
    import onnx  # of the extra [export]

    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    with torch.no_grad():
        program = torch.onnx.export(
            model,
            (image,),
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes=[{0: torch.export.Dim("faces")}],
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


def open_graph(file: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A written graph as a function of images, run by onnxruntime on the CPU with as many threads as torch has."""
    import onnxruntime  # of the extra [export]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda image: tuple(torch.from_numpy(part) for part in session.run(None, {INPUT: image.numpy()}))


@torch.no_grad()
def differences(graph: Graph, written: Callable[[Tensor], tuple[Tensor, ...]], faces: Faces) -> dict[str, float]:
    """The largest differences between what a graph and its module give, of one face and of all others together.

    Of points in pixels of the crop; of scores; of covariances and maps as a share of their face's and point's largest
    entry.
    """
    largest = dict.fromkeys(graph.outputs, 0.0)
    for batch in (faces[:1], faces[1:]):
        for name, one, other in zip(graph.outputs, written(batch), graph(batch), strict=True):
            unit = other.abs().amax((-2, -1), keepdim=True) if name in OUTPUTS[2:] else 1.0
            largest[name] = max(largest[name], ((one - other).abs() / unit).max().item())
    return largest
