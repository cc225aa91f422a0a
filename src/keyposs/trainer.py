"""Lightning's Trainer as a config asks for it, refused where it would spoil or lose work."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.plugins.io import TorchCheckpointIO

from keyposs.errors import KeyposError
from keyposs.files import atomic


class AtomicCheckpoints(TorchCheckpointIO):
    """Saves a checkpoint beside the one that it replaces, and then renames it: one of the two is always whole.

    Lightning's own way writes to the system's folder for temporary files, and copies from there where that is another
    disk; a process that is killed meanwhile leaves half a checkpoint in place of a whole one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """As Lightning asks for it.

        Raises:
            OSError: if the disk is full; the previous checkpoint stays.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)  # to memory, since torch's own writer does not say that the disk is full
        with atomic(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())


def build_trainer(config: DictConfig, callbacks: Iterable[pl.Callback], logger: Any) -> pl.Trainer:
    """The trainer of `config.trainer`.

    Its validations are moved so that the last epoch has one: every n-th epoch becomes the largest divisor of
    `max_epochs` up to n.

    Raises:
        KeyposError: for half precision without float32 weights, which rounds keypoints to whole pixels, for
            `fast_dev_run`, which leaves no checkpoint, for less than one epoch, and for synchronised BatchNorm
            without a GPU.
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
    on_cpu = config.trainer.get("accelerator") == "cpu" or not torch.cuda.is_available()
    if config.trainer.get("sync_batchnorm") and on_cpu:
        raise KeyposError("trainer.sync_batchnorm", "needs GPUs", "leave it out on CPUs")
    wanted = min(config.trainer.get("check_val_every_n_epoch") or 1, epochs)
    every = next(n for n in range(wanted, 0, -1) if epochs % n == 0)
    if config.trainer.get("enable_progress_bar") is False:  # Lightning refuses a bar then
        callbacks = (callback for callback in callbacks if not isinstance(callback, pl.callbacks.ProgressBar))
    trainer: pl.Trainer = instantiate(
        config.trainer,
        callbacks=list(callbacks),
        logger=logger,
        check_val_every_n_epoch=every,
        plugins=[*(instantiate(config.trainer.get("plugins")) or []), AtomicCheckpoints()],
    )
    return trainer
