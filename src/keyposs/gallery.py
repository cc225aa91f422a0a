"""The faces that a reader wants to see after an evaluation: the worst, and those in the middle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keyposs import viz
from keyposs.callbacks.pictures import array, picture
from keyposs.crop import apply, invert
from keyposs.data import FaceDataModule
from keyposs.files import readable

COLUMNS = 4
"""Faces beside each other on a picture."""

Prediction = Mapping[str, Any]
"""One face by one decoder, as DecoderMetrics keeps it: `name`, `nme` as a fraction, `points` in pixels of the photo."""


def ranked(predictions: Sequence[Prediction], count: int) -> dict[str, list[Prediction]]:
    """The faces of the largest errors, worst first, and the faces around the median error; NaN is the worst.

    >>> faces = [{"name": name, "nme": nme} for name, nme in zip("abcde", (0.1, 0.5, 0.2, 0.4, 0.3))]
    >>> {rank: [face["name"] for face in chosen] for rank, chosen in ranked(faces, 2).items()}
    {'worst': ['b', 'd'], 'median': ['e', 'c']}
    """
    by_error = sorted(predictions, key=lambda face: -np.nan_to_num(face["nme"], nan=np.inf))
    middle = max(0, (len(by_error) + 1 - count) // 2)
    return {"worst": by_error[:count], "median": by_error[middle : middle + count]}


def draw(datamodule: FaceDataModule, split: str, predictions: Sequence[Prediction], count: int, folder: Path) -> None:
    """Writes `worst_<split>.png` and `median_<split>.png`: predictions against truth.

    Args:
        datamodule: has just been evaluated on the split.
        split: val or test.
        predictions: of its faces, by one decoder.
        count: of faces on each picture; 0 for no picture.
        folder: for the pictures.
    """
    index = {face.name: i for i, face in enumerate(datamodule.annotations(split))}
    for rank, chosen in ranked(predictions, count).items():
        if chosen:
            images = [_overlay(datamodule, split, index[found["name"]], found) for found in chosen]
            captions = [f"{readable(found['name'])}  {100 * found['nme']:.2f} %" for found in chosen]
            viz.save(folder / f"{rank}_{split}.png", viz.sheet(images, columns=COLUMNS, captions=captions))


def _overlay(datamodule: FaceDataModule, split: str, index: int, found: Prediction) -> viz.Picture:
    face = datamodule.face(split, index)
    points = apply(invert(array(face.crop_to_image)), np.reshape(found["points"], (-1, 2)))
    keypoints = np.where(face.visible[:, None], array(face.keypoints), np.nan)
    return viz.overlay(picture(face.image), keypoints, points, datamodule.dataset.markup)
