"""Going on with an interrupted run: its config, and the log that it had written."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.loggers import CSVLogger, Logger
from pytorch_lightning.utilities import rank_zero_only

from keyposs.errors import KeyposError

CHANGEABLE = (
    "trainer.max_epochs",
    "trainer.accelerator",
    "trainer.devices",
    "logger.",
    "callbacks.pictures.",
    "datamodule.cache",
    "datamodule.workers",
    "box.file",
    "data.root",
)
"""What may change when a run goes on; the rest is what the checkpoint was trained as."""


def run_of(path: str | Path | int | None) -> str | None:
    """The run directory that `resume=` means: itself, or the one around a file in its checkpoints; None if neither.

    >>> run_of("nowhere") is None
    True
    """
    if path is None:
        return None
    path = Path(str(path))  # a folder called 0 is a number to Hydra
    if path.is_file():
        return str(path.parent.parent) if path.parent.name == "checkpoints" else None
    return str(path) if path.is_dir() else None


def recompose(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The config of the run to resume, with those values of this command line that may change.

    Args:
        config: as composed now; only its `resume` counts.
        overrides: of the command line, such as `trainer.max_epochs=80`.

    Raises:
        KeyposError: if the run has no config, or an override is none of `CHANGEABLE`.
    """
    run = run_of(config.resume)
    file = Path(run or str(config.resume)) / "config.yaml"
    if not file.is_file():
        raise KeyposError(config.resume, "is not a run directory (no config.yaml)", "give the one to go on with")
    saved = OmegaConf.load(file)
    assert isinstance(saved, DictConfig)
    if "box" in saved:  # not in older runs
        saved.box = follow_data(saved.box, saved.data)
    OmegaConf.set_struct(saved, True)
    for override in overrides:
        key, _, _ = override.lstrip("+").partition("=")
        if key == "resume":
            continue
        if not key.startswith(CHANGEABLE):
            raise KeyposError(override, "would change what is being trained", f"start a new run, or leave {key} out")
        set_override(saved, override, file)
    saved.run_dir = run
    return saved


def set_override(config: DictConfig, override: str, where: str | Path) -> None:
    """Sets a value of a stored config, in place.

    Args:
        config: takes no new keys (its struct flag is set).
        override: such as `data.root=FOLDER`.
        where: the config's file, for the error.

    Raises:
        KeyposError: if the config has no such value, or many values by that name.
    """
    key, _, value = override.lstrip("+").partition("=")
    try:
        if OmegaConf.is_dict(OmegaConf.select(config, key, throw_on_resolution_failure=False)):
            raise KeyposError(override, "would replace many values", f"set one of them, like {key}.NAME=VALUE")
        OmegaConf.update(config, key, OmegaConf.from_dotlist([f"value={value}"]).value)
    except OmegaConfBaseException as error:
        raise KeyposError(override, f"names nothing that {where} has", "leave it out") from error


def follow_data(box: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """A stored `box` whose `root`, where it was the stored data's, is that of the data at hand, wherever it lies now.

    >>> follow_data({"source": "csv", "root": "there"}, {"root": "there"})
    {'source': 'csv', 'root': '${oc.select:data.root,null}'}
    """
    followed = "root" in box and box["root"] == data.get("root")
    return {**box, **({"root": "${oc.select:data.root,null}"} if followed else {})}


def anchor(config: DictConfig) -> None:
    """Makes `box.file` absolute, in place, so that a later command finds it from any folder."""
    file = OmegaConf.select(config, "box.file")
    if file is not None:
        config.box.file = os.path.abspath(os.path.expanduser(str(file)))


def replay(loggers: Sequence[Logger], metrics: Path, last: Path, *, epochs: int) -> None:
    """Logs the rows of an old `metrics.csv` again, up to the checkpoint's step: the CSV logger starts a new file.

    Args:
        loggers: of the run that goes on.
        metrics: the old file.
        last: the checkpoint to go on from.
        epochs: how many the run shall have in the end.

    Raises:
        KeyposError: if the checkpoint has more epochs already.
    """
    if last.suffix == ".safetensors":
        raise KeyposError(last, "holds weights only, nothing to go on from", "give the run directory")
    state = torch.load(last, map_location="cpu", weights_only=True)
    step, done = state["global_step"], state["epoch"] + 1
    if done > epochs:
        raise KeyposError(f"trainer.max_epochs={epochs}", f"{last} has done {done} already", f"give {done} or more")
    if rank_zero_only.rank > 0 or not metrics.is_file():
        return
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["step"] or "").isdigit() and int(row["step"]) < step]
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            for row in rows:
                values = {key: float(value) for key, value in row.items() if value and key != "step"}
                logger.log_metrics(values, int(row["step"]))
            logger.save()
