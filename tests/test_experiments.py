"""The published rows are what the methods' code has: its values stand here as literals, so that none drifts."""

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from keyposs.config import CONF, rooted
from keyposs.losses import star
from keyposs.models import CascadeHead

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


class Other(NamedTuple):
    """A row of another method's published code, on one device."""

    points: int
    codec: str
    monitor: str
    epochs: int
    batch: int
    rate: float
    decay: float  # of the average of weights
    milestones: tuple[int, ...] = ()  # epochs; none: a cosine
    final: float = 0.0  # where the cosine ends
    weight_decay: float = 0.0
    image_size: int = 256
    padding: float = 1.25
    heatmap_size: int | None = 64


HIH = Other(68, "HIH", "hih", 60, 16, 1e-4, 0.0, (30, 50))
ENCODER = Other(
    68, "Coordinates", "coordinates", 301, 16, 2e-4, 0.99889, final=5e-7, weight_decay=1e-4, heatmap_size=32
)
MUSICA = Other(98, "Cascade", "cascade", 410, 128, 1e-3, 0.9999, (288,), image_size=228, padding=1.6, heatmap_size=None)
STAR = Other(68, "DistanceMap", "centroid", 500, 32, 1e-3, 0.99778, (200, 350, 450))

OTHERS = {
    "hih_wflw": HIH._replace(points=98),
    "hih_300w": HIH,
    "hih_cofw": HIH._replace(points=29),
    "encoder_wflw": ENCODER._replace(points=98),
    "encoder_300w": ENCODER,
    "musica_wflw": MUSICA,
    "musica_300w": MUSICA._replace(points=68, epochs=968, milestones=(682,)),
    "star_wflw": STAR._replace(points=98),
    "star_300w": STAR,
    "star_cofw": STAR._replace(points=29),
}

BASES = ("hih", "encoder", "musica", "star")
"""The same recipes on any data."""

others = pytest.mark.parametrize("name", OTHERS)


def data_of(name: str) -> str:
    return name.removesuffix("_biased")


def test_every_row_is_here() -> None:
    files = {file.stem for file in CONF.glob("experiment/*.yaml")}
    assert files == {"demo", "keyposs", "keyposs_plus", *(f"keyposs_{name}" for name in PUBLISHED), *BASES, *OTHERS}


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


@others
def test_a_row_of_another_method(composed: Compose, name: str) -> None:
    config, row = composed(f"experiment={name}"), OTHERS[name]
    dataset = get_class(config.data._target_)
    assert (dataset.name, dataset.markup.size) == (name.partition("_")[2], row.points)
    assert config.codec._target_ == f"keyposs.codecs.{row.codec}"
    assert (config.monitor, config.heatmap_size) == (row.monitor, row.heatmap_size)
    assert (config.image_size, config.padding, config.batch_size) == (row.image_size, row.padding, row.batch)
    assert config.box.source == ("dataset" if name.endswith("cofw") else "landmarks")
    trainer = config.trainer
    assert (trainer.max_epochs, trainer.max_epochs % trainer.check_val_every_n_epoch) == (row.epochs, 0)
    assert trainer.gradient_clip_val is None
    assert config.lr_scaling == "none"
    optimizer = instantiate(config.optim)([torch.zeros(1, requires_grad=True)])
    assert type(optimizer) is torch.optim.Adam
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (row.rate, row.weight_decay)
    assert instantiate(config.callbacks.ema.multi_avg_fn).keywords["decay"] == row.decay


@others
def test_the_rate_of_another_method(composed: Compose, name: str) -> None:
    """From the first step on, without a warm-up; a tenth from each milestone on, or half a cosine."""
    config, row = composed(f"experiment={name}"), OTHERS[name]
    schedule, epoch = instantiate(config.schedule), TRAINED[name.partition("_")[2]] // row.batch
    steps = row.epochs * epoch

    def rate(step: int) -> float:
        return float(row.rate * schedule(step, steps, epoch))

    assert rate(0) == pytest.approx(row.rate)
    for i, milestone in enumerate(row.milestones):
        before, after = rate(milestone * epoch - 1), rate(milestone * epoch)
        assert (before, after) == pytest.approx((row.rate / 10**i, row.rate / 10 ** (i + 1)))
    if not row.milestones:
        assert (rate(steps // 2), rate(steps)) == pytest.approx(((row.rate + row.final) / 2, row.final), rel=1e-3)


@pytest.mark.parametrize("data", ["wflw", "300w"])
def test_epochs_of_musica_are_the_published_steps(data: str) -> None:
    """15000 before the rate falls, 21300 in all."""
    row, epoch = OTHERS[f"musica_{data}"], TRAINED[data] // 128
    assert row.milestones[0] * epoch == pytest.approx(15000, abs=epoch / 2)
    assert row.epochs * epoch == pytest.approx(21300, abs=epoch / 2)


def test_averages_of_weights_are_as_long_as_published() -> None:
    for row in (ENCODER, STAR):
        assert row.decay == pytest.approx(0.5 ** (row.batch / 10000), abs=5e-6)


def test_the_parts_of_hih(composed: Compose) -> None:
    config = composed("experiment=hih")
    codec, augment = instantiate(config.codec), instantiate(config.augment)
    assert codec.weight == 0.05 / 64
    assert (codec.bins, codec.sigma, codec.grid.heatmap_size) == (8, 1.5, 64)
    assert codec.map_loss.func.__name__ == "mse"
    assert config.backbone.stacks == config.head.stacks == 4
    assert (augment.rotation, augment.rotated, augment.shifted, augment.flip) == (30, 0.5, 0.5, 0.5)
    assert augment.shift * 256 == pytest.approx(30, abs=0.1)  # pixels
    assert list(augment.scale) == [1, 1]


def test_the_parts_of_the_encoder(composed: Compose) -> None:
    config = composed("experiment=encoder")
    assert (config.backbone.name, config.backbone.pretrained) == ("resnet18", True)
    assert (config.head.dim, config.head.reference, config.head.refine) == (256, 2, 3)
    assert type(instantiate(config.loss)).__name__ == "RLE"


@pytest.mark.parametrize(("name", "patches"), [("musica_wflw", 49), ("musica_300w", 68), ("musica", 98)])
def test_the_parts_of_musica(composed: Compose, name: str, patches: int) -> None:
    config = composed(f"experiment={name}")
    points = OTHERS[name].points if name in OTHERS else 98
    with torch.device("meta"):
        head: CascadeHead = instantiate(config.head)(channels=(3, 3, 3), size=None, keypoints=points)
    assert (head.patches, head.levels, head.patch, head.hidden, head.exit) == (patches, (2, 1, 0), 14, 512, "none")
    codec, augment = instantiate(config.codec), instantiate(config.augment)
    assert (codec.balance, codec.failure) == (0.05, None)
    assert config.image_size / config.padding == pytest.approx(142, abs=1)  # the face, in pixels
    assert (augment.rotation, augment.rotated, augment.flip) == (30, 0.5, 0)
    assert config.box.jitter[0] == 0.2


def test_the_parts_of_star(composed: Compose) -> None:
    config = composed("experiment=star")
    codec = instantiate(config.codec)
    assert (codec.map_loss.func.__name__, codec.map_loss.keywords) == ("star", {"spread": 1.0})
    assert codec.activation == "softmax"
    assert signature(star).parameters["beta"].default == 0.01
    assert config.backbone.stacks == 4


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
    known = {"keyposs", "keyposs_plus", *(f"keyposs_{name}" for name in PUBLISHED), *BASES, *OTHERS}
    assert {name for names in named for name in names.split(",")} == known


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_composes(composed: Compose, command: str) -> None:
    """A sweep as Hydra does it: once without what varies, then its jobs, here the last one."""
    overrides = rooted(word for word in command.partition(" #")[0].split() if word != "-m")
    composed(*(override for override in overrides if "," not in override))
    config = composed(*(re.sub(r"=.*,", "=", override) for override in overrides))
    assert config.data.root in ("FOLDER", "$KEYPOSS_DATA/300w")
    assert config.optim._target_ == "torch.optim.Adam"


@pytest.mark.parametrize("size", [64, 32, 16, 8, 4])
def test_keyposs_plus_draws_a_quarter_of_the_map_and_trains_what_it_reads(composed: Compose, size: int) -> None:
    config = composed("experiment=keyposs_plus", f"heatmap_size={size}")
    codec = instantiate(config.codec)
    assert codec.sigma == codec.map_loss.sigma == size / 4
    assert (config.monitor, codec.decoders[config.monitor].keywords) == (
        "pseudorange",
        {"sigma": size / 4, "kernel": None},
    )
    assert codec.activation == "exp"
    assert config.callbacks.best.monitor == "val/nme/pseudorange"
