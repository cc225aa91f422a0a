"""Run folders in the documented layout, with plausible numbers, for whoever tests what reads them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keyposs.markup import MARKUP_68

DECODERS = ("one_hot", "two_hot", "quarter", "dark", "soft_argmax", "multilateration", "gauss_newton", "pseudorange")
STRENGTH = (0.5, 0.35, 0.3, 0.22, 0.12, 0.11, 0.1, 0.1)
"""Of each decoder: its error in cells."""

NORM = 60.0  # pixels
ARCS = {  # centre x, y, half width, half height, from and to degree; y points down
    "jaw": (0, 0, 70, 90, 180, 0),
    "right brow": (-32, -25, 24, 10, 180, 360),
    "left brow": (32, -25, 24, 10, 180, 360),
    "nose bridge": (0, 5, 2, 22, 270, 450),
    "nostrils": (0, 28, 14, 6, 180, 0),
    "right eye": (-30, -5, 13, 6, 180, 480),
    "left eye": (30, -5, 13, 6, 180, 480),
    "outer lips": (0, 55, 26, 13, 180, 510),
    "inner lips": (0, 55, 18, 5, 180, 495),
}


def mean_face() -> np.ndarray:
    """68 points around the origin, in pixels."""
    points = np.zeros((68, 2))
    for contour in MARKUP_68.contours:
        x, y, width, height, start, end = ARCS[contour.name]
        angle = np.deg2rad(np.linspace(start, end, len(contour.points)))
        points[list(contour.points)] = np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], -1)
    return points


def fake_run(
    folder: Path,
    *,
    size: int = 16,
    encoding: str = "unbiased",
    flip_test: bool = False,
    seed: int = 0,
    decoders: Sequence[str] = DECODERS,
    faces: int = 12,
    data: str = "300w",
    norm: str = "inter-ocular",
    threshold: float = 0.08,
    config: dict[str, Any] | None = None,
    pictures: int = 8,
) -> Path:
    """Writes a finished run of so many faces in test (a third of them challenging), and half as many in val."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([size, seed, len(encoding)])
    rows, predictions, keypoints = [], [], []
    for split, count in (("val", -(-faces // 2)), ("test", faces)):
        subsets = [_subsets(split, i) for i in range(count)]
        errors, points, truth = _read(rng, size, encoding, decoders, count)
        for i in range(count):
            head = f"{split}/face {i:03d}", split, "|".join(subsets[i])
            keypoints.append([*head, NORM, *truth[i].ravel().round(3)])
            for decoder in decoders:
                line = [*head, decoder, NORM, round(100 * errors[decoder][i], 4)]
                predictions.append([*line, *points[decoder][i].ravel().round(3)])
        base = {"data": data, "split": split, "heatmap_size": size, "method": "distance_map", "encoding": encoding}
        base |= {"flip_test": flip_test, "threshold": threshold, "norm": norm, "seed": seed}
        for subset in dict.fromkeys(name for of_face in subsets for name in of_face):
            inside = np.array([subset in of_face for of_face in subsets])
            for decoder in decoders:
                measures = _measures(errors[decoder][inside], threshold)
                rows.append(base | {"subset": subset, "decoder": decoder, **measures})
    axes = [f"{axis}{i}" for i in range(68) for axis in "xy"]
    _write_csv(folder / "predictions.csv", ["name", "split", "subsets", "decoder", "norm", "nme", *axes], predictions)
    _write_csv(folder / "keypoints.csv", ["name", "split", "subsets", "norm", *axes], keypoints)
    _write_csv(folder / "metrics.csv", *_log(decoders, rng))
    (folder / "run.json").write_text(json.dumps(_facts(folder, size, seed, encoding, config or {})))
    _draw(folder / "pictures", pictures)
    (folder / "results.json").write_text(json.dumps(rows))
    return folder


def _subsets(split: str, i: int) -> tuple[str, ...]:
    return ("all",) if split == "val" else ("challenging" if i % 3 == 2 else "common", "full")


def _read(rng: np.random.Generator, size: int, encoding: str, decoders: Sequence[str], count: int) -> tuple[Any, ...]:
    """Errors as fractions, points and keypoints: all decoders share what the network does not know of a face."""
    truth = 300 + mean_face() * rng.uniform(0.9, 1.1, (count, 1, 1)) + rng.normal(0, 2, (count, 68, 2))
    hard = rng.lognormal(0, 0.35, (count, 1, 1)) * (1 + 1.5 * (np.arange(68) < 17))[:, None]
    shared = rng.normal(0, 1.2, (count, 68, 2)) * hard
    errors, points = {}, {}
    for decoder in decoders:
        cells = STRENGTH[DECODERS.index(decoder)] * (1.3 if encoding == "biased" else 1.0)
        points[decoder] = truth + shared + rng.normal(0, cells * 256 / size * 0.6, (count, 68, 2)) * hard**0.5
        errors[decoder] = np.linalg.norm(points[decoder] - truth, axis=-1).mean(-1) / NORM
    return errors, points, truth


def _measures(errors: np.ndarray, threshold: float) -> dict[str, Any]:
    auc = float(np.maximum(0, 1 - errors / threshold).mean())
    return {"nme": 100 * float(errors.mean()), "fr": 100 * float((errors > threshold).mean()), "auc": auc} | {
        "faces": len(errors)
    }


def _log(decoders: Sequence[str], rng: np.random.Generator) -> tuple[list[str], list[list[Any]]]:
    """Lightning's log: a row for each step, and one for each validation."""
    lines: list[list[Any]] = []
    for epoch in range(60):
        loss = 0.4 * np.exp(-epoch / 15) + 0.02
        lines += [[epoch, 2 * epoch + i, loss * rng.lognormal(0, 0.1), *[""] * len(decoders)] for i in (0, 1)]
        strength = [6 + 40 * STRENGTH[DECODERS.index(d)] + 60 * np.exp(-epoch / 8) for d in decoders]
        lines.append([epoch, 2 * epoch + 1, "", *strength])
    return ["epoch", "step", "train/loss", *(f"val/nme/{decoder}" for decoder in decoders)], lines


def _facts(folder: Path, size: int, seed: int, encoding: str, config: dict[str, Any]) -> dict[str, Any]:
    macs = {64: 4.75e9, 32: 1.19e9, 16: 0.3e9, 8: 0.07e9, 4: 0.03e9}[size]
    composed = {"heatmap_size": size, "seed": seed, "run_dir": str(folder), "monitor": "multilateration"}
    composed |= {"codec": {"encoding": encoding, "sigma": 2.0}, "loss": {"_target_": "torch.nn.MSELoss"}}
    return {
        **{"version": "0.1.0", "commit": "abc1234", "command": f"python -m keyposs.train heatmap_size={size}"},
        **{"hardware": "NVIDIA H100, 8 CPU threads", "python": "3.11.7", "torch": "2.14.1", "parameters": 9_660_000},
        **{"macs": macs, "latency_ms": 12.34, "checkpoint": f"{folder}/checkpoints/best.ckpt"},
        **{"epochs": 60, "seconds": 3723.4, "markup": MARKUP_68.to_dict()},
        "config": composed | config,
    }


def _draw(folder: Path, side: int) -> None:
    folder.mkdir()
    ramp = np.linspace(40, 220, side).astype(np.uint8)
    image = np.stack([np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)), np.full((side, side), 99)], -1)
    for name in ("overlays_val", "overlays_test", "distance_maps_test", "worst_test", "median_test"):
        cv2.imwrite(str(folder / f"{name}.png"), image.astype(np.uint8))


def _write_csv(path: Path, head: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *lines])
