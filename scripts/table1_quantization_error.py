"""Table 1 of the paper: what encoding and decoding lose on maps drawn from the truth.

    python scripts/table1_quantization_error.py data=wflw data.root=$KEYPOSS_DATA/wflw_annotations_only
    python scripts/table1_quantization_error.py 'decoder=[one_hot,dark]' codec.unbiased=false --out table.csv

There is no network and no photo is read: landmarks go to the crop, to a distance map, and back. Whatever
`conf/train.yaml` knows can be set as for a training: `data`, `decoder`, `codec.sigma`, `codec.unbiased`,
`padding`, `batch_size`.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track
from tabled import table_file, write
from torch import Tensor

from keyposs.codecs import DistanceMap
from keyposs.config import CONF, plain_mistakes
from keyposs.crop import apply, crop_matrix
from keyposs.decoders import one_hot, quarter
from keyposs.errors import KeyposError
from keyposs.metrics import nme_per_face
from keyposs.tables import Cell, Table, terminal
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


def tables_of(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Each measure: decoders by sizes."""
    sizes, decoders = (list(dict.fromkeys(row[key] for row in rows)) for key in ("heatmap_size", "decoder"))
    for key, (words, digits) in MEASURES.items():
        cells = {(row["decoder"], row["heatmap_size"]): Cell(row[key], f".{digits}f") for row in rows}
        title = words + "; {data} {split}, {faces} faces, {encoding}, crop / norm {crop_over_norm:.2f}"
        lines = [[Cell(decoder), *(cells[decoder, size] for size in sizes)] for decoder in decoders]
        yield Table(key, title.format(**rows[0]), ["decoder", *map(str, sizes)], lines)


def integers(text: str) -> list[int]:
    """Numbers between commas."""
    return [int(number) for number in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for python -m keyposs.train")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--sizes", type=integers, default=SIZES, metavar="64,32,...", help="of the maps")
    parser.add_argument("--as-published", action="store_true", help="the KeyPosS code's cell corners and border guard")
    parser.add_argument("--out", type=table_file, help="a .csv or .md file to write")
    chosen = parser.parse_intermixed_args(arguments)
    start = time.perf_counter()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", chosen.overrides)
    with plain_mistakes():
        measured = list(rows(config, split=chosen.split, sizes=chosen.sizes, as_published=chosen.as_published))
    tables, console = list(tables_of(measured)), Console()
    for table in tables:
        console.print(table.title, terminal(replace(table, title="")))  # which would be as narrow as the table
    console.print(f"{time.perf_counter() - start:.0f} s")
    if chosen.out:
        write(chosen.out, measured, tables)


if __name__ == "__main__":
    main()
