"""Lightning's Trainer as a config asks for it, refused where it would spoil or lose work."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from keyposs.errors import KeyposError


def build_trainer(config: DictConfig, callbacks: Iterable[pl.Callback], logger: Any) -> pl.Trainer:
    """The trainer of `config.trainer`.

    Its validations are moved so that the last epoch has one: every n-th epoch becomes the largest divisor of
    `max_epochs` up to n.

    Raises:
        KeyposError: for half precision without float32 weights, which rounds keypoints to whole pixels, for
            `fast_dev_run`, which leaves no checkpoint, and for less than one epoch.
    """
    precision = str(config.trainer.get("precision", "32-true"))
    if precision in ("16-true", "bf16-true"):
        mixed = precision.replace("true", "mixed")
        cause = "rounds keypoints and norms to half precision, and so the errors"
        raise KeyposError(f"trainer.precision={precision}", cause, f"use trainer.precision={mixed}")
    if config.trainer.get("fast_dev_run"):
        raise KeyposError("trainer.fast_dev_run", "leaves no checkpoint to evaluate", "use trainer=debug")
    epochs = config.trainer.max_epochs
    if epochs is None or epochs < 1:
        raise KeyposError(f"trainer.max_epochs={epochs}", "trains nothing", "give 1 or more, or use keyposs.evaluate")
    wanted = min(config.trainer.get("check_val_every_n_epoch") or 1, epochs)
    every = next(n for n in range(wanted, 0, -1) if epochs % n == 0)
    trainer: pl.Trainer = instantiate(
        config.trainer, callbacks=list(callbacks), logger=logger, check_val_every_n_epoch=every
    )
    return trainer
