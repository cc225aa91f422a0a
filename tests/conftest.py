"""A composed config of a small, quick run, for whoever tests a whole command."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from keyposs.config import CONF

SMALL = (
    "heatmap_size=8",
    "image_size=64",
    "backbone.name=mobilenetv3_small_050",
    "batch_size=4",
    "data.train=8",
    "data.val=4",
    "data.test=5",
    "datamodule.workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false",
    "~callbacks.progress",
    "logger=csv",
    "callbacks.pictures.faces=2",
)
"""Overrides: eight rendered faces, a network of 0.6 million parameters, one epoch."""


@pytest.fixture()
def composed(tmp_path: Path) -> Callable[..., DictConfig]:
    """`composed("heatmap_size=4", ...)`: what `python -m keyposs.train` would run, in a folder of this test."""

    def build(*overrides: str, name: str = "train", run: str = "run") -> DictConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(name, [f"run_dir={tmp_path / run}", *overrides])

    return build


@pytest.fixture()
def small(composed: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Like `composed`, of a small, quick run; overrides come after its own."""
    return lambda *overrides, run="run": composed(*SMALL, *overrides, run=run)
