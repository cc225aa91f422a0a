"""`python -m keyposs.predict checkpoint=... source=...`: landmarks of pictures, as JSON, CSV and overlays."""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig
from rich.progress import track

from keyposs import viz
from keyposs.checkpoint import Checkpoint, adopt, load, read_once, restore
from keyposs.config import command
from keyposs.data.photo import read_photo
from keyposs.detectors import detector
from keyposs.errors import KeyposError
from keyposs.files import readable, write_json
from keyposs.finder import Finder
from keyposs.found import Found
from keyposs.journal import columns, row
from keyposs.module import LandmarkModule
from keyposs.networks import Boxes, Network, choose_device, of_module, open_network
from keyposs.pictures import check_on, find_pictures, overlay_names, picture_name, read_boxes
from keyposs.runtime import is_exported
from keyposs.sheet import sheet
from keyposs.terminal import say
from keyposs.types import Photo

FIXED = ("decoder", "monitor", "heatmap_size", "image_size", "padding")
"""Options that an exported network does not leave open."""


def plan(source: Path, boxes: Path | None) -> dict[Path, Boxes | None]:
    """The pictures to read, and the boxes of their faces; None where they are to be looked for.

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


def build(config: DictConfig, checkpoint: Checkpoint) -> tuple[LandmarkModule, str]:
    """The trained network on its device, and the decoder that reads it.

    Raises:
        KeyposError: if `from_config`, `restore` or `choose_device` object.
    """
    module = restore(LandmarkModule.from_config(read_once(config), checkpoint.markup), checkpoint)
    return module.to(choose_device(config.device)).eval(), config.monitor or module.codec.names[0]


def open_finder(config: DictConfig, checkpoint: Checkpoint | None) -> Finder:
    """What finds the landmarks that a composed config asks for.

    Args:
        config: that has adopted the network.
        checkpoint: of the network; None: it is an exported one, which `config.checkpoint` names.

    Raises:
        KeyposError: if `build`, `open_network` or `detector` objects, or `passes` or `batch_size` is not positive.
    """
    network = open_network(config.checkpoint, config.device) if checkpoint is None else _network(config, checkpoint)
    boxes = "whole" if is_csv(config.boxes) else str(config.boxes)
    detect = detector(boxes, network.padding, config.device, config.batch_size)
    return Finder(network, detect, passes=config.passes, batch_size=config.batch_size)


def _network(config: DictConfig, checkpoint: Checkpoint) -> Network:
    module, reading = build(config, checkpoint)
    told = {"checkpoint": readable(str(checkpoint.file)), "heatmap_size": checkpoint.config["heatmap_size"]}
    return of_module(module, reading, config.image_size, config.padding, **told)


def check_fixed(config: DictConfig) -> None:
    """Refuses options that an exported network does not leave open.

    Raises:
        KeyposError: naming the first of them.
    """
    for name in FIXED:
        if config.get(name):
            remedy = "leave it out, or export the network anew with it"
            raise KeyposError(f"{name}={config[name]}", f"is fixed in {config.checkpoint}", remedy)


def predict(config: DictConfig, checkpoint: Checkpoint | None) -> dict[str, Found]:
    """Finds the landmarks of all faces of `source` and writes them into the run directory.

    A broken picture is reported and left out; only where no picture can be read, that is an error.

    Args:
        config: what to read, and how.
        checkpoint: of the network; None: it is an exported one, which `config.checkpoint` names.

    Returns:
        What was found, by the names of the pictures.

    Raises:
        KeyposError: if checkpoint, source or boxes are bad.
    """
    start, run = time.perf_counter(), Path(config.run_dir)
    if checkpoint is None:
        check_fixed(config)
    else:
        config = adopt(config, checkpoint)
    source = Path(os.path.abspath(Path(str(config.source)).expanduser()))
    files = plan(source, Path(config.boxes).expanduser() if is_csv(config.boxes) else None)
    finder = open_finder(config, checkpoint)
    folder = source if source.is_dir() else source.parent
    overlays = overlay_names([picture_name(file, folder) for file in files])
    failed: dict[str, KeyposError] = {}
    found: dict[str, Found] = {}
    for name, of_picture in find(finder, files, folder, failed):
        viz.save(run / "overlays" / overlays[name], of_picture.draw())
        found[name] = replace(of_picture, picture=name)  # not the pixels
    if not found:
        raise _none_read(source, list(failed.values()))
    write(run, found, failed, facts(finder))
    _sum_up(found, failed, f"{time.perf_counter() - start:.1f} s: {run}")
    return found


def is_csv(boxes: str) -> bool:
    """Whether `boxes=` names a file of boxes."""
    return str(boxes).lower().endswith(".csv")


def find(
    finder: Finder, files: Mapping[Path, Boxes | None], folder: Path, failed: dict[str, KeyposError]
) -> Iterator[tuple[str, Found]]:
    """The landmarks of pictures, under their names; what is broken goes to `failed`."""
    names: deque[str] = deque()

    def photos() -> Iterator[tuple[Photo, Boxes | None]]:
        for file, boxes in track(files.items(), "predicting"):
            name = picture_name(file, folder)
            try:
                photo = read_photo(file, exif=True)
                check_on(photo, boxes, file)
            except KeyposError as error:
                failed[name] = error
            else:
                names.append(name)
                yield photo, boxes

    for found in finder.stream(photos()):
        yield names.popleft(), found


def facts(finder: Finder) -> dict[str, object]:
    """What is true of all faces of `predictions.json`."""
    markup = finder.network.markup
    return {
        **finder.network.facts,
        "unit": "pixels of the upright picture (turned as its EXIF orientation says); pixel i has its centre at i",
        "markup": markup.name,
        "point_names": markup.names,
    }


def write(
    run: Path, found: Mapping[str, Found], failed: Mapping[str, KeyposError], facts: Mapping[str, object]
) -> None:
    """Writes `predictions.json` and `predictions.csv`, a row per face, each atomically."""
    faces = [
        {"file": name, "face": i, **face}
        for name, of_picture in found.items()
        for i, face in enumerate(of_picture.described())
    ]
    reasons = [{"file": name, "error": readable(str(error))} for name, error in failed.items()]
    write_json(run / "predictions.json", {**facts, "failed": reasons, "faces": faces})
    with sheet(run / "predictions.csv", columns(len(next(iter(found.values())).markup.names))) as write_rows:
        write_rows(row(face["file"], face["face"], face) for face in faces)


def _sum_up(found: Mapping[str, Found], failed: Mapping[str, KeyposError], rest: str) -> None:
    for error in failed.values():
        say(f"left out: {error}")
    without = [name for name, of_picture in found.items() if not len(of_picture)]
    if without:
        say(f"no face was found in {len(without)}, such as {without[0]}")
    broken = f"left out: {len(failed)}, " if failed else ""
    say(f"faces: {sum(map(len, found.values()))}, pictures: {len(found)}, {broken}{rest}")


def _none_read(source: Path, errors: Sequence[KeyposError]) -> KeyposError:
    first = errors[0]
    if source.is_file():
        return first
    cause = f"none of its pictures can be read ({len(errors)} tried; {first.subject}: {first.cause})"
    return KeyposError(source, cause, first.remedy)


@command("predict")
def main(config: DictConfig) -> None:
    """Predicts with a checkpoint into a directory of its own."""
    predict(config, None if is_exported(config.checkpoint) else load(config.checkpoint))


if __name__ == "__main__":
    main()
