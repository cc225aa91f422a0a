"""The loggers of a run: opened, given its settings and pictures, and closed.

A logger has a copy of what the run's folder holds: once a run has begun, it goes on without one that fails.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import wandb
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from keyposs.errors import KeyposError

log = logging.getLogger(__name__)


@contextmanager
def opened(config: DictConfig) -> Iterator[list[Logger]]:
    """The loggers of `config.logger`, closed at the end: the next job of a sweep starts a run of its own in wandb.

    Raises:
        KeyposError: if TensorBoard is asked for, and is not installed.
    """
    try:
        loggers = list(instantiate(config.get("logger") or {}).values())
    except InstantiationException as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        remedy = 'pip install "keyposs[tensorboard]"'
        raise KeyposError("logger=tensorboard", "needs a package that is not installed", remedy) from error
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        with harmless("wandb"):
            wandb.finish(exit_code=int(failed))
            wandb.teardown()  # waits until all is on disk


def start(loggers: Iterable[Logger], config: DictConfig) -> None:
    """Gives the dashboards the composed config, before any work is done; wandb opens its run here.

    Raises:
        KeyposError: if wandb shall upload, and cannot.
    """
    settings = OmegaConf.to_container(config, resolve=True)  # plain: loggers neither nest nor store a DictConfig
    for logger in loggers:
        if isinstance(logger, WandbLogger | TensorBoardLogger):
            try:
                logger.log_hyperparams(settings)  # type: ignore[arg-type]
            except wandb.Error as error:
                cause = f"cannot start ({str(error).splitlines()[0].rstrip('.')})"
                remedy = "run `wandb login` once; or leave it out, and upload with `wandb sync` afterwards"
                raise KeyposError("logger=wandb_online", cause, remedy) from error


def show(loggers: Iterable[Logger], picture: Path, step: int) -> None:
    """Gives a PNG file to every logger that takes pictures, as `<folder>/<name>`."""
    name = f"{picture.parent.name}/{picture.stem}"
    for logger in loggers:
        with harmless(type(logger).__name__, name):
            pixels = np.asarray(Image.open(picture))
            if isinstance(logger, WandbLogger):
                logger.log_image(name, [pixels], step, file_type=["jpg"])  # a tenth of the PNG, at each validation
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, pixels, step, dataformats="HWC")


@contextmanager
def harmless(dashboard: str, part: str = "everything") -> Iterator[None]:
    """Says what goes wrong with a dashboard, and goes on: no run is lost to a server, a network or a package."""
    try:
        yield
    except Exception as error:
        kind = type(error).__name__  # some messages say nothing without: a KeyError's is the key alone
        log.warning("%s did not take %s (%s: %s); the run's folder has it all", dashboard, part, kind, error)
