"""Going on with an interrupted run: its config, and the log that it had written."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.loggers import CSVLogger, Logger

from keyposs.errors import KeyposError


def recompose(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The config of the run to resume, with the values of this command line; its parts cannot be exchanged.

    Args:
        config: as composed now; only its `resume` counts.
        overrides: of the command line, such as `trainer.max_epochs=80`.

    Raises:
        KeyposError: if the run has no config, or an override names something that the run has not.
    """
    file = Path(config.resume) / "config.yaml"
    if not file.is_file():
        raise KeyposError(config.resume, "is not a run directory (no config.yaml)", "give the one to go on with")
    saved = OmegaConf.load(file)
    assert isinstance(saved, DictConfig)
    for override in overrides:
        if override.startswith("resume="):
            continue
        key, _, value = override.lstrip("+").partition("=")
        if OmegaConf.is_config(OmegaConf.select(saved, key)):
            raise KeyposError(override, f"would change a part of {file}", "start a new run for that")
        try:
            OmegaConf.set_struct(saved, True)
            OmegaConf.update(saved, key, OmegaConf.from_dotlist([f"value={value}"]).value)
        except OmegaConfBaseException as error:
            raise KeyposError(override, f"names nothing that {file} has", "leave it out") from error
    saved.run_dir = config.run_dir
    return saved


def replay(loggers: Sequence[Logger], metrics: Path, last: Path) -> None:
    """Logs the rows of an old `metrics.csv` again, up to the checkpoint's step: the CSV logger starts a new file."""
    step = torch.load(last, map_location="cpu", weights_only=True)["global_step"]
    if not metrics.is_file():
        return
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            for row in rows:
                values = {key: float(value) for key, value in row.items() if value and key != "step"}
                logger.log_metrics(values, int(row["step"]))
            logger.save()
