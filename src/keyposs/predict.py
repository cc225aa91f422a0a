"""`python -m keyposs.predict checkpoint=... source=...`: landmarks of pictures, as JSON, CSV and overlays."""

import csv
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from keyposs import viz
from keyposs.checkpoint import Checkpoint, adopt, load, read_once, restore
from keyposs.config import command
from keyposs.errors import KeyposError
from keyposs.files import atomic, write_json
from keyposs.metrics import to_image
from keyposs.module import LandmarkModule
from keyposs.pictures import (
    Picture,
    draw,
    find_pictures,
    overlay_names,
    picture_name,
    prepare,
    read_boxes,
    readable,
)


class Prediction(NamedTuple):
    """What was found in a picture."""

    name: str
    boxes: Float[np.ndarray, "n 4"]
    points: Float[np.ndarray, "n k 2"]  # pixels of the upright picture
    scores: Float[np.ndarray, "n k"]
    covariances: Float[np.ndarray, "n k 2 2"] | None  # pixels of the picture squared; where the codec tells them


@torch.inference_mode()
def predict_faces(
    module: LandmarkModule,
    crops: UInt8[np.ndarray, "n s s 3"],
    crop_to_image: Float[np.ndarray, "n 2 3"],
    decoder: str,
) -> tuple[Float[np.ndarray, "n k 2"], Float[np.ndarray, "n k"], Float[np.ndarray, "n k 2 2"] | None]:
    """Points in pixels of the pictures, scores and covariances of face crops: one forward pass, one decoder."""
    images = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).to(module.device)
    output = module(images)
    points, scores = module.codec.decode(output)[decoder]
    points = to_image(torch.from_numpy(crop_to_image), points.cpu().double())
    covariances, turn = module.codec.covariance(output), crop_to_image[:, None, :, :2]
    if covariances is not None:
        covariances = turn @ covariances.cpu().double().numpy() @ turn.swapaxes(-1, -2)
    return points.numpy(), scores.cpu().double().numpy(), covariances


def predict_pictures(
    module: LandmarkModule, pictures: Iterable[Picture], decoder: str, batch_size: int
) -> Iterator[tuple[Picture, Prediction]]:
    """The landmarks of all faces, picture by picture; faces of several pictures share a batch."""
    for group in _groups(pictures, batch_size):
        crops = np.concatenate([picture.crops for picture in group])
        matrices = np.concatenate([picture.crop_to_image for picture in group])
        cuts = [slice(i, i + batch_size) for i in range(0, len(crops), batch_size)]
        read = [predict_faces(module, crops[cut], matrices[cut], decoder) for cut in cuts]
        ends = np.cumsum([len(picture.boxes) for picture in group])[:-1]
        parts = (None if part[0] is None else np.split(np.concatenate(part), ends) for part in zip(*read, strict=True))
        points, scores, covariances = parts
        for i, picture in enumerate(group):
            spread = None if covariances is None else covariances[i]
            yield picture, Prediction(picture.name, picture.boxes, points[i], scores[i], spread)


def _groups(pictures: Iterable[Picture], faces: int) -> Iterator[list[Picture]]:
    """Pictures in groups that hold so many faces at least, save the last."""
    group: list[Picture] = []
    for picture in pictures:
        group.append(picture)
        if sum(len(picture.boxes) for picture in group) >= faces:
            yield group
            group = []
    if group:
        yield group


def plan(source: Path, boxes: Path | None) -> dict[Path, Float[np.ndarray, "n 4"] | None]:
    """The pictures to read, and the boxes of their faces; None for a face that fills its picture.

    Raises:
        KeyposError: if there is none, or the boxes are bad.
    """
    if not source.exists():
        raise KeyposError(source, "there is no such picture or folder", "check source=")
    if boxes is not None:
        folder = source if source.is_dir() else source.parent
        found = {file: b for file, b in read_boxes(boxes, folder).items() if file.is_relative_to(source)}
        if not found:
            raise KeyposError(boxes, f"has no box of source={source}", "give the source that its files lie in")
        return dict(found)
    files = find_pictures(source) if source.is_dir() else [source]
    if not files:
        raise KeyposError(source, "holds no picture", "give a folder of JPEG, PNG, TIFF, WebP or BMP files, or a file")
    return dict.fromkeys(files)


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


def build(config: DictConfig, checkpoint: Checkpoint) -> tuple[LandmarkModule, str]:
    """The trained network on its device, and the decoder that reads it.

    Raises:
        KeyposError: if `from_config`, `restore` or `choose_device` object.
    """
    module = restore(LandmarkModule.from_config(read_once(config), checkpoint.markup), checkpoint)
    return module.to(choose_device(config.device)).eval(), config.monitor or module.codec.names[0]


def predict(config: DictConfig, checkpoint: Checkpoint) -> list[Prediction]:
    """Finds the landmarks of all faces of `source` and writes them into the run directory.

    A broken picture is reported and left out; only where no picture can be read, that is an error.

    Raises:
        KeyposError: if checkpoint, source or boxes are bad.
    """
    start, run = time.perf_counter(), Path(config.run_dir)
    config = adopt(config, checkpoint)
    if config.batch_size < 1:
        raise KeyposError(f"batch_size={config.batch_size}", "is less than one face", "leave it out")
    source = Path(os.path.abspath(Path(str(config.source)).expanduser()))
    files = plan(source, None if config.boxes is None else Path(str(config.boxes)).expanduser())
    if config.boxes is None:
        _say("without boxes=, a face is taken to fill each picture: cut pictures to the face, or give boxes")
    module, decoder = build(config, checkpoint)
    folder = source if source.is_dir() else source.parent
    failed: dict[str, KeyposError] = {}
    pictures = read_pictures(files, folder, failed, {"image_size": config.image_size, "padding": config.padding})
    overlays = overlay_names([picture_name(file, folder) for file in files])
    predictions = []
    for picture, found in predict_pictures(module, pictures, decoder, config.batch_size):
        drawn = draw(picture, found.points, found.scores, module.markup, found.covariances)
        viz.save(run / "overlays" / overlays[picture.name], drawn)
        predictions.append(found)
    if not predictions:
        raise _none_read(source, list(failed.values()))
    write(run, predictions, failed, facts(module, checkpoint, decoder))
    _sum_up(predictions, failed, f"{time.perf_counter() - start:.1f} s: {run}")
    return predictions


def read_pictures(
    files: Mapping[Path, Float[np.ndarray, "n 4"] | None],
    folder: Path,
    failed: dict[str, KeyposError],
    crop: Mapping[str, Any],
) -> Iterator[Picture]:
    """Pictures with their faces cut out (`image_size`, `padding`); what is broken goes to `failed`."""
    for file, boxes in track(files.items(), "predicting"):
        name = picture_name(file, folder)
        try:
            yield prepare(file, name, boxes, **crop)
        except KeyposError as error:
            failed[name] = error


def facts(module: LandmarkModule, checkpoint: Checkpoint, decoder: str) -> dict[str, Any]:
    """What is true of all faces of `predictions.json`."""
    return {
        "checkpoint": readable(str(checkpoint.file)),
        "heatmap_size": checkpoint.config["heatmap_size"],
        "decoder": decoder,
        "unit": "pixels of the upright picture (turned as its EXIF orientation says); pixel i has its centre at i",
        "markup": module.markup.name,
        "point_names": module.markup.names,
    }


def write(
    run: Path, predictions: Sequence[Prediction], failed: Mapping[str, KeyposError], facts: Mapping[str, Any]
) -> None:
    """Writes `predictions.json` and `predictions.csv`, a row per face, each atomically."""
    faces = [
        {"file": found.name, "face": i, **face} for found in predictions for i, face in enumerate(_described(found))
    ]
    reasons = [{"file": name, "error": readable(str(error))} for name, error in failed.items()]
    write_json(run / "predictions.json", {**facts, "failed": reasons, "faces": faces})
    with atomic(run / "predictions.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        box_columns = (f"box_{name}" for name in ("x0", "y0", "x1", "y1"))
        point_columns = (f"{axis}{i}" for i in range(len(faces[0]["points"])) for axis in "xys")
        writer.writerow(["file", "face", *box_columns, *point_columns])
        for face in faces:
            values = (v for (x, y), s in zip(face["points"], face["scores"], strict=True) for v in (x, y, s))
            writer.writerow([face["file"], face["face"], *face["box"], *values])


def _described(found: Prediction) -> list[dict[str, Any]]:
    """Each face of a picture, as `predictions.json` has it."""
    columns = {"box": found.boxes.round(3), "points": found.points.round(3), "scores": found.scores.round(4)}
    if found.covariances is not None:
        columns["covariances"] = found.covariances.round(4)
    return [{name: values[i].tolist() for name, values in columns.items()} for i in range(len(found.boxes))]


def _sum_up(predictions: Sequence[Prediction], failed: Mapping[str, KeyposError], rest: str) -> None:
    for error in failed.values():
        _say(f"left out: {error}")
    broken = f"left out: {len(failed)}, " if failed else ""
    _say(f"faces: {sum(len(p.boxes) for p in predictions)}, pictures: {len(predictions)}, {broken}{rest}")


def _none_read(source: Path, errors: Sequence[KeyposError]) -> KeyposError:
    first = errors[0]
    if source.is_file():
        return first
    cause = f"none of its pictures can be read ({len(errors)} tried; {first.subject}: {first.cause})"
    return KeyposError(source, cause, first.remedy)


def _say(text: str) -> None:
    Console(soft_wrap=True).print(readable(text), markup=False, highlight=False)


@command("predict")
def main(config: DictConfig) -> None:
    """Predicts with a checkpoint into a directory of its own."""
    predict(config, load(config.checkpoint))


if __name__ == "__main__":
    main()
