"""The command on a small cascade of random weights: what it chooses, writes and says, and what it leaves then does."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from keyposs.checkpoint import Checkpoint, adopt, load
from keyposs.data.module import collate
from keyposs.early_exit import early_exit, stopping
from keyposs.errors import KeyposError
from keyposs.evaluate import build, evaluate
from keyposs.markup import MARKUP_68
from keyposs.models import efficiency
from keyposs.module import LandmarkModule

Compose = Callable[..., DictConfig]

FACES = ("data.train=4", "data.val=9", "data.test=6", "datamodule.workers=0", "trainer.accelerator=cpu", "batch_size=4")
QUIET = "++trainer.enable_progress_bar=false"
CASCADE = ("codec=cascade", "image_size=64", "head.every=4", "head.width=4", "head.hidden=16")


def untrained(composed: Compose, *overrides: str) -> Checkpoint:
    """A cascade whose stages move the points, and whose estimates differ from face to face."""
    torch.manual_seed(0)
    module = LandmarkModule.from_config(composed(*CASCADE, *FACES, *overrides), MARKUP_68)
    landmarker = module.landmarker
    landmarker.begin_at(instantiate(composed(*CASCADE, *FACES).datamodule).mean_face())
    for stage in landmarker.head.stages:
        torch.nn.init.normal_(stage.tell.weight, std=0.3)
    return Checkpoint(Path("untrained.ckpt"), dict(module.config), MARKUP_68, landmarker.state_dict())


@pytest.fixture
def cascade(composed: Compose) -> Checkpoint:
    return untrained(composed)


def run(composed: Compose, checkpoint: Checkpoint, *overrides: str, folder: str = "exit") -> dict:
    return early_exit(composed(*FACES, QUIET, *overrides, name="early_exit", run=folder), checkpoint)


@pytest.mark.parametrize("wanted", [1.0, 2.0, 3.0])
def test_what_it_leaves_runs_the_wanted_number_of_stages(
    composed: Compose, cascade: Checkpoint, tmp_path: Path, wanted: float
) -> None:
    """`calibrated.safetensors` gives the points and the errors that the chosen row of the curve stands for."""
    found = run(composed, cascade, f"stages={wanted}")
    calibrated = load(tmp_path / "exit" / "calibrated.safetensors")
    assert (calibrated.config["head"]["exit"], calibrated.config["head"]["threshold"]) == (
        "compact",
        found["threshold"],
    )
    config = adopt(composed(*FACES, name="evaluate"), calibrated)
    datamodule = instantiate(config.datamodule)
    module = build(config, calibrated, datamodule).eval()
    whole = build(adopt(composed(*FACES, name="evaluate"), cascade), cascade, datamodule).eval()
    for split in ("val", "test"):
        datamodule.setup("validate" if split == "val" else "test")
        faces = collate([datamodule.face(split, i) for i in range(len(datamodule.annotations(split)))])
        with torch.no_grad():
            output, all_stages = module(faces.image), whole(faces.image)
        (chosen,) = (row for row in found["splits"][split]["curves"]["all"] if row["threshold"] == found["threshold"])
        assert output.stages.double().mean().item() == pytest.approx(chosen["stages"])
        rows = torch.arange(len(output.stages))
        expected = all_stages.points[output.stages - 1, rows]
        assert torch.allclose(module.codec.decode(output)["cascade"][0], expected, atol=1e-4)
    assert {1.0: 1, 3.0: 3}.get(wanted, wanted) == pytest.approx(
        found["splits"]["val"]["groups"][0]["stages"], abs=1 / 9 + 1e-9
    )


def test_its_errors_are_those_of_the_evaluation(composed: Compose, cascade: Checkpoint, tmp_path: Path) -> None:
    """NME with early exit, by the report's own way; and a run's test leaves the patches as a picture."""
    found = run(composed, cascade)
    calibrated = load(tmp_path / "exit" / "calibrated.safetensors")
    of_exit = (*FACES, QUIET, "~callbacks.progress", "callbacks.pictures.faces=1")
    config = adopt(composed(*of_exit, name="evaluate", run="evaluated"), calibrated)
    rows = evaluate(config, calibrated, instantiate(config.datamodule))
    nme = {(row["split"], row["decoder"]): row["nme"] for row in rows}
    for split, of in found["splits"].items():
        assert nme[split, "stage_1"] == pytest.approx(of["stages"][0]["nme"], rel=1e-5)
        assert nme[split, "cascade"] == nme[split, "stage_3"] == pytest.approx(of["groups"][0]["nme"], rel=1e-5)
        assert nme[split, "cascade"] != pytest.approx(of["stages"][2]["nme"], rel=1e-3)
    assert (tmp_path / "evaluated" / "pictures" / "patch_attention_test.png").stat().st_size > 10_000


def test_what_it_writes_and_says(
    composed: Compose, cascade: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, folder = run(composed, cascade), tmp_path / "exit"
    check_costs(found, efficiency(build_whole(composed, cascade).landmarker, 64)["macs"])
    check_groups({row["group"]: row for row in found["splits"]["val"]["groups"]})
    assert json.loads((folder / "early_exit.json").read_text()) == json.loads(json.dumps(found))
    text, said = (folder / "early_exit.md").read_text(), capsys.readouterr().out
    for line in found["splits"]["val"]["findings"] + found["splits"]["test"]["findings"]:
        assert line in text
        assert line in said
    assert "| split | stages | MMACs | NME | Spearman | AUROC | stop, % |" in text
    assert (folder / "early_exit.png").stat().st_size > 10_000
    assert (folder / "early_exit.svg").read_text().startswith("<?xml")
    assert sorted(file.name for file in folder.iterdir()) == [
        *("calibrated.safetensors", "early_exit.json", "early_exit.md", "early_exit.png", "early_exit.svg"),
    ]


def build_whole(composed: Compose, checkpoint: Checkpoint) -> LandmarkModule:
    return LandmarkModule.from_config(adopt(composed(*FACES, name="evaluate"), checkpoint), MARKUP_68)


def check_costs(found: dict, whole: int) -> None:
    """By hand: 17 patches of two convolutions and attention, then state and increments."""
    width, features = 4, 2 * 4 * 2 * 2
    patch = 12 * 12 * width * 27 + 4 * 4 * width * 9 * width + features**2
    stage = 17 * patch + (17 * features + 16) * 16 + 16 * (2 * 68 + 1)
    assert found["macs"] == [stage, 2 * stage, 3 * stage]
    assert found["macs"][-1] == whole
    for of in found["splits"].values():
        for row in of["curves"]["all"]:
            assert row["macs"] == pytest.approx(row["stages"] * stage)
            assert sum(row["stopped"]) == pytest.approx(1)


def check_groups(groups: dict[str, dict]) -> None:
    assert {name: row["faces"] for name, row in groups.items()} == {
        **{"all": 9, "frontal": 3, "turned": 3, "easy": 3, "hard": 3}
    }
    assert groups["easy"]["nme_all"] < groups["hard"]["nme_all"]


def test_a_checkpoint_that_stops_early_is_calibrated_anew(composed: Compose, cascade: Checkpoint) -> None:
    first = run(composed, cascade)
    strict = stopping(cascade, exit="mask", threshold=1e9, failure=0.0)
    assert cascade.config["head"]["exit"] == "none"  # it is a copy
    again = run(composed, strict, folder="again")
    assert {k: v for k, v in again.items() if k != "checkpoint"} == {
        k: v for k, v in first.items() if k != "checkpoint"
    }


def test_a_flip_test_is_left_out(cascade: Checkpoint) -> None:
    """Its two readings would stop apart."""
    flipped = cascade._replace(config={**cascade.config, "flip_test": True})
    assert stopping(flipped, exit="compact", threshold=0.1, failure=0.2).config["flip_test"] is False


def test_a_wanted_share_of_faces_is_not_found(composed: Compose, cascade: Checkpoint, tmp_path: Path) -> None:
    found = run(composed, cascade, "failures=0.34", "stages=3")
    assert found["splits"]["val"]["flag"]["flagged"] == 3
    calibrated = load(tmp_path / "exit" / "calibrated.safetensors")
    config = adopt(composed(*FACES, name="evaluate"), calibrated)
    datamodule = instantiate(config.datamodule)
    datamodule.setup("validate")
    module = build(config, calibrated, datamodule).eval()
    with torch.no_grad():
        output = module(collate([datamodule.face("val", i) for i in range(9)]).image)
    _, scores = module.codec.decode(output)["cascade"]
    assert int((scores == 0).all(-1).sum()) == 3
    assert np.array_equal(
        (output.errors[-1] > found["failure"]).numpy(), ~module.codec.found(output.errors[-1]).numpy()
    )


def test_what_cannot_be_reached_is_said(
    composed: Compose, cascade: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nine faces allow steps of a ninth; and where all stop early, none can be reported."""
    assert run(composed, cascade, "stages=2.05")["reached_stages"] == pytest.approx(2)
    caplog.set_level("WARNING", "pytorch_lightning")
    caplog.clear()
    found = run(composed, cascade, "stages=1.06", "failures=0.5", folder="early")
    assert (found["wanted_stages"], found["reached_stages"]) == (1.06, pytest.approx(10 / 9))
    assert caplog.messages == [
        "stages=1.06: nearest on val is 1.11",
        "failures=0.5: nearest on val is 0.000; a face that stops early is none",
    ]
    text = (tmp_path / "early" / "early_exit.md").read_text()
    assert "wanted on `val` a mean of 1.06 stages, reached 1.11, with threshold" in text
    run(composed, cascade, "stages=1", folder="none")
    assert "no failure flag: of `val`'s faces all" in (tmp_path / "none" / "early_exit.md").read_text()


def test_data_without_test_faces_has_no_test(composed: Compose, cascade: Checkpoint) -> None:
    assert list(run(composed, cascade, "data.test=0")["splits"]) == ["val"]


@pytest.mark.parametrize(
    ("override", "match"),
    [
        (
            "stages=0.5",
            r"stages=0.5: is no mean of stages: each face runs at least 1, and at most all 3\. Remedy: give",
        ),
        ("stages=4", r"stages=4: is no mean of stages.*from 1 to 3"),
        ("stages=nan", r"stages=nan: is no mean"),
        ("stages=null", r"stages=None: is no mean"),
        ("stages=two", r"stages=two: is no mean"),
        ("failures=1.0", r"failures=1.0: is no share"),
        ("failures=-0.1", r"failures=-0.1: is no share"),
        ("failures=nan", r"failures=nan: is no share"),
        ("data.val=0", r"data=synthetic: has no val faces, on which to choose thresholds"),
        ("image_size=128", r"untrained.ckpt: was trained at image_size=64, not 128"),
    ],
)
def test_what_makes_no_sense_is_an_error(
    composed: Compose, cascade: Checkpoint, tmp_path: Path, override: str, match: str
) -> None:
    with pytest.raises(KeyposError, match=match):
        run(composed, cascade, override)
    assert not (tmp_path / "exit").exists()


def test_other_networks_and_single_stages_are_refused(composed: Compose, small: Compose) -> None:
    maps = Checkpoint(Path("maps.ckpt"), dict(LandmarkModule.from_config(small(), MARKUP_68).config), MARKUP_68, {})
    with pytest.raises(
        KeyposError, match=r"maps.ckpt: is no cascade but DistanceMap\. Remedy: give one that codec=casc"
    ):
        run(composed, maps)
    with pytest.raises(KeyposError, match=r"untrained.ckpt: has one stage.*train with more head.levels"):
        run(composed, untrained(composed, "head.levels=[1]"))
