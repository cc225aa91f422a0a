"""The callback that reads every decoder's error off one forward pass."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytorch_lightning as pl
from torch import Tensor
from torchmetrics import MeanMetric

from keyposs.data import FaceDataModule
from keyposs.distributed import gather
from keyposs.metrics import FaceErrors, nme_per_face, to_image
from keyposs.module import LandmarkModule, Reading
from keyposs.types import Faces

log = logging.getLogger(__name__)

MEASURES = ("nme", "fr", "auc")


class Kept(NamedTuple):
    """What is kept of an evaluated batch: no images, which of a whole test set would fill a GPU."""

    names: list[str]
    subsets: list[tuple[str, ...]]
    norms: Tensor  # (b), pixels of the photo
    decoded: dict[str, tuple[Tensor, Tensor]]  # decoder -> points in pixels of the photo (b, k, 2), errors (b)


class DecoderMetrics(pl.Callback):
    """NME, FR and AUC of every decoder on every subset, all from one forward pass.

    Logs `val/nme/<decoder>` and `test/<subset>/nme/<decoder>` (also `fr`, `auc`) and `val/loss`. After
    `validate` or `test` (not within `fit`), `rows` and `predictions` hold what `results.write` writes. Every
    rank sees its own faces; sums are added over ranks, so each face counts once, and a rank without a face does
    not hang.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.predictions: dict[str, list[dict[str, Any]]] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: LandmarkModule) -> None:
        self._start(trainer, module, "val")

    def on_test_epoch_start(self, trainer: pl.Trainer, module: LandmarkModule) -> None:
        self._start(trainer, module, "test")

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, *_: Any
    ) -> None:
        self._add(outputs, batch, keep=trainer.state.fn != "fit")

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, *_: Any
    ) -> None:
        self._add(outputs, batch, keep=True)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: LandmarkModule) -> None:
        self._finish(trainer, module, "val")

    def on_test_epoch_end(self, trainer: pl.Trainer, module: LandmarkModule) -> None:
        self._finish(trainer, module, "test")

    def _start(self, trainer: pl.Trainer, module: LandmarkModule, split: str) -> None:
        data = data_of(trainer)
        self.loss = MeanMetric().to(module.device)
        self.errors = {
            (subset, decoder): FaceErrors(data.dataset.threshold).to(module.device)
            for subset in data.subsets(split)
            for decoder in module.codec.names
        }
        self.kept: list[Kept] = []

    def _add(self, reading: Reading, batch: Faces, *, keep: bool) -> None:
        if not any(batch.subsets):  # a rank for which no face is left
            return
        self.loss.update(reading.loss, len(batch.norm))
        keypoints = to_image(batch.crop_to_image, batch.keypoints)
        kept = {}
        for decoder, (points, _) in reading.decoded.items():
            points = to_image(batch.crop_to_image, points)
            errors = nme_per_face(points, keypoints, batch.visible, batch.norm)
            for subset in {subset for of_face in batch.subsets for subset in of_face}:
                inside = [i for i, of_face in enumerate(batch.subsets) if subset in of_face]
                self.errors[subset, decoder].update(errors[inside])
            kept[decoder] = points, errors
        if keep:
            self.kept.append(Kept(list(batch.name), list(batch.subsets), batch.norm, kept))

    def _finish(self, trainer: pl.Trainer, module: LandmarkModule, split: str) -> None:
        values = {key: metric.compute() for key, metric in self.errors.items()}
        module.log(f"{split}/loss", self.loss.compute())
        for (subset, decoder), value in values.items():
            where = "val" if split == "val" else f"test/{subset}"
            module.log_dict({f"{where}/{name}/{decoder}": value[name] for name in MEASURES})
        if trainer.state.fn == "fit":
            errors = "  ".join(f"{decoder} {float(value['nme']):.2f}" for (_, decoder), value in values.items())
            log.info("epoch %d: val NME %% (%s): %s", trainer.current_epoch, data_of(trainer).dataset.norm, errors)
            return
        self.rows[split] = [
            {
                **_facts(trainer, module, split),
                "subset": subset,
                "decoder": decoder,
                **{name: float(value[name]) for name in MEASURES},
                "faces": int(value["faces"]),
            }
            for (subset, decoder), value in values.items()
            if value["faces"] > 0
        ]
        order = {annotation.name: i for i, annotation in enumerate(data_of(trainer).annotations(split))}
        self.predictions[split] = sorted(gather(list(self._records(split))), key=lambda row: order[row["name"]])

    def _records(self, split: str) -> Iterator[dict[str, Any]]:
        for batch in self.kept:
            norms = batch.norms.tolist()
            for decoder, (points, errors) in batch.decoded.items():
                faces = zip(batch.names, batch.subsets, norms, errors.tolist(), points.flatten(1).tolist(), strict=True)
                for name, subsets, norm, nme, xy in faces:
                    face = {"name": name, "split": split, "subsets": "|".join(subsets), "decoder": decoder}
                    yield face | {"norm": norm, "nme": nme, "points": xy}


def data_of(trainer: pl.Trainer) -> FaceDataModule:
    """The data that a trainer reads."""
    return trainer.datamodule  # type: ignore[attr-defined,no-any-return]


def _facts(trainer: pl.Trainer, module: LandmarkModule, split: str) -> dict[str, Any]:
    """What a row of `results.json` says beside its numbers."""
    dataset = data_of(trainer).dataset
    return {
        "data": dataset.name,
        "split": split,
        "heatmap_size": module.config["heatmap_size"],
        "method": module.codec.method,
        "encoding": module.codec.encoding,
        "flip_test": module.flip_test,
        "threshold": dataset.threshold,
        "norm": dataset.norm,
        "seed": module.config["seed"],
    }
