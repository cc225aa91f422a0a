"""Figure 7 of the paper: the same faces read at each heatmap size by several decoders.

    python scripts/figure7_resolutions.py RUN [RUN ...] --out figure7
    python scripts/figure7_resolutions.py sweeps/sizes/*/ data.root=$KEYPOSS_DATA/300w --names lfpw/trainset/image_0007

A RUN is a run directory or a checkpoint, one for each heatmap size. Its own config says which data it is read on;
key=value replaces a value there. A sheet is drawn for each face, with a row for each decoder and a column for each
size, the largest first: ground truth is green, the prediction red, the error a blue line. `faces.png` holds all
sheets, smaller.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from trained import Found, Trained, check_different, open_runs, parse, read

import keyposs.decoders
from keyposs import viz
from keyposs.callbacks.pictures import array, picture
from keyposs.config import plain_mistakes
from keyposs.data.module import collate
from keyposs.errors import KeyposError
from keyposs.files import readable
from keyposs.pictures import overlay_names
from keyposs.types import Faces

DECODERS = ["one_hot", "dark", "multilateration", "pseudorange"]

SMALLER = 0.5
"""Of the sheets that `faces.png` holds."""


def choose(names: Sequence[str], wanted: Sequence[str], count: int) -> list[int]:
    """Where the wanted faces stand; where none is wanted, `count` faces, evenly spread.

    Raises:
        KeyposError: if there is no such face.
    """
    if not wanted:
        return np.unique(np.linspace(0, len(names) - 1, count).round().astype(int)).tolist()
    for name in wanted:
        if name not in names:
            known = ", ".join(map(readable, names[:3]))
            raise KeyposError(f"--names {name}", "is no face of the split", f"its names are like {known}")
    return [names.index(name) for name in wanted]


def read_by(run: Trained, decoders: Sequence[str]) -> Trained:
    """The run, read by decoders of these names.

    Raises:
        KeyposError: if there is no such decoder, or it cannot read maps of the run's size.
    """
    known = keyposs.decoders.__all__
    for name in decoders:
        if name not in known:
            raise KeyposError(f"--decoders {name}", "is unknown", f"choose from {', '.join(known)}")
    return run.read_by({name: partial(getattr(keyposs.decoders, name), sigma=run.codec.sigma) for name in decoders})


def sheets(runs: Sequence[Trained], split: str, indices: Sequence[int]) -> Iterator[viz.Picture]:
    """A sheet for each face."""
    batches = [collate([run.datamodule.face(split, i) for i in indices]) for run in runs]
    found = [read(run, batch) for run, batch in zip(runs, batches, strict=True)]
    for i in range(len(indices)):
        cells = [
            (overlay(run, batch, of_run[decoder], i), caption(decoder, run.size, of_run[decoder], i))
            for decoder in runs[0].codec.names
            for run, batch, of_run in zip(runs, batches, found, strict=True)
        ]
        images, captions = zip(*cells, strict=True)
        yield viz.sheet(images, columns=len(runs), captions=captions)


def overlay(run: Trained, batch: Faces, found: Found, i: int) -> viz.Picture:
    """One face of a batch, and what was found."""
    keypoints = np.where(batch.visible[i, :, None], array(batch.keypoints[i]), np.nan)
    return viz.overlay(picture(batch.image[i]), keypoints, array(found.points[i]), run.datamodule.dataset.markup)


def caption(decoder: str, size: int, found: Found, i: int) -> str:
    """What a picture shows."""
    return f"{decoder}  {size}x{size}  {100 * found.errors[i]:.2f} %"


def shrink(image: viz.Picture) -> viz.Picture:
    return cv2.resize(image, None, fx=SMALLER, fy=SMALLER, interpolation=cv2.INTER_AREA)


def words(text: str) -> list[str]:
    """Words between commas."""
    return [word for word in text.split(",") if word]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=4, help="how many, evenly spread over the split (default 4)")
    parser.add_argument("--names", type=words, default=[], metavar="A,B,...", help="of the faces, instead")
    parser.add_argument("--decoders", type=words, default=DECODERS, metavar="A,B,...", help=f"({','.join(DECODERS)})")
    parser.add_argument("--out", type=Path, default=Path("figure7"), help="a folder for the pictures")
    chosen = parse(parser, arguments)
    if chosen.faces < 1:
        parser.error(f"--faces {chosen.faces} is not a number of at least 1")
    with plain_mistakes():
        runs = open_runs(chosen.runs, chosen.overrides, chosen.split)
        check_different(runs, lambda run: f"maps of {run.size} cells")
        runs = [read_by(run, chosen.decoders) for run in runs]
        names = [face.name for face in runs[0].datamodule.annotations(chosen.split)]
        indices = choose(names, chosen.names, chosen.faces)
        drawn = dict(zip((names[i] for i in indices), sheets(runs, chosen.split, indices), strict=True))
    files = overlay_names(list(drawn))
    for name, sheet in drawn.items():
        viz.save(chosen.out / files[name], sheet)
    captions = [readable(name) for name in drawn]
    small = [shrink(sheet) for sheet in drawn.values()]
    viz.save(chosen.out / "faces.png", viz.sheet(small, columns=2, captions=captions, pad=24))
    Console(soft_wrap=True).print(f"{len(drawn)} faces: {chosen.out}")


if __name__ == "__main__":
    main()
