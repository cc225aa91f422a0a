import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from keyposs import resume
from keyposs.errors import KeyposError

Small = Callable[..., DictConfig]

WITH_BOXES = ("data=300w", "data.root=old", "box=csv", "box.file=b.csv")


@pytest.mark.parametrize(("given", "root"), [((), "new"), (("box.root=apart",), "apart")])
def test_boxes_follow_the_data_that_has_moved(
    composed: Small, tmp_path: Path, given: tuple[str, ...], root: str
) -> None:
    config = composed(*WITH_BOXES, *given)
    instantiate(config.box)  # resolves the root in place, as a run does before it is stored
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(OmegaConf.to_yaml(config))
    again = resume.recompose(composed(f"resume={tmp_path / 'run'}"), ["+data.root=new", "box.file=c.csv"])
    assert (again.data.root, again.box.root, again.box.file) == ("new", root, "c.csv")


def test_a_stored_file_of_boxes_is_found_from_any_folder(
    composed: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, home, other = (composed(*WITH_BOXES), composed(*WITH_BOXES, "box.file='~/b.csv'"), composed())
    for each in (config, home, other):
        resume.anchor(each)
    assert config.box.file == os.path.join(os.getcwd(), "b.csv")
    assert home.box.file == os.path.join(os.path.expanduser("~"), "b.csv")
    assert "file" not in other.box


def test_an_override_sets_one_value_in_place() -> None:
    config = stored()
    for override in ("data.root=new", "+devices=[0,1]", "epochs=80"):
        resume.set_override(config, override, "run/config.yaml")
    assert config == {"data": {"root": "new", "size": 8}, "devices": [0, 1], "epochs": 80}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.rot=new", "data.rot=new: names nothing that run/config.yaml has. Remedy: leave it out"),
        ("epochs.most=80", "epochs.most=80: names nothing that"),
        ("data=wflw", "data=wflw: would replace many values. Remedy: set one of them, like data.NAME=VALUE"),
    ],
)
def test_an_override_that_sets_no_single_value_is_refused(override: str, words: str) -> None:
    with pytest.raises(KeyposError, match=words):
        resume.set_override(stored(), override, "run/config.yaml")


def stored() -> DictConfig:
    config = OmegaConf.create({"data": {"root": "old", "size": 8}, "devices": 1, "epochs": 40})
    OmegaConf.set_struct(config, True)
    return config
