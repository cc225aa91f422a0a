"""The published rows are what KeyPosS's code has: its values stand here as literals, so that none drifts."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from keyposs.config import CONF, rooted

Compose = Callable[..., DictConfig]

DOCS = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text(encoding="utf-8")

COMMANDS = re.findall(r"^    python -m keyposs\.train (.+)$", DOCS.replace("\\\n", ""), flags=re.MULTILINE)


class Row(NamedTuple):
    """A row of the published configs; iterations of the warm-up are batches of 64."""

    points: int
    unbiased: bool
    sigma: float
    epochs: int
    loss: str
    delta: float | None
    every: int  # epochs between validations
    schedule: str = "multi_step"
    warmup: int = 500


PUBLISHED = {
    "wflw": Row(98, True, 2.0, 1000, "mse", None, 10),
    "wflw_biased": Row(98, False, 2.0, 1000, "mse", None, 10),
    "coco_wholebody_face": Row(68, True, 2.0, 1000, "huber", 0.6, 10),
    "coco_wholebody_face_biased": Row(68, False, 2.0, 1000, "mse", None, 10),
    "300w": Row(68, True, 2.0, 100, "mse", None, 5),
    "300w_biased": Row(68, False, 1.5, 100, "mse", None, 10),
    "aflw": Row(19, True, 2.0, 100, "mse", None, 10),
    "aflw_biased": Row(19, False, 2.0, 100, "mse", None, 10),
    "cofw": Row(29, True, 2.0, 210, "huber", 0.6, 5, "cosine", 5),
    "cofw_biased": Row(29, False, 1.5, 100, "huber", 1.0, 5),
}

TRAINED = {"wflw": 6721, "300w": 2833, "aflw": 18000, "cofw": 1211, "coco_wholebody_face": 53000}
"""Faces, once `val` is cut off; those of COCO are a guess."""

OF_LANDMARKS = ("wflw", "300w")
"""Cropped around the landmarks' box; the others around the dataset's own."""

rows = pytest.mark.parametrize("name", PUBLISHED)


def data_of(name: str) -> str:
    return name.removesuffix("_biased")


def test_every_row_is_here() -> None:
    files = {file.stem.removeprefix("keyposs_") for file in CONF.glob("experiment/keyposs_*.yaml")}
    assert files == set(PUBLISHED)


@rows
def test_a_row_is_the_published_one(composed: Compose, name: str) -> None:
    config, row = composed(f"experiment=keyposs_{name}"), PUBLISHED[name]
    dataset = get_class(config.data._target_)
    assert (dataset.name, dataset.markup.size) == (data_of(name), row.points)
    assert (config.codec.unbiased, config.codec.sigma) == (row.unbiased, row.sigma)
    assert {decoder.sigma for decoder in config.decoder.values()} == {row.sigma}
    loss = instantiate(config.loss)
    assert loss.func.__name__ == row.loss
    assert loss.keywords.get("delta") == row.delta
    assert (config.trainer.max_epochs, config.trainer.check_val_every_n_epoch) == (row.epochs, row.every)
    assert row.epochs % row.every == 0  # or the trainer would take another interval
    assert config.box.source == ("landmarks" if data_of(name) in OF_LANDMARKS else "dataset")
    assert config.data.norm == ("box" if name.startswith("aflw") else "inter-ocular")


@rows
def test_what_all_rows_share(composed: Compose, name: str) -> None:
    config = composed(f"experiment=keyposs_{name}")
    optimizer = instantiate(config.optim)([torch.zeros(1, requires_grad=True)])
    assert type(optimizer) is torch.optim.Adam
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (2e-3, 0)
    assert (config.batch_size, config.image_size, config.padding, config.lr_scaling) == (64, 256, 1.25, "none")
    assert config.flip_test
    assert config.trainer.gradient_clip_val is None
    assert config.trainer.precision == "32-true"
    assert config.monitor == "multilateration"
    assert config.decoder.multilateration.kernel == 2
    backbone = config.backbone
    assert (backbone.name, backbone.pretrained, backbone.fuse) == ("hrnet_w18.ms_in1k", True, "bilinear")
    augment = instantiate(config.augment)
    assert (augment.spread, augment.rotation, augment.rotated, augment.flip) == ("normal", 30, 0.6, 0.5)
    assert list(augment.scale) == [0.75, 1.25]
    assert (augment.shift, augment.shifted) == ((0.16, 0.3) if name.startswith("coco") else (0, 1))


@rows
def test_the_rate(composed: Compose, name: str) -> None:
    config, row = composed(f"experiment=keyposs_{name}"), PUBLISHED[name]
    schedule, epoch = instantiate(config.schedule), TRAINED[data_of(name)] // 64
    assert schedule.func.__name__ == row.schedule
    assert config.schedule.warmup * epoch == pytest.approx(row.warmup, abs=4)
    steps = row.epochs * epoch
    rates = [config.optim.lr * schedule(step, steps, epoch) for step in (40 * epoch - 1, 40 * epoch, 55 * epoch, steps)]
    if row.schedule == "multi_step":
        assert rates == pytest.approx([2e-3, 2e-4, 2e-5, 2e-5])
    else:
        assert rates[-1] == pytest.approx(1e-5)
    held = min(row.warmup, steps / 10)
    assert schedule(0, steps, epoch) == pytest.approx(1 / held, rel=0.05)


def test_no_average_of_weights(composed: Compose) -> None:
    average = instantiate(composed("experiment=keyposs").callbacks.ema.multi_avg_fn)
    averaged, current = [torch.tensor([1.0, 2.0])], [torch.tensor([3.1, -7.3])]
    average(averaged, current, 1000)
    assert averaged[0].equal(current[0])


@rows
@pytest.mark.parametrize("size", [64, 32, 16, 8, 4])
def test_the_resolution_is_free(composed: Compose, name: str, size: int) -> None:
    config = composed(f"experiment=keyposs_{name}", f"heatmap_size={size}")
    assert config.backbone.heatmap_size == config.codec.grid.heatmap_size == size
    assert instantiate(config.codec).grid.heatmap_size == size


def test_parts_of_a_row_can_be_changed(composed: Compose) -> None:
    changed = ("backbone=resnet18", "loss=awing", "schedule=multi_step", "optim=adamw")
    config = composed("experiment=keyposs_cofw", *changed)
    assert (config.backbone.name, config.backbone.pretrained) == ("resnet18", False)
    assert instantiate(config.loss)(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).shape == (1, 1, 2, 2)
    assert instantiate(config.schedule)(100, 200, 10) > 0


def test_the_docs_name_each() -> None:
    named = re.findall(r"experiment=([\w,]+)", DOCS)
    known = {"keyposs", *(f"keyposs_{name}" for name in PUBLISHED)}
    assert {name for names in named for name in names.split(",")} == known


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_composes(composed: Compose, command: str) -> None:
    """A sweep as Hydra does it: once without what varies, then its jobs, here the last one."""
    overrides = rooted(word for word in command.partition(" #")[0].split() if word != "-m")
    composed(*(override for override in overrides if "," not in override))
    config = composed(*(re.sub(r"=.*,", "=", override) for override in overrides))
    assert config.data.root in ("FOLDER", "$KEYPOSS_DATA/300w")
    assert config.optim._target_ == "torch.optim.Adam"
