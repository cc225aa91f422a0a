"""What happens beside training: the error of every decoder, a stop at NaN, pictures."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed import all_gather_object, get_world_size, is_initialized
from torchmetrics import MeanMetric

from keyposs import viz
from keyposs.codecs import DistanceMap
from keyposs.errors import KeyposError
from keyposs.metrics import FaceErrors, nme_per_face
from keyposs.module import LandmarkModule, Reading
from keyposs.types import Faces

log = logging.getLogger(__name__)


class FiniteLoss(pl.Callback):
    """Stops a run whose loss is no longer a number, before its checkpoint is overwritten."""

    def __init__(self) -> None:
        self.finite: Tensor | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Remembers on the device, and looks only as often as the trainer logs: no sync at every step."""
        finite = outputs["loss"].detach().isfinite()
        self.finite = finite if self.finite is None else self.finite & finite
        if trainer.global_step % trainer.log_every_n_steps == 0:
            self._check(trainer)

    def on_validation_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Looks before validation, and so before a checkpoint is saved."""
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if self.finite is not None and not bool(self.finite):
            raise KeyposError(
                "train/loss",
                f"is not a number by step {trainer.global_step} (epoch {trainer.current_epoch})",
                "lower optim.lr or trainer.gradient_clip_val, use trainer.precision=32-true, look for broken keypoints; "
                "checkpoints/last.ckpt is from before",
            )


class DecoderMetrics(pl.Callback):
    """NME, FR and AUC of every decoder on every subset, all from one forward pass.

    Logs `val/nme/<decoder>` and `test/<subset>/nme/<decoder>` (also `fr`, `auc`) and `val/loss`. After `validate`
    or `test` (not within `fit`), `rows` and `predictions` hold what `results.write` writes. Every rank sees its own
    faces; sums are added over ranks, so each face counts once, and a rank without a face does not hang.
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
        data = trainer.datamodule  # type: ignore[attr-defined]
        self.loss = MeanMetric().to(module.device)
        self.errors = {
            (subset, decoder): FaceErrors(data.dataset.threshold).to(module.device)
            for subset in data.subsets(split)
            for decoder in module.codec.names
        }
        self.kept: list[tuple[Faces, dict[str, tuple[Tensor, Tensor]]]] = []

    def _add(self, reading: Reading, batch: Faces, *, keep: bool) -> None:
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
            self.kept.append((batch, kept))

    def _finish(self, trainer: pl.Trainer, module: LandmarkModule, split: str) -> None:
        values = {key: metric.compute() for key, metric in self.errors.items()}
        module.log(f"{split}/loss", self.loss.compute())
        for (subset, decoder), value in values.items():
            where = "val" if split == "val" else f"test/{subset}"
            module.log_dict({f"{where}/{name}/{decoder}": value[name] for name in ("nme", "fr", "auc")})
        if trainer.state.fn == "fit":
            best = {decoder: f"{float(value['nme']):.2f}" for (_, decoder), value in values.items()}
            log.info("epoch %d: val NME %% %s", trainer.current_epoch, best)
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        facts = {"data": data.dataset.name, "split": split, "heatmap_size": module.config["heatmap_size"]}
        how = {"method": module.codec.method, "encoding": module.codec.encoding}
        scale = {"threshold": data.dataset.threshold, "norm": data.dataset.norm}
        self.rows[split] = [
            facts
            | {"subset": subset, **how, "decoder": decoder}
            | {name: float(value[name]) for name in ("nme", "fr", "auc")}
            | scale
            | {"faces": int(value["faces"]), "seed": module.config["seed"]}
            for (subset, decoder), value in values.items()
            if value["faces"] > 0
        ]
        order = {annotation.name: i for i, annotation in enumerate(data.annotations(split))}
        self.predictions[split] = sorted(_gather(list(self._records(split))), key=lambda row: order[row["name"]])

    def _records(self, split: str) -> Iterator[dict[str, Any]]:
        for batch, decoded in self.kept:
            norms = batch.norm.tolist()
            for decoder, (points, errors) in decoded.items():
                faces = zip(batch.name, batch.subsets, norms, errors.tolist(), points.flatten(1).tolist(), strict=True)
                for name, subsets, norm, nme, xy in faces:
                    face = {"name": name, "split": split, "subsets": "|".join(subsets), "decoder": decoder}
                    yield face | {"norm": norm, "nme": nme, "points": xy}


class Pictures(pl.Callback):
    """Predictions against truth, drawn at each validation and after the test.

    Args:
        folder: for the PNG files; they also go to every logger that takes pictures.
        decoder: whose points are drawn.
        faces: how many are drawn.
    """

    def __init__(self, folder: str, decoder: str, faces: int = 12) -> None:
        self.folder, self.decoder, self.faces = Path(folder), decoder, faces

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, index: int, *_: Any
    ) -> None:
        if index == 0 and trainer.is_global_zero:
            self._draw(trainer, module, outputs, batch, "val")

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, index: int, *_: Any
    ) -> None:
        if index == 0 and trainer.is_global_zero:
            self._draw(trainer, module, outputs, batch, "test")
            if isinstance(module.codec, DistanceMap):
                self._draw_maps(trainer, module.codec, outputs, batch)

    def _draw(self, trainer: pl.Trainer, module: LandmarkModule, reading: Reading, batch: Faces, split: str) -> None:
        points, scores = reading.decoded[self.decoder]
        errors = nme_per_face(
            to_image(batch.crop_to_image, points), to_image(batch.crop_to_image, batch.keypoints), batch.visible, batch.norm
        )
        images = [
            viz.overlay(picture(batch.image[i]), array(batch.keypoints[i]), array(points[i]), module.markup)
            for i in range(min(self.faces, len(errors)))
        ]
        captions = [f"{name}  {100 * e:.2f} %" for name, e in zip(batch.name, errors[: self.faces].tolist(), strict=False)]
        self._save(trainer, f"overlays_{split}", viz.sheet(images, columns=4, captions=captions))

    def _draw_maps(self, trainer: pl.Trainer, codec: DistanceMap, reading: Reading, batch: Faces) -> None:
        points, _ = reading.decoded[self.decoder]
        kernel = getattr(codec.decoders.get("multilateration"), "keywords", {}).get("kernel", 2)
        chosen = np.linspace(0, points.shape[1] - 1, 6).astype(int).tolist()
        images = [
            viz.distance_map(
                picture(batch.image[0]),
                array(reading.output[0, k]),
                codec.grid,
                sigma=codec.sigma,
                kernel=kernel,
                keypoint=array(batch.keypoints[0, k]),
                point=array(points[0, k]),
            )
            for k in chosen
        ]
        self._save(trainer, "distance_maps_test", viz.sheet(images, columns=3))

    def _save(self, trainer: pl.Trainer, name: str, image: np.ndarray) -> None:
        path = self.folder / f"{name}.png"
        viz.save(path, image)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image(name, [str(path)])


def to_image(crop_to_image: Tensor, points: Tensor) -> Tensor:
    """Points (b, k, 2) in crop pixels to pixels of their photos, by matrices (b, 2, 3)."""
    return points @ crop_to_image[:, :, :2].mT + crop_to_image[:, None, :, 2]


def picture(image: Tensor) -> np.ndarray:
    """An image (3, h, w) in 0..255 as uint8 (h, w, 3)."""
    return image.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()


def array(tensor: Tensor) -> np.ndarray:
    """A tensor on the CPU as float64."""
    return tensor.detach().double().cpu().numpy()


def _gather(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of every rank."""
    if not is_initialized():
        return rows
    gathered: list[list[dict[str, Any]]] = [[] for _ in range(get_world_size())]
    all_gather_object(gathered, rows)
    return [row for of_rank in gathered for row in of_rank]
