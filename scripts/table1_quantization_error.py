"""Table 1 of the paper: what encoding and decoding lose on maps drawn from the truth.

    python scripts/table1_quantization_error.py data=wflw data.root=$KEYPOSS_DATA/wflw_annotations_only
    python scripts/table1_quantization_error.py 'decoder=[one_hot,dark]' codec.unbiased=false --out table.csv

There is no network and no photo is read: landmarks go to the crop, to a distance map, and back. Whatever
`conf/train.yaml` knows can be set as for a training: `data`, `decoder`, `codec.sigma`, `codec.unbiased`,
`padding`, `batch_size`.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from keyposs.codecs import DistanceMap
from keyposs.config import CONF, cause
from keyposs.crop import apply, crop_matrix
from keyposs.decoders import one_hot, quarter
from keyposs.errors import KeyposError
from keyposs.files import atomic, write_text
from keyposs.metrics import nme_per_face
from keyposs.types import Annotation

SIZES = (64, 32, 16, 8, 4)
MEASURES = {"nme": ("NME in % of {norm}", 3), "cells": ("mean error in cells", 4)}


class Truth(NamedTuple):
    """The landmarks of some faces, in crop pixels."""

    keypoints: Tensor  # (n, k, 2)
    visible: Tensor  # (n, k)
    norm: Tensor  # (n,)


def crop_truth(annotations: Sequence[Annotation], *, image_size: int, padding: float) -> Truth:
    """Takes faces from photo pixels to crop pixels."""
    matrices = [crop_matrix(face.box, size=image_size, padding=padding) for face in annotations]
    points = [apply(matrix, face.keypoints) for matrix, face in zip(matrices, annotations, strict=True)]
    norm = [matrix[0, 0] * face.norm for matrix, face in zip(matrices, annotations, strict=True)]
    visible = np.stack([face.visible for face in annotations])
    return Truth(torch.tensor(np.stack(points)).float(), torch.tensor(visible), torch.tensor(norm).float())


def quarter_published(heatmaps: Tensor, *, sigma: float = 2.0) -> tuple[Tensor, Tensor]:
    """`quarter` with mmpose's border guard: only peaks with `1 < x < w - 1` and `1 < y < h - 1` are refined."""
    (peaks, scores), (points, _) = one_hot(heatmaps), quarter(heatmaps)
    sides = torch.tensor([heatmaps.shape[-1], heatmaps.shape[-2]], device=peaks.device)
    inside = ((peaks > 1) & (peaks < sides - 1)).all(-1, keepdim=True)
    return torch.where(inside, points, peaks), scores


def measure(codec: DistanceMap, truth: Truth, batch_size: int) -> dict[str, dict[str, float]]:
    """Each decoder's NME in percent and mean error in cells, after a trip to the map and back."""
    errors: dict[str, list[Tensor]] = {name: [] for name in codec.names}
    batches = list(zip(*(field.split(batch_size) for field in truth), strict=True))
    for keypoints, visible, norm in track(batches, f"{codec.grid.heatmap_size} cells", transient=True):
        stride = torch.full_like(norm, codec.grid.stride)
        for name, (points, _) in codec.decode(codec.encode(keypoints)).items():
            units = (norm / 100, stride)
            errors[name].append(torch.stack([nme_per_face(points, keypoints, visible, u) for u in units]))
    means = {name: torch.cat(parts, 1).mean(1).tolist() for name, parts in errors.items()}
    return {name: dict(zip(MEASURES, mean, strict=True)) for name, mean in means.items()}


def rows(config: DictConfig, *, split: str, sizes: Sequence[int], as_published: bool) -> Iterator[dict[str, Any]]:
    """One row for each size and decoder.

    Args:
        config: composed from `conf/train.yaml`.
        split: whose landmarks are used.
        sizes: cells along the side of a map.
        as_published: lay cell `i` where the KeyPosS code has it, half a cell further up and left in the crop, and
            add `quarter_published`.

    Raises:
        KeyposError: if the split holds no faces, or a part of the config is wrong.
    """
    data = instantiate(config.data)
    annotations = data.annotations(split)
    if not annotations:
        raise KeyposError(f"data={data.name}", f"has no {split} faces", "choose another --split")
    truth = crop_truth(annotations, image_size=config.image_size, padding=config.padding)
    facts = {"data": data.name, "split": split, "norm": data.norm, "faces": len(annotations)}
    facts["crop_over_norm"] = float((config.image_size / truth.norm).mean())
    for config.heatmap_size in sizes:
        codec = instantiate(config.codec)
        placed = truth
        if as_published:
            placed = truth._replace(keypoints=truth.keypoints + codec.grid.stride / 2)
            codec.decoders["quarter_published"] = quarter_published
        for decoder, errors in measure(codec, placed, config.batch_size).items():
            kind = {"heatmap_size": config.heatmap_size, "encoding": codec.encoding, "decoder": decoder}
            yield {**facts, **kind, **errors}


def lines(table: Sequence[dict[str, Any]], key: str) -> list[list[str]]:
    """One measure as decoders by sizes, under a line of headings."""
    sizes, decoders = (list(dict.fromkeys(row[k] for row in table)) for k in ("heatmap_size", "decoder"))
    cells = {(row["decoder"], row["heatmap_size"]): f"{row[key]:.{MEASURES[key][1]}f}" for row in table}
    body = [[decoder, *(cells[decoder, size] for size in sizes)] for decoder in decoders]
    return [["decoder", *map(str, sizes)], *body]


def title(table: Sequence[dict[str, Any]], key: str) -> str:
    """What a table shows."""
    words = MEASURES[key][0] + "; {data} {split}, {faces} faces, {encoding}, crop / norm {crop_over_norm:.2f}"
    return words.format(**table[0])


def write(path: Path, table: Sequence[dict[str, Any]]) -> None:
    """Writes the rows as `.csv`, or both measures in Markdown."""
    if path.suffix == ".csv":
        with atomic(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
        return
    parts = []
    for key in MEASURES:
        head, *body = lines(table, key)
        rule = ["---", *["---:"] * (len(head) - 1)]
        text = "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))
        parts.append(f"{title(table, key)}\n\n{text}\n")
    write_text(path, "\n".join(parts))


def show(table: Sequence[dict[str, Any]], console: Console) -> None:
    """Prints both measures."""
    for key in MEASURES:
        head, *body = lines(table, key)
        view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in head:
            view.add_column(name, justify="left" if name == "decoder" else "right")
        for line in body:
            view.add_row(*line)
        console.print(title(table, key), view)


def integers(text: str) -> list[int]:
    """Numbers between commas."""
    return [int(number) for number in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for python -m keyposs.train")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--sizes", type=integers, default=SIZES, metavar="64,32,...", help="of the maps")
    parser.add_argument("--as-published", action="store_true", help="the KeyPosS code's cell corners and border guard")
    parser.add_argument("--out", type=Path, help="a .csv or .md file to write")
    chosen = parser.parse_intermixed_args(arguments)
    start = time.perf_counter()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", chosen.overrides)
    try:
        table = list(rows(config, split=chosen.split, sizes=chosen.sizes, as_published=chosen.as_published))
    except Exception as error:
        mistake = cause(error)
        if mistake is None:
            raise
        sys.exit(f"keyposs: {mistake}")
    console = Console()
    show(table, console)
    console.print(f"{time.perf_counter() - start:.0f} s")
    if chosen.out:
        write(chosen.out, table)


if __name__ == "__main__":
    main()
