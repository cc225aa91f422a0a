"""Composed configs of small, quick runs, for whoever tests a whole command."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # small tensors gain nothing from more, and busy cores make it slow

import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import settings
from omegaconf import DictConfig

from keyposs.config import CONF
from quick import SMALL

torch.set_num_threads(1)
settings.register_profile("suite", deadline=None)  # a busy machine is no mistake
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """A test that starts a process group leaves neither it nor its address to the next one."""
    before = dict(os.environ)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    os.environ.clear()
    os.environ.update(before)


Compose = Callable[..., DictConfig]


def composing(folder: Path) -> Compose:
    """What composes what a command would run in a folder."""

    def build(*overrides: str, name: str = "train", run: str = "run") -> DictConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(name, [f"run_dir={folder / run}", *overrides])

    return build


@pytest.fixture
def composed(tmp_path: Path) -> Compose:
    """`composed("heatmap_size=4", ...)`: what a command would run, in the folder `tmp_path / run`."""
    return composing(tmp_path)


@pytest.fixture(scope="module")
def composed_once(tmp_path_factory: pytest.TempPathFactory) -> Compose:
    """The same, for what a whole file of tests shares."""
    return composing(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def small(composed: Compose) -> Compose:
    """Like `composed`, of a small, quick run."""
    return lambda *overrides, run="run": composed(*SMALL, *overrides, run=run)
