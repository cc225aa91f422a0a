"""The callback that draws predictions against truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from keyposs import viz
from keyposs.callbacks.metrics import data_of
from keyposs.explain import Seen, explain
from keyposs.files import readable
from keyposs.loggers import show
from keyposs.metrics import nme_per_face, to_image
from keyposs.module import LandmarkModule, Reading, truth
from keyposs.types import Faces


class Pictures(pl.Callback):
    """Predictions against truth, drawn at each validation and after the test.

    Args:
        folder: for the PNG files; they also go to every logger that takes pictures.
        decoder: whose points are drawn.
        faces: how many are drawn.
    """

    def __init__(self, folder: str, decoder: str, faces: int) -> None:
        self.folder, self.decoder, self.faces = Path(folder), decoder, faces

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, index: int, *_: Any
    ) -> None:
        if index == 0 and trainer.is_global_zero and self.faces > 0:
            self._draw(trainer, module, outputs, batch, "val")

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, index: int, *_: Any
    ) -> None:
        if index == 0 and trainer.is_global_zero and self.faces > 0:
            self._draw(trainer, module, outputs, batch, "test")
            self._explain(trainer, module, outputs, batch)

    def _draw(self, trainer: pl.Trainer, module: LandmarkModule, reading: Reading, batch: Faces, split: str) -> None:
        points, _ = reading.decoded[self.decoder]
        errors = nme_per_face(
            to_image(batch.crop_to_image, points),
            to_image(batch.crop_to_image, batch.keypoints),
            batch.visible,
            batch.norm,
        )
        keypoints = known(batch)
        markup, covariances = data_of(trainer).dataset.markup, module.codec.covariance(reading.output, self.decoder)
        images = [
            viz.overlay(
                picture(batch.image[i]),
                array(keypoints[i]),
                array(points[i]),
                markup,
                covariances=None if covariances is None else array(covariances[i]),
            )
            for i in range(min(self.faces, len(errors)))
        ]
        named = zip(batch.name, errors[: self.faces].tolist(), strict=False)
        captions = [f"{readable(name)}  {100 * error:.2f} %" for name, error in named]
        self._save(trainer, f"overlays_{split}", viz.sheet(images, columns=4, captions=captions))

    def _explain(self, trainer: pl.Trainer, module: LandmarkModule, reading: Reading, batch: Faces) -> None:
        points, norm = reading.decoded[self.decoder][0][0], float(truth(batch).norm[0])
        face = Seen(picture(batch.image[0]), array(known(batch)[0]), array(points), norm, module.markup)
        for name, image in explain(module.codec, reading.output, face).items():
            self._save(trainer, f"{name}_test", image)

    def _save(self, trainer: pl.Trainer, name: str, image: np.ndarray) -> None:
        path = self.folder / f"{name}.png"
        viz.save(path, image)
        show(trainer.loggers, path, trainer.global_step)


def known(batch: Faces) -> Tensor:
    """The keypoints of a batch, NaN where a point is not annotated, which is not drawn."""
    return batch.keypoints.masked_fill(~batch.visible[..., None], torch.nan)


def picture(image: Tensor) -> np.ndarray:
    """An image (3, h, w) in 0..255 as uint8 (h, w, 3)."""
    return image.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()


def array(tensor: Tensor) -> np.ndarray:
    """A tensor on the CPU as float64."""
    return tensor.detach().double().cpu().numpy()
