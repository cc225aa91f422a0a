import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from keyposs.checkpoint import Checkpoint, adopt
from keyposs.errors import KeyposError
from keyposs.evaluate import evaluate
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule
from keyposs.robustness import KINDS, robustness

Compose = Callable[..., DictConfig]

OF_ALL = (
    "data.train=1",
    "data.val=3",
    "data.test=4",
    "decoder=[one_hot,multilateration]",
    "batch_size=2",
    "datamodule.workers=0",
    "trainer.accelerator=cpu",
)


@pytest.fixture
def untrained(small: Compose) -> Checkpoint:
    config = small("box.jitter=0.2", "seed=3")
    torch.manual_seed(0)
    module = LandmarkModule.from_config(config, MARKUP_68)
    return Checkpoint(Path("untrained.ckpt"), dict(module.config), MARKUP_68, module.landmarker.state_dict())


def report(composed: Compose, checkpoint: Checkpoint, *overrides: str) -> list[dict[str, object]]:
    config = composed(*OF_ALL, *overrides, name="robustness", run="robustness")
    return robustness(adopt(config, checkpoint), checkpoint)


def test_at_level_0_it_is_the_evaluation_and_beyond_it_is_not(
    composed: Compose, untrained: Checkpoint, tmp_path: Path
) -> None:
    off = ("++trainer.enable_progress_bar=false", "~callbacks.progress", "~callbacks.pictures")
    config = adopt(composed(*OF_ALL, *off, name="evaluate"), untrained)
    evaluated = evaluate(config, untrained, instantiate(config.datamodule))
    rows = report(composed, untrained, "levels=[0.3,0]", "split=[val,test]")
    keys = {(row["error"], row["level"], row["split"], row["decoder"]) for row in rows}
    assert len(rows) == len(keys) == 3 * 2 * 2 * 2
    for kind in KINDS:
        exact = [row for row in rows if row["error"] == kind and row["level"] == 0]
        assert [{k: v for k, v in row.items() if k not in ("error", "level")} for row in exact] == evaluated
    nme = {(row["error"], row["level"]): row["nme"] for row in rows if row["split"] == "val"}
    assert len(set(nme.values())) == 4  # 0 %, and each kind at 30 %
    assert rows == json.loads((tmp_path / "robustness" / "robustness.json").read_text())
    assert rows == report(composed, untrained, "levels=[0.3,0]", "split=[val,test]")


def test_its_table_and_its_curves(
    composed: Compose, untrained: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = report(composed, untrained, "levels=[0,0.05]")
    text = (tmp_path / "robustness" / "robustness.md").read_text()
    assert "synthetic val all, 3 faces, heatmap size 8, NME in % of inter-ocular:" in text
    assert "| boxes off by | `one_hot` | `multilateration` |" in text
    assert [line.split(" |")[0] for line in text.splitlines() if " % |" in line] == [
        "| 0 %",
        "| shift, 5 %",
        "| scale, 5 %",
        "| both, 5 %",
    ]
    (scale,) = (
        row["nme"] for row in rows if (row["error"], row["level"], row["decoder"]) == ("scale", 0.05, "one_hot")
    )
    assert f"| scale, 5 % | {scale:.2f} |" in text
    assert "| scale, 5 % |" in capsys.readouterr().out
    assert (tmp_path / "robustness" / "robustness.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("split=train", r"split=train: names no split\. Remedy: choose val, test or \[val,test\]"),
        ("split=null", "split=None: names no split"),
        ("split=[]", r"split=\[\]: names no split"),
        ("split=[[val]]", r"split=\[\['val'\]\]: names no split"),
        ("levels=[0,30]", r"levels=\[0, 30\]: are no fractions below 1"),
        ("levels=[[0,0.1]]", r"levels=\[\[0, 0.1\]\]: are no fractions below 1"),
        ("levels=null", "levels=None: are no fractions"),
        ("levels=[null]", r"levels=\[None\]: are no fractions"),
        ("levels=[]", r"levels=\[\]: are no fractions"),
        ("levels=many", "levels=many: are no fractions"),
        ("data.val=0", "data=synthetic: has no val faces"),
    ],
)
def test_what_makes_no_sense_is_an_error(composed: Compose, untrained: Checkpoint, override: str, match: str) -> None:
    with pytest.raises(KeyposError, match=match):
        report(composed, untrained, override)
