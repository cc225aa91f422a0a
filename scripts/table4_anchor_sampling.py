"""Table 4 of the paper: the side of the anchor window, at each heatmap size, on trained networks.

    python scripts/table4_anchor_sampling.py RUN [RUN ...]
    python scripts/table4_anchor_sampling.py sweeps/table5/*/ data.root=$KEYPOSS_DATA/300w --kernels 2,3 --out table.md

A RUN is a run directory or a checkpoint, one for each heatmap size and encoding. Its own config says which data it is
read on; key=value replaces a value there. All kernels read the same forward pass, so they compare face by face. A
kernel is chosen on `val`, the default; the paper's table is of `test`, which is read once for a finished configuration.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from rich.console import Console
from rich.progress import track
from tabled import table_file, write
from torch import Tensor
from torch.nn import functional
from trained import Trained, check_different, open_runs, parse, read

from keyposs.config import plain_mistakes
from keyposs.decoders import multilateration, pseudorange
from keyposs.decoders._anchors import find_peak
from keyposs.errors import KeyposError
from keyposs.tables import Cell, Table, best_of, terminal
from keyposs.types import Heatmaps, Points, Scores

KERNELS = (2, 3, 4, 5, 6)

PRINTED = {
    64: (4.00, 4.00, 3.98, 3.99, 3.99),
    32: (4.30, 4.29, 4.27, 4.28, 4.30),
    16: (4.94, 4.94, 4.95, 4.96, 5.00),
    8: (7.67, 7.69, 7.72, 7.80, 9.41),
    4: (12.04, 26.57, 18.74),
}
"""The paper's Table 4 by heatmap size, over `KERNELS`: WFLW test, unbiased."""

PAPER = "paper, WFLW test"


class Window(NamedTuple):
    """A `kernel x kernel` window of each map."""

    corner: Int[Tensor, "*batch 2"]  # (x, y) of its first cell
    cells: Float[Tensor, "*batch cells"]  # in row-major order


def published_window(heatmaps: Heatmaps, kernel: int) -> Window:
    """The window that the published search takes: the largest sum among those that it visits, the last of equals.

    On each axis it looks at the cells from `c - kernel` to `c + kernel` around the peak `c`, clipped to the map, and
    visits one window less than fit. Inside, the one that it leaves out does not hold the peak. At the far border it is
    the one with the last row or column.
    """
    h, w = heatmaps.shape[-2:]
    peak = find_peak(heatmaps)
    visited = _visited(peak.y, h, kernel)[..., :, None] & _visited(peak.x, w, kernel)[..., None, :]
    sums = functional.avg_pool2d(heatmaps, kernel, stride=1, divisor_override=1)
    sums = torch.where(visited, sums, -torch.inf).flatten(-2)
    last = sums.shape[-1] - 1 - sums.flip(-1).argmax(-1)
    x, y = last % (w - kernel + 1), last // (w - kernel + 1)
    steps = torch.arange(kernel**2, device=heatmaps.device)
    index = (y[..., None] + steps // kernel) * w + x[..., None] + steps % kernel
    return Window(torch.stack((x, y), -1), heatmaps.flatten(-2).gather(-1, index))


def _visited(centre: Int[Tensor, "*batch"], size: int, kernel: int) -> Bool[Tensor, "*batch places"]:
    """Which windows along an axis the search visits; the first of its range where the count comes to none."""
    first = (centre - kernel).clamp_min(0)
    count = (centre + kernel + 1).clamp_max(size) - first - kernel
    place = torch.arange(size - kernel + 1, device=centre.device)
    return (place >= first[..., None]) & (place < (first + count.clamp_min(1))[..., None])


def faulty_window(heatmaps: Heatmaps, *, sigma: float = 2.0, kernel: int = 2) -> tuple[Points, Scores]:
    """`multilateration` in the window of the published search."""
    window = published_window(heatmaps, kernel)
    points, scores = multilateration(window.cells.unflatten(-1, (kernel, kernel)), sigma=sigma, kernel=kernel)
    return points + window.corner, scores


def as_published(heatmaps: Heatmaps, *, sigma: float = 2.0, kernel: int = 2) -> tuple[Points, Scores]:
    """The published window, and the published ranges: responses are clipped to 1e-9 and 1, so a 0 is 13 cells away."""
    window = published_window(heatmaps, kernel)
    squared = -2 * sigma**2 * window.cells.clamp(1e-9, 1).log()
    steps = torch.arange(kernel**2, device=heatmaps.device)
    anchors = torch.stack((steps % kernel, steps // kernel), -1).to(squared.dtype)
    norms = anchors.square().sum(-1)
    X = anchors[-1] - anchors[:-1]
    Y = (squared[..., :-1] - squared[..., -1:] + norms[-1] - norms[:-1]) / 2
    return window.corner + Y @ torch.linalg.pinv(X).mT, window.cells.amax(-1).clamp(0, 1)


READINGS = {
    "multilateration": multilateration,
    "published window": faulty_window,
    "as published": as_published,
    "pseudorange, unweighted": partial(pseudorange, weighted=False),
    "pseudorange": pseudorange,
}
"""Row by row of a size."""


def measure(run: Trained, split: str, kernels: Sequence[int]) -> Iterator[dict[str, Any]]:
    """One row for each reading and kernel that fits the run's maps, all of one forward pass.

    Raises:
        KeyposError: if no kernel fits.
    """
    fitting = [kernel for kernel in kernels if kernel <= run.size]
    if not fitting:
        raise KeyposError(f"--kernels {','.join(map(str, kernels))}", f"none fits {run.file}", f"add one to {run.size}")
    kinds = {f"{reading} {kernel}": (reading, kernel) for reading in READINGS for kernel in fitting}
    sigma, loader = run.codec.sigma, getattr(run.datamodule, f"{split}_dataloader")()
    run = run.read_by({name: partial(READINGS[reading], sigma=sigma, kernel=k) for name, (reading, k) in kinds.items()})
    errors: dict[str, list[Tensor]] = defaultdict(list)
    for batch in track(loader, f"{run.size} cells", transient=True):
        for name, found in read(run, batch).items():
            errors[name].append(found.errors)
    data = run.datamodule.dataset
    facts = {"data": data.name, "split": split, "norm": data.norm, "faces": len(run.datamodule.annotations(split))}
    facts |= {"heatmap_size": run.size, "encoding": run.codec.encoding}
    for name, (reading, kernel) in kinds.items():
        yield {**facts, "reading": reading, "kernel": kernel, "nme": 100 * torch.cat(errors[name]).mean().item()}


def table_of(rows: Sequence[dict[str, Any]], kernels: Sequence[int]) -> Table:
    """Readings of each size and encoding by kernels, the best of a line marked; then what the paper prints."""
    lines: list[list[Cell]] = []
    for size, encoding in dict.fromkeys((row["heatmap_size"], row["encoding"]) for row in rows):
        values: dict[str, dict[int, float]] = defaultdict(dict)
        for row in rows:
            if (row["heatmap_size"], row["encoding"]) == (size, encoding):
                values[row["reading"]][row["kernel"]] = row["nme"]
        if encoding == "unbiased" and size in PRINTED:
            values[PAPER] = dict(zip(KERNELS, PRINTED[size], strict=False))
        for reading, of_kernel in values.items():
            cells = best_of([Cell(of_kernel.get(kernel, math.nan)) for kernel in kernels], lowest=True)
            lines.append([Cell(size, ".0f"), Cell(encoding), Cell(reading), *cells])
    title = "NME in % of {norm} by kernel; {data} {split}, {faces} faces".format(**rows[0])
    return Table("anchors", title, ["size", "encoding", "reading", *(f"{k}x{k}" for k in kernels)], lines, groups=2)


def sides(text: str) -> list[int]:
    """Kernels between commas."""
    try:
        kernels = [int(number) for number in text.split(",")]
    except ValueError:
        kernels = []
    if not kernels or min(kernels) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} are no whole numbers of at least 2, like 2,3,4")
    return kernels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=sides, default=KERNELS, metavar="2,3,...", help="sides of the window, cells")
    parser.add_argument("--out", type=table_file, help="a .md or .csv file to write")
    chosen = parse(parser, arguments)
    with plain_mistakes():
        runs = open_runs(chosen.runs, chosen.overrides, chosen.split)
        check_different(runs, lambda run: f"maps of {run.size} cells, {run.codec.encoding}")
        rows = [row for run in runs for row in measure(run, chosen.split, chosen.kernels)]
    table = table_of(rows, chosen.kernels)
    shown = terminal(table)
    shown.collapse_padding = True  # all kernels, with errors above 10 %, in 80 columns
    Console().print(shown)
    if chosen.out:
        write(chosen.out, rows, [table])


if __name__ == "__main__":
    main()
