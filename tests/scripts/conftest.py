"""Scripts import each other by name, as `python scripts/one.py` lets them; and checkpoints for them to read."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from keyposs.checkpoint import Checkpoint, save_safetensors
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


@pytest.fixture
def untrained(small: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., str]:
    """`untrained("heatmap_size=4")`: the path of a small network's checkpoint, on four rendered faces of `val`."""

    def write(*overrides: str) -> str:
        torch.manual_seed(0)
        module = LandmarkModule.from_config(small(*overrides), MARKUP_68)
        file = tmp_path / f"{len(list(tmp_path.glob('*.safetensors')))}.safetensors"
        save_safetensors(Checkpoint(file, dict(module.config), MARKUP_68, module.landmarker.state_dict()), file)
        return str(file)

    return write


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[str], AbstractContextManager[None]]:
    """`with refused("is no face"):` a command that ends with status 1 and these words, a pattern."""

    @contextmanager
    def ends(words: str) -> Iterator[None]:
        capsys.readouterr()
        with pytest.raises(SystemExit, match="^1$"):
            yield
        assert re.search(f"^keyposs: .*{words}", said := capsys.readouterr().err, re.MULTILINE), said

    return ends
