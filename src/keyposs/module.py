"""Training and reading of one network: forward, loss, optimiser."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size, is_initialized
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from keyposs.build import build
from keyposs.codecs import Codec
from keyposs.errors import KeyposError
from keyposs.markup import Markup
from keyposs.schedules import Schedule, scaled_for
from keyposs.types import Faces, Truth


class Reading(NamedTuple):
    """What the callbacks see of an evaluated batch."""

    loss: Tensor
    output: Any
    decoded: dict[str, tuple[Tensor, Tensor]]  # decoder -> points in crop pixels (b, k, 2), scores (b, k)


def truth(batch: Faces) -> Truth:
    """What is known of a batch's faces, in pixels of their crops."""
    (a, b), (c, d) = batch.crop_to_image[:, :, :2].permute(1, 2, 0)
    return Truth(batch.keypoints, batch.visible, batch.norm / (a * d - b * c).abs().sqrt())


class LandmarkModule(pl.LightningModule):
    """A landmarker, the codec that trains and reads it, and how it is optimised.

    Args:
        landmarker: image in, the codec's output out.
        codec: target representation.
        optimizer: takes parameters; None, like the schedule, where nothing is trained.
        schedule: learning rate factor of each step.
        config: the composed config, plain containers; stands in every checkpoint.
        markup: the scheme of the landmarks; stands in every checkpoint.
        flip_test: evaluate the mean of an image's output and its mirror image's.
        lr_scaling: how the learning rate grows with the number of devices, see `scaled_for`.
    """

    def __init__(
        self,
        landmarker: nn.Module,
        codec: Codec,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None,
        schedule: Schedule | None,
        config: Mapping[str, Any],
        markup: Markup,
        flip_test: bool = False,
        lr_scaling: str = "none",
    ) -> None:
        super().__init__()
        scaled_for(1, lr_scaling)  # an unknown rule is refused here, before any work
        self.landmarker, self.codec = landmarker, codec
        self.optimizer, self.schedule = optimizer, schedule
        self.config, self.markup = config, markup
        self.flip_test, self.lr_scaling = flip_test, lr_scaling

    @classmethod
    def from_config(cls, config: DictConfig, markup: Markup) -> "LandmarkModule":
        """Builds the parts that a composed config names.

        Raises:
            KeyposError: if they do not fit each other, see `build`; or for a flip test of faces that may stop early.
        """
        _check_flip_test(config)
        landmarker, codec = build(config, markup.size)
        return cls(
            landmarker=landmarker,
            codec=codec,
            optimizer=instantiate(config.get("optim")),
            schedule=instantiate(config.get("schedule")),
            config=OmegaConf.to_container(config, resolve=True),  # type: ignore[arg-type]
            markup=markup,
            flip_test=config.get("flip_test", False),
            lr_scaling=config.get("lr_scaling", "none"),
        )

    def forward(self, image: Tensor) -> Any:
        """Images (b, 3, h, w), RGB in 0..255, to the codec's output."""
        return self.landmarker(image)

    def training_step(self, batch: Faces, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        output = self(batch.image)
        loss = self.codec.loss(output, truth(batch))
        self.log("train/loss", loss, on_step=True, on_epoch=False, prog_bar=True, batch_size=len(batch.norm))
        self.log("train/lr", self.optimizers().param_groups[0]["lr"], batch_size=len(batch.norm))
        return loss

    def validation_step(self, batch: Faces, batch_idx: int) -> Reading:
        """The loss and every decoder's reading of one batch."""
        output = self(batch.image)
        if self.flip_test:
            output = self.codec.average(output, self(batch.image.flip(-1)), self.markup.flip)
        loss = self.codec.loss(output, truth(batch))
        return Reading(loss, output, self.codec.decode(output))

    test_step = validation_step

    def on_validation_epoch_start(self) -> None:
        """Every rank reads its faces with the same BatchNorm statistics: the mean over ranks."""
        if not is_initialized():
            return
        buffers = [buffer for buffer in self.landmarker.buffers() if buffer.is_floating_point()]
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        all_reduce(flat)
        parts = (flat / get_world_size()).split([buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))

    def configure_optimizers(self) -> dict[str, Any]:
        """The optimiser, and the schedule stepped after every batch."""
        assert self.optimizer is not None
        assert self.schedule is not None
        steps = int(self.trainer.estimated_stepping_batches)
        per_epoch = max(1, steps // max(1, self.trainer.max_epochs or 1))
        factor, schedule = scaled_for(self.trainer.world_size, self.lr_scaling), self.schedule
        optimizer = self.optimizer(self.parameters())  # a codec's loss may have some too
        scheduler = LambdaLR(optimizer, lambda step: factor * schedule(step, steps, per_epoch))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the config and the markup, so that a checkpoint needs nothing beside it."""
        checkpoint["config"], checkpoint["markup"] = self.config, self.markup.to_dict()


def _check_flip_test(config: DictConfig) -> None:
    exit = config.head.get("exit", "none")
    if config.get("flip_test") and exit != "none":
        cause = f"has no sense with head.exit={exit}: a face and its mirror image would stop apart"
        remedy = "set flip_test=false, or read all stages: the run's own checkpoint, or head.exit=none in training"
        raise KeyposError("flip_test=true", cause, remedy)
