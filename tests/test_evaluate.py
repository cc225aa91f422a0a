import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from keyposs.checkpoint import Checkpoint, adopt
from keyposs.errors import KeyposError
from keyposs.evaluate import evaluate
from keyposs.markup import MARKUP_19, MARKUP_29, MARKUP_68, MARKUP_98, Markup
from keyposs.metrics import to_image
from keyposs.module import LandmarkModule
from writers import write_300w, write_wflw

Compose = Callable[..., DictConfig]
ONE_HOT = ("decoder=[one_hot]", "monitor=one_hot")
READ_ONLY = (
    "batch_size=4",
    "datamodule.workers=0",
    "trainer.accelerator=cpu",
    "++trainer.enable_progress_bar=false",
    "~callbacks.progress",
    "callbacks.pictures.faces=2",
)


def read(config: DictConfig, checkpoint: Checkpoint) -> list[dict[str, object]]:
    config = adopt(config, checkpoint)
    return evaluate(config, checkpoint, instantiate(config.datamodule))


@pytest.fixture
def untrained(small: Compose) -> Checkpoint:
    return checkpoint_of(small(), MARKUP_68)


def test_300w_reports_its_official_subsets(composed: Compose, untrained: Checkpoint, tmp_path: Path) -> None:
    write_300w(tmp_path / "data")
    config = composed(
        "data=300w",
        f"data.root={tmp_path / 'data'}",
        *READ_ONLY,
        "decoder=[one_hot]",
        "monitor=one_hot",
        name="evaluate",
    )
    rows = read(config, untrained)
    counts = {(row["split"], row["subset"]): row["faces"] for row in rows}
    assert counts == {("val", "all"): counts["val", "all"], ("test", "common"): 5, ("test", "full"): 7} | {
        ("test", "challenging"): 2
    }
    nme = {row["subset"]: row["nme"] for row in rows if row["split"] == "test"}
    assert nme["full"] == pytest.approx((5 * nme["common"] + 2 * nme["challenging"]) / 7, rel=1e-5)
    assert {row["threshold"] for row in rows} == {0.08}
    with (Path(config.run_dir) / "predictions.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file) if row["split"] == "test"]
    assert len(names) == len(set(names)) == 7


def test_a_part_alone_makes_no_full(composed: Compose, untrained: Checkpoint, tmp_path: Path) -> None:
    write_300w(tmp_path / "data", {"lfpw/testset": 3})
    config = composed("data=300w", f"data.root={tmp_path / 'data'}", *READ_ONLY, name="evaluate")
    rows = read(config, untrained)
    assert {(row["split"], row["subset"], row["faces"]) for row in rows} == {("test", "common", 3)}


def test_a_test_set_can_be_left_unread(composed: Compose, untrained: Checkpoint) -> None:
    config = composed(*READ_ONLY, "data.train=1", "data.val=3", "data.test=3", *ONE_HOT, "test=false", name="evaluate")
    assert {(row["split"], row["faces"]) for row in read(config, untrained)} == {("val", 3)}
    config = composed(*READ_ONLY, "data.train=1", "data.val=0", "data.test=3", *ONE_HOT, "test=false", name="evaluate")
    with pytest.raises(KeyposError, match="has no val faces"):
        read(config, untrained)


def test_nme_in_the_crop_is_nme_in_the_image(composed: Compose, untrained: Checkpoint) -> None:
    """The crop is a similarity, so the error in crop pixels over the norm in crop pixels is the same number."""
    config = composed(*READ_ONLY, "data.train=1", "data.val=3", "data.test=3", *ONE_HOT, name="evaluate")
    rows = read(config, untrained)
    config = adopt(config, untrained)
    datamodule = instantiate(config.datamodule)
    datamodule.setup("test")
    module = LandmarkModule.from_config(config, MARKUP_68).eval()
    module.landmarker.load_state_dict(untrained.weights)
    errors = []
    for batch in datamodule.test_dataloader():
        with torch.inference_mode():
            points, _ = module.codec.decode(module(batch.image))["one_hot"]
        norm = (batch.keypoints[:, 36] - batch.keypoints[:, 45]).norm(dim=-1)
        errors += ((points - batch.keypoints).norm(dim=-1).mean(-1) / norm).tolist()
    (test,) = [row for row in rows if row["split"] == "test"]
    assert test["nme"] == pytest.approx(100 * np.mean(errors), rel=1e-4)


def checkpoint_of(config: DictConfig, markup: Markup) -> Checkpoint:
    torch.manual_seed(0)
    module = LandmarkModule.from_config(config, markup)
    name = Path(f"untrained{markup.name}.ckpt")
    return Checkpoint(name, dict(module.config), markup, module.landmarker.state_dict())


def test_data_of_another_scheme_is_read_by_correspondence(composed: Compose, small: Compose) -> None:
    """98 points on data of 68: the NME is that of points converted by hand, from the network's own reading."""
    checkpoint = checkpoint_of(small(), MARKUP_98)
    config = composed(*READ_ONLY, "data.train=1", "data.val=3", "data.test=3", *ONE_HOT, name="evaluate")
    rows = {row["split"]: row for row in read(config, checkpoint)}
    assert {split: row["faces"] for split, row in rows.items()} == {"val": 3, "test": 3}
    run = Path(config.run_dir)
    assert json.loads((run / "run.json").read_text())["correspondence"] == "98 -> 68"
    assert json.loads((run / "run.json").read_text())["checkpoint"] == str(Path.cwd() / checkpoint.file)
    assert (run / "pictures/overlays_test.png").exists()
    with (run / "predictions.csv").open() as file:
        predictions = [row for row in csv.DictReader(file) if row["split"] == "test"]
    found = torch.tensor([[float(row[f"{axis}{i}"]) for i in range(68) for axis in "xy"] for row in predictions])

    config = adopt(config, checkpoint)
    datamodule = instantiate(config.datamodule)
    faces = {face.name: face for face in datamodule.annotations("test")}
    keypoints = np.stack([faces[row["name"]].keypoints for row in predictions])
    errors = np.linalg.norm(found.reshape(-1, 68, 2).numpy() - keypoints, axis=-1).mean(-1)
    norms = np.linalg.norm(keypoints[:, 36] - keypoints[:, 45], axis=-1)
    assert rows["test"]["nme"] == pytest.approx(100 * (errors / norms).mean(), rel=1e-4)

    datamodule.setup("test")
    module = LandmarkModule.from_config(config, MARKUP_98).eval()
    module.landmarker.load_state_dict(checkpoint.weights)
    (batch,) = datamodule.test_dataloader()
    with torch.inference_mode():
        points, _ = module.codec.decode(module(batch.image))["one_hot"]
    assert points.shape == (3, 98, 2)
    lid = (2 * points[:, 61] + points[:, 62]) / 3
    by_hand = torch.cat([points[:, 0:33:2], points[:, 33:38], points[:, 42:47], points[:, 51:61], lid[:, None]], 1)
    by_hand = to_image(batch.crop_to_image, by_hand)
    assert torch.allclose(found.reshape(-1, 68, 2)[:, :38], by_hand, atol=2e-3)


@pytest.mark.parametrize("markup", [MARKUP_19, MARKUP_29])
def test_data_of_another_scheme_without_correspondence(composed: Compose, small: Compose, markup: Markup) -> None:
    config = composed(*READ_ONLY, name="evaluate")
    message = rf"finds {markup.size} points \({markup.name}\), but data=synthetic has 68.*: 98 -> 68, 68 -> 29"
    with pytest.raises(KeyposError, match=message):
        read(config, checkpoint_of(small(), markup))


def test_68_points_do_not_become_98(composed: Compose, untrained: Checkpoint, tmp_path: Path) -> None:
    write_wflw(tmp_path / "data")
    config = composed("data=wflw", f"data.root={tmp_path / 'data'}", *READ_ONLY, name="evaluate")
    with pytest.raises(KeyposError, match=r"finds 68 points \(68\), but data=wflw has 98"):
        read(config, untrained)


def test_data_without_a_face_to_evaluate(composed: Compose, untrained: Checkpoint) -> None:
    config = composed(*READ_ONLY, "data.val=0", "data.test=0", name="evaluate")
    with pytest.raises(KeyposError, match="has no val or test faces"):
        read(config, untrained)
