"""The callback that keeps how right each stage of a cascade is, and how right it thinks that it is."""

from typing import Any

import pytorch_lightning as pl
import torch

from keyposs.callbacks.pictures import array
from keyposs.codecs.cascade import l1_per_face
from keyposs.metrics import nme_per_face, to_image
from keyposs.module import LandmarkModule, Reading, truth
from keyposs.reports.exits import Stages
from keyposs.types import Faces


class StageErrors(pl.Callback):
    """What every stage says of the faces that this device reads: by splits, a record for each batch."""

    def __init__(self) -> None:
        self.batches: dict[str, list[Stages]] = {}

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, *_: Any
    ) -> None:
        self.batches.setdefault("val", []).append(stages(outputs, batch))

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, *_: Any
    ) -> None:
        self.batches.setdefault("test", []).append(stages(outputs, batch))


def stages(reading: Reading, batch: Faces) -> Stages:
    """Of a batch, by its points as they are read, which may be of another scheme than the network's."""
    points = torch.stack([points for name, (points, _) in reading.decoded.items() if name.startswith("stage_")])
    keypoints = to_image(batch.crop_to_image, batch.keypoints)
    nme = [
        nme_per_face(to_image(batch.crop_to_image, of_stage), keypoints, batch.visible, batch.norm)
        for of_stage in points
    ]
    return Stages(array(reading.output.errors), array(l1_per_face(points, truth(batch))), array(torch.stack(nme)))
