"""Where each decoder breaks on trained maps: its errors on all of them, and on the hard ones.

    python scripts/decoder_failures.py RUN [RUN ...]
    python scripts/decoder_failures.py sweeps/table5/*/ data.root=$KEYPOSS_DATA/300w --out failures.csv
    python scripts/decoder_failures.py keyposs-16 keyposs-8 data=300w data.root=$KEYPOSS_DATA/300w

A RUN is a run directory or a checkpoint of a network that gives maps. Its own config says which data it is read on;
key=value replaces a value there. A packaged network has no data of its own: the third line says which. Every face is
read twice, the second time with a box of noise on its crop, which covers some of its points; all decoders read the same
two forward passes. A decoder is chosen on `val`, the default.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from rich.console import Console
from rich.progress import track
from tabled import table_file, write
from torch import Tensor
from torch.nn import functional
from trained import Trained, open_runs, parse
from uncertainty import cover, names

from keyposs import decoders
from keyposs.config import plain_mistakes
from keyposs.decoders._anchors import find_peak
from keyposs.module import truth
from keyposs.tables import Cell, Table, best_of, terminal
from keyposs.types import Decoder

DECODERS: dict[str, Decoder] = {
    "one_hot": decoders.one_hot,
    "two_hot": decoders.two_hot,
    "quarter": decoders.quarter,
    "dark": decoders.dark,
    "soft_argmax": decoders.soft_argmax,
    "centroid": decoders.centroid,
    "multilateration 2x2": partial(decoders.multilateration, kernel=2),
    "multilateration 3x3": partial(decoders.multilateration, kernel=3),
    "pseudorange 3x3": partial(decoders.pseudorange, kernel=3),
    "pseudorange 4x4": partial(decoders.pseudorange, kernel=4),
    "pseudorange, all": partial(decoders.pseudorange, kernel=None),
    "gauss_newton": decoders.gauss_newton,
    "popos": decoders.popos,
}
"""As their yamls have them, where their names say nothing else."""

KINDS = ("all", "covered", "under box", "two peaks", "border", "low", "high")
"""Points: of the crops as they are; of those with a box on; under it; and of the hard maps of both, see `hard`."""

ERRORS = {"median": 0.5, "90 %": 0.9, "99 %": 0.99}
"""Quantiles."""


class Errors(NamedTuple):
    """Of every visible point of a split, read twice."""

    cells: Float[Tensor, "decoders points"]
    fractions: Float[Tensor, "decoders points"]  # of the faces' norms
    kinds: Bool[Tensor, "kinds points"]


def hard(maps: Float[Tensor, "b k h w"]) -> Bool[Tensor, "4 b k"]:
    """Which maps are hard to read, kind by kind.

    Those with a second local maximum, of 3 x 3 cells, at least half as high as the first; with the largest cell in a
    row or column at the border; with a peak below 0.5; with one above 1.2.
    """
    h, w = maps.shape[-2:]
    peak = find_peak(maps)
    tops = maps == functional.max_pool2d(maps, 3, stride=1, padding=1)
    second = torch.where(tops, maps, 0).flatten(-2).topk(2).values[..., 1]
    border = (peak.x == 0) | (peak.x == w - 1) | (peak.y == 0) | (peak.y == h - 1)
    two = (second >= peak.value / 2) & (peak.value > 0)
    return torch.stack((two, border, peak.value < 0.5, peak.value > 1.2))


@torch.inference_mode()
def read_twice(run: Trained, split: str) -> Errors:
    """Reads a split with the decoders of a run: all crops as they are, and with a box of noise."""
    generator, parts = torch.Generator().manual_seed(0), []
    for batch in track(getattr(run.datamodule, f"{split}_dataloader")(), f"{run.size} cells", transient=True):
        known = truth(batch)
        image, under = cover(batch.image, known.keypoints, generator)
        for crops, boxed in ((batch.image, False), (image, True)):
            output = run.landmarker(crops)
            found = torch.stack([points for points, _ in run.codec.decode(output).values()])
            pixels = (found - known.keypoints).norm(dim=-1)
            whole = torch.full_like(under, boxed)
            kinds = torch.cat((torch.stack((~whole, whole, whole & under)), hard(run.codec.maps(output))))
            each = pixels / run.codec.grid.stride, pixels / known.norm[:, None], kinds
            parts.append([values[:, known.visible] for values in each])
    return Errors(*(torch.cat(values, -1) for values in zip(*parts, strict=True)))


def measure(name: str, run: Trained, split: str) -> Iterator[dict[str, Any]]:
    """One row for each decoder and each kind of points that the run has, errors unrounded."""
    run = run.read_by({name: partial(decoder, sigma=run.codec.sigma) for name, decoder in DECODERS.items()})
    errors = read_twice(run, split)
    for decoder, cells, fractions in zip(run.codec.names, errors.cells, errors.fractions, strict=True):
        for kind, chosen in zip(KINDS, errors.kinds, strict=True):
            if chosen.any():
                quantiles = cells[chosen].quantile(torch.tensor(list(ERRORS.values())))
                yield {
                    **{"run": name, "heatmap_size": run.size, "decoder": decoder, "kind": kind},
                    **{"points": int(chosen.sum()), "nme": 100 * fractions[chosen].mean().item()},
                    **dict(zip(ERRORS, quantiles.tolist(), strict=True)),
                    "> 1 cell": 100 * (cells[chosen] > 1).float().mean().item(),
                }


def tables(rows: Sequence[Mapping[str, Any]], data: str) -> Iterator[Table]:
    """For each run NME by kinds of points, and how the errors of all points are spread; the best marked."""
    for run in dict.fromkeys(row["run"] for row in rows):
        found = {(row["decoder"], row["kind"]): row for row in rows if row["run"] == run}
        readings = list(dict.fromkeys(decoder for decoder, _ in found))
        counts = [found.get((readings[0], kind), {}).get("points", 0) for kind in KINDS]
        nme = _lines(readings, [[found.get((d, kind), {}).get("nme", math.nan) for d in readings] for kind in KINDS])
        counted = [Cell("(points)"), *(Cell(count, ".0f") for count in counts)]
        yield Table("failures", f"{run}: NME in % by kind of points; {data}", ["decoder", *KINDS], [counted, *nme])
        spread = [*ERRORS, "> 1 cell"]
        lines = _lines(readings, [[found[d, "all"][name] for d in readings] for name in spread])
        title = f"{run}: errors in cells, and the points in % that are off by more than one; {data}"
        yield Table("spread", title, ["decoder", *spread], lines)


def _lines(readings: Sequence[str], columns: Sequence[Sequence[float]]) -> list[list[Cell]]:
    """Lines of a table from its columns, the lowest of each marked."""
    marked = [best_of(list(map(Cell, values)), lowest=True) for values in columns]
    return [[Cell(name), *cells] for name, *cells in zip(readings, *marked, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the given runs and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=table_file, help="a .md or .csv file to write")
    chosen = parse(parser, arguments)
    with plain_mistakes():
        paths = list(dict.fromkeys(chosen.runs))
        runs = open_runs(paths, chosen.overrides, chosen.split)
        called = dict(zip(map(Path, paths), names(paths), strict=True))
        rows = [row for run in runs for row in measure(called[run.path], run, chosen.split)]
    data = runs[0].datamodule
    said = f"{data.dataset.name} {chosen.split}, {len(data.annotations(chosen.split))} faces by {data.dataset.norm}"
    shown = list(tables(rows, said))
    for table in map(terminal, shown):
        table.collapse_padding = True  # errors above 100 % in 80 columns
        Console().print(table)
    if chosen.out:
        write(chosen.out, rows, shown)


if __name__ == "__main__":
    main()
