"""Trained networks as functions of face crops, whatever runs them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8

from keyposs.checkpoint import open_module
from keyposs.errors import KeyposError
from keyposs.files import readable
from keyposs.graph import IMAGE, Graph
from keyposs.markup import Markup
from keyposs.module import LandmarkModule
from keyposs.pictures import cut
from keyposs.runtime import facts_of, is_exported, open_exported

Crops = UInt8[np.ndarray, "n 3 s s"]

Boxes = Float[np.ndarray, "n 4"]
"""x0, y0, x1, y1 in pixels of a photo."""

Marked = tuple[UInt8[np.ndarray, "_ _ 3"], Float[np.ndarray, "_ 4"]]
"""A photo with the boxes of its faces, of sizes of its own."""

BATCH = 32


class Read(NamedTuple):
    """What a network reads of faces: in pixels of crops, or of the photos that they were cut from."""

    points: Float[np.ndarray, "n k 2"]
    scores: Float[np.ndarray, "n k"]
    covariances: Float[np.ndarray, "n k 2 2"] | None  # where the method tells them


class Network(NamedTuple):
    """A trained network with one reading of its output, and how a face is cut for it."""

    run: Callable[[Crops], Sequence[np.ndarray]]  # points, scores and maybe covariances, in pixels of the crops
    markup: Markup
    image_size: int
    padding: float
    facts: dict[str, object]  # what outputs say of it: checkpoint, heatmap_size, decoder


def choose_device(name: str) -> torch.device:
    """The device of a name such as `cpu`, `cuda:1` or `mps`; for `auto` the best there is.

    Raises:
        KeyposError: if this machine has none such.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise KeyposError(f"device={name}", f"cannot be used here ({said})", "use device=auto or cpu") from error


def of_module(module: LandmarkModule, reading: str, image_size: int, padding: float, **facts: object) -> Network:
    """A torch module as a network; it runs where its weights lie.

    Args:
        module: in eval mode.
        reading: which of its codec's readings.
        image_size: side of a crop.
        padding: a crop's side over the longer side of its face's box.
        facts: what outputs shall say of it.
    """
    blank = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8, device=module.device)
    graph = Graph(module, reading, blank).eval()

    @torch.inference_mode()
    def run(crops: Crops) -> Sequence[np.ndarray]:
        return [part.cpu().double().numpy() for part in graph(torch.from_numpy(crops).to(module.device))]

    return Network(run, module.markup, image_size, padding, {**facts, "decoder": reading})


def open_network(path: str | Path, device: str) -> Network:
    """A trained network on a device, read as in training; or an exported one, run by ONNX Runtime.

    Raises:
        KeyposError: if there is none, it cannot be read, or the device is not there.
    """
    if is_exported(path):
        return _exported(path, device)
    module = open_module(path)
    config = module.config
    told = {"checkpoint": readable(str(path)), "heatmap_size": config["heatmap_size"]}
    on_device = module.to(choose_device(device))
    return of_module(on_device, config["monitor"], config["image_size"], config["padding"], **told)


def _exported(path: str | Path, device: str) -> Network:
    exported = open_exported(path, device)
    facts = facts_of(path, exported)
    if exported.inputs != tuple(IMAGE):
        cause = f"takes {' and '.join(exported.inputs)}, and cuts faces itself"
        raise KeyposError(path, cause, "export it with input=crop")

    def run(crops: Crops) -> Sequence[np.ndarray]:
        found = zip(exported.outputs, exported.run(crops), strict=True)
        return [part.astype(np.float64) for name, part in found if name != "maps"]

    cutting = facts.pop("image_size"), facts.pop("padding")
    return Network(run, facts.pop("markup"), *cutting, {"checkpoint": readable(str(path)), **facts})


def read_faces(network: Network, photos: Sequence[Marked], batch_size: int = BATCH) -> list[Read]:
    """Reads the faces in the boxes of some photos; faces of several photos share a batch.

    Args:
        network: that reads them.
        photos: each with the boxes of its faces.
        batch_size: the most faces at once.

    Returns:
        What stands in each photo, in its pixels.
    """
    faces = [(photo, box) for photo, boxes in photos for box in boxes]
    parts = [_batch(network, faces[i : i + batch_size]) for i in range(0, len(faces), batch_size)]
    if not parts:
        return [nothing(network.markup.size) for _ in photos]
    points, scores = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    spread = [part.covariances for part in parts if part.covariances is not None]
    ends = np.cumsum([len(boxes) for _, boxes in photos])[:-1]
    covariances = np.split(np.concatenate(spread), ends) if spread else [None] * len(photos)
    return [Read(*of) for of in zip(np.split(points, ends), np.split(scores, ends), covariances, strict=True)]


def nothing(k: int) -> Read:
    """What is read of no faces."""
    return Read(np.empty((0, k, 2)), np.empty((0, k)), np.empty((0, k, 2, 2)))


def _batch(network: Network, faces: Sequence[tuple[UInt8[np.ndarray, "_ _ 3"], Float[np.ndarray, " 4"]]]) -> Read:
    crop = {"image_size": network.image_size, "padding": network.padding}
    crops, matrices = zip(*(cut(photo, box, **crop) for photo, box in faces), strict=True)
    points, scores, *spread = network.run(np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2)))
    return to_photo(Read(points, scores, spread[0] if spread else None), np.stack(matrices))


def to_photo(read: Read, crop_to_image: Float[np.ndarray, "n 2 3"]) -> Read:
    """The same in pixels of the photos."""
    turn = crop_to_image[:, None, :, :2]
    points = (turn @ read.points[..., None])[..., 0] + crop_to_image[:, None, :, 2]
    covariances = None if read.covariances is None else turn @ read.covariances @ turn.swapaxes(-1, -2)
    return Read(points, read.scores, covariances)


def boxes_of(points: Float[np.ndarray, "n k 2"]) -> Boxes:
    """The tight boxes of the points."""
    return np.concatenate([points.min(1), points.max(1)], axis=1)
