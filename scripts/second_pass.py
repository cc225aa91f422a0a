"""What a second look at a face is worth: NME as boxes get worse, read once and more often.

    python scripts/second_pass.py keyposs-16 data=300w data.root=$KEYPOSS_DATA/300w

A RUN is a packaged network, a run directory or a checkpoint. Boxes of `val` are off by up to so much of their side, in
place and size, the same for all; from the second pass on a face is read in the box of its own landmarks.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import track
from trained import STAGES, open_run, parse

from keyposs.checkpoint import load
from keyposs.config import plain_mistakes
from keyposs.finder import Finder
from keyposs.networks import open_network
from keyposs.tables import Cell, Table, terminal
from keyposs.types import Annotation

LEVELS = (0.0, 0.1, 0.2, 0.3)
PASSES = (1, 2, 3)


def off(boxes: np.ndarray, level: float) -> np.ndarray:
    """Boxes shifted along both axes and scaled by up to `level` of their side, either way."""
    draws = np.random.default_rng(0).uniform(-level, level, (len(boxes), 3))
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centres = centres + draws[:, :2] * sides.max(1, keepdims=True)
    halves = sides / 2 * (1 + draws[:, 2:])
    return np.concatenate([centres - halves, centres + halves], axis=1)


def errors(finder: Finder, faces: Sequence[Annotation], level: float) -> float:
    """NME in percent."""
    boxes = off(np.stack([face.box for face in faces]), level)
    asked = ((face.read(), box[None]) for face, box in zip(faces, boxes, strict=True))
    watched = track(finder.stream(asked), "reading", len(faces), console=Console(stderr=True), transient=True)
    apart = [
        np.linalg.norm(found.points[0] - face.keypoints, axis=-1)[face.visible].mean() / face.norm
        for face, found in zip(faces, watched, strict=True)
    ]
    return 100 * float(np.mean(apart))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the given networks and prints a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parse(parser, arguments)
    with plain_mistakes():
        for run in chosen.runs:
            _, datamodule = open_run(load(run), chosen.overrides)
            datamodule.setup(STAGES[chosen.split])
            faces, network = datamodule.annotations(chosen.split), open_network(run, "auto")
            finders = [Finder(network, lambda photo: np.empty((0, 4)), passes=passes) for passes in PASSES]
            rows = [
                [Cell(f"{level:.0%}"), *(Cell(errors(finder, faces, level), ".2f") for finder in finders)]
                for level in LEVELS
            ]
            columns = ["boxes off by", *(f"{passes} passes" if passes > 1 else "1 pass" for passes in PASSES)]
            title = f"{run}: NME in % of {datamodule.dataset.norm}, {datamodule.dataset.name} {chosen.split}"
            Console().print(terminal(Table("second_pass", title, columns, rows)))


if __name__ == "__main__":
    main()
