"""The callback that stops at NaN."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from keyposs.errors import KeyposError


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
        """Looks before validation, and so before a checkpoint is saved; at the weights of the last step too."""
        self._check_weights(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Looks before `last.ckpt` is saved, also where an epoch has no validation."""
        self._check_weights(trainer, module)

    def _check_weights(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            weights = torch.stack([weight.isfinite().all() for weight in module.parameters()]).all()
            self.finite = weights if self.finite is None else self.finite & weights
            self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if self.finite is not None and not bool(self.finite):
            raise KeyposError(
                "train/loss",
                f"is not a number by step {trainer.global_step} (epoch {trainer.current_epoch})",
                "lower optim.lr or trainer.gradient_clip_val, or use trainer.precision=32-true, in a new run; "
                "checkpoint=<this run> starts it from the last good weights, if an epoch was finished",
            )
