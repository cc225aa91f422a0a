"""An evaluation without a network: faces whose errors are known, read batch by batch as Lightning would."""

import errno
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn

from keyposs.augment import Augment
from keyposs.callbacks import DecoderMetrics
from keyposs.codecs import DistanceMap
from keyposs.data import FaceDataModule
from keyposs.data.sampler import EvalSampler
from keyposs.decoders import one_hot
from keyposs.distributed import from_rank_zero
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule, Reading
from keyposs.types import Annotation, Faces

POINTS, BATCH, THRESHOLD = 5, 2, 0.08


def error(face: int) -> float:
    """The NME of a face by the first decoder, a fraction; of the second it is twice as large."""
    return 0.013 * (face + 1)


def subsets(face: int) -> tuple[str, ...]:
    return ("full", "common" if face % 3 else "challenging")


class Known:
    """A data set of known faces, none of which is read."""

    name, norm, threshold = "known", "inter-ocular", THRESHOLD

    def __init__(self, faces: int) -> None:
        self.faces = faces

    def annotations(self, split: str) -> list[Annotation]:
        return [
            Annotation(
                **{"name": f"face {(7 * i) % 11}", "photo": str(i), "file": None, "subsets": subsets(i)},
                **{"keypoints": np.zeros((POINTS, 2)), "box": np.array([0.0, 0.0, 8.0, 8.0]), "face_box": None},
                **{"visible": np.ones(POINTS, bool), "occluded": np.zeros(POINTS, bool), "norm": 1.0},
                read=lambda: np.zeros((8, 8, 3), np.uint8),
            )
            for i in range(self.faces)
        ]


def measure(faces: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and predictions of a test split, as every rank has them at the end."""
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.datamodule = FaceDataModule(Known(faces), augment=Augment(8), image_size=8, batch_size=BATCH)
    trainer.state.fn = TrainerFn.TESTING
    codec = DistanceMap(Grid(8, 8), {"near": one_hot, "far": one_hot})
    module = LandmarkModule(nn.Identity(), codec, None, None, {"heatmap_size": 8, "seed": 0}, MARKUP_68)
    module.log = module.log_dict = lambda *_: None
    metrics = DecoderMetrics()
    metrics.on_test_epoch_start(trainer, module)
    annotations = trainer.datamodule.annotations("test")
    indices = [index for index, _ in EvalSampler(faces)]
    for start in range(0, len(indices), BATCH):
        batch = _batch(indices[start : start + BATCH], annotations)
        metrics.on_test_batch_end(trainer, module, _reading(batch), batch, 0)
    metrics.on_test_epoch_end(trainer, module)
    return metrics.rows["test"], metrics.predictions["test"]


def measure_all(most: int) -> list[Any]:
    """`measure` of 0 up to `most` faces."""
    return [measure(faces) for faces in range(most + 1)]


def _batch(indices: list[int], annotations: list[Annotation]) -> Faces:
    b = len(indices)
    faces = torch.tensor(indices)
    return Faces(
        image=torch.zeros(b, 3, 4, 4),
        keypoints=faces[:, None, None] + torch.rand(b, POINTS, 2, generator=torch.Generator().manual_seed(0)),
        visible=torch.ones(b, POINTS, dtype=torch.bool),
        occluded=torch.zeros(b, POINTS, dtype=torch.bool),
        box=torch.zeros(b, 4),
        norm=10.0 * (faces + 2),
        subsets=[annotations[i].subsets if i >= 0 else () for i in indices],
        crop_to_image=torch.tensor([[2.0, 0, 1], [0, 2, 3]]).expand(b, 2, 3),
        name=[annotations[i].name if i >= 0 else "nobody" for i in indices],
    )


def _reading(batch: Faces) -> Reading:
    faces = (batch.norm / 10 - 2).long().tolist()
    right = torch.tensor([error(face) for face in faces]) * batch.norm / 2  # crop pixels are half of the photo's
    off = torch.stack([right, torch.zeros_like(right)], -1)[:, None]
    scores = torch.ones(len(faces), POINTS)
    decoded = {"near": (batch.keypoints + off, scores), "far": (batch.keypoints - 2 * off, scores)}
    return Reading(torch.tensor(0.5), None, decoded)


def agree() -> list[str]:
    """What rank 0 knows, and how its mistakes reach the others."""
    rank = torch.distributed.get_rank()
    found = [from_rank_zero(lambda: f"from {rank}")]
    for mistake in (KeyposError("best.ckpt", "is missing", "train"), OSError(errno.ENOSPC, "full"), ValueError("odd")):
        try:
            from_rank_zero(partial(_fail, mistake))
        except KeyposError as error:
            found.append(str(error))
    return found


def _fail(mistake: Exception) -> str:
    raise mistake
