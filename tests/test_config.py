"""Every yaml is a test case: it composes, and one training step runs with it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from every_writer import EXTRA, WRITERS
from keyposs.config import CONF, LISTS, cause, check, check_lists, check_loss, check_numbers
from keyposs.errors import KeyposError
from keyposs.loggers import opened
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule
from quick import FEW_FACES, QUICK

Compose = Callable[..., DictConfig]

CHOICES = [(file.parent.name, file.stem) for file in sorted(CONF.glob("*/*.yaml"))]

WITHOUT_MAPS = ["codec=cascade", "heatmap_size=null"]
WITH = {
    ("head", "hih"): ["codec=hih"],
    ("head", "encoder"): ["codec=coordinates"],
    **{("loss", loss): ["codec=coordinates"] for loss in ("rle", "laplace", "wing", "smooth_l1")},
    **{(group, "cascade"): WITHOUT_MAPS for group in ("head", "codec")},
    ("backbone", "patches"): WITHOUT_MAPS,
    **{("experiment", name): ["heatmap_size=null"] for name in ("musica", "musica_wflw", "musica_300w")},
}
"""What a choice needs beside it: parts that work together only."""


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=["-".join(pair) for pair in CHOICES])
def test_every_choice_trains_one_step(composed: Compose, tmp_path: Path, group: str, choice: str) -> None:
    overrides = [*QUICK, f"{group}=[{choice}]" if group in LISTS else f"{group}={choice}"]
    if group == "decoder":
        overrides.append(f"monitor={choice}")
    overrides += WITH.get((group, choice), [])
    if group == "backbone" and "pretrained" in (CONF / group / f"{choice}.yaml").read_text():
        overrides.append("backbone.pretrained=false")
    elif group != "backbone" and choice != "demo" and "heatmap_size=null" not in overrides:
        overrides += ["backbone=mobilenetv3", "backbone.name=mobilenetv3_small_050"]
    data = choice.removesuffix("_biased").partition("_")[2]  # what an experiment trains on
    if group == "box":
        data = "wflw"  # which has boxes of its own
        (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\nno face,0,0,1,1\n")
        of_csv = [f"box.file={tmp_path / 'boxes.csv'}", "box.missing=landmarks"]
        overrides += ["data=wflw", *(of_csv if choice == "csv" else [])]
    data = choice if group == "data" else data
    if group in ("box", "data", "experiment") and data in WRITERS:
        WRITERS[data](tmp_path / "data")
        overrides += [f"data.root={tmp_path / 'data'}", *EXTRA.get(data, [])]
    else:
        overrides += FEW_FACES
    if choice == "wandb_online":
        overrides += ["logger.wandb.mode=offline"]
    if choice == "ddp":
        overrides += ["trainer.devices=1"]  # several processes: tests/test_train.py
    train_one_step(composed(*overrides))


def train_one_step(config: DictConfig) -> None:
    datamodule = instantiate(config.datamodule)
    module = LandmarkModule.from_config(config, datamodule.dataset.markup)
    Path(config.run_dir).mkdir(parents=True)
    callbacks = [callback for name, callback in instantiate(config.callbacks).items() if name not in ("best", "last")]
    before = {name: weight.clone() for name, weight in module.landmarker.named_parameters()}
    with opened(config) as loggers:
        trainer = instantiate(
            config.trainer,
            callbacks=callbacks,
            logger=loggers,
            enable_checkpointing=False,
            limit_train_batches=1,
            limit_val_batches=0,
        )
        trainer.fit(module, datamodule=datamodule)
    assert trainer.global_step == 1
    of_weights = [value for name, value in module.state_dict().items() if name != "codec.spread"]  # not calibrated yet
    assert all(value.isfinite().all() for value in of_weights)
    assert any((weight != before[name]).any() for name, weight in module.landmarker.named_parameters())


@pytest.mark.parametrize("size", [64, 32, 16, 8, 4])
def test_one_knob_sets_the_resolution_everywhere(composed: Compose, size: int) -> None:
    config = composed(f"heatmap_size={size}", *FEW_FACES)
    module = LandmarkModule.from_config(config, instantiate(config.data).markup)
    assert module.eval()(torch.zeros(1, 3, 256, 256)).shape == (1, 68, size, size)
    assert module.codec.grid.heatmap_size == size


def test_the_monitor_must_be_a_decoder(small: Compose) -> None:
    with pytest.raises(KeyposError, match="monitor=multilateration: is none of the readings one_hot, dark"):
        LandmarkModule.from_config(small("decoder=[one_hot,dark]"), MARKUP_68)


def test_a_value_is_in_one_place(composed: Compose) -> None:
    config = composed("codec.sigma=1.5")
    assert {decoder.sigma for decoder in config.decoder.values()} == {1.5}


@pytest.mark.parametrize(
    "chosen", ["decoder=[one_hot,trilateration]", "decoder=trilateration", "decoder=[dark],[trilateration]"]
)
def test_an_unknown_decoder_names_the_known(chosen: str) -> None:
    with pytest.raises(KeyposError, match="decoder=trilateration: is unknown. Remedy: choose from .*multilateration"):
        check_lists(["heatmap_size=8", chosen])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch_size=0", "batch_size=0: is not a whole number of at least 1"),
        ("heatmap_size=16.5", "heatmap_size=16.5: is not a whole number"),
        ("padding=.nan", "padding=.nan: is not a number"),
        ("trainer.max_epochs=2.5", "trainer.max_epochs=2.5: is not a whole number"),
        ("seed=-1", "seed=-1: is not a whole number of at least 0"),
        ("padding=0", "padding=0: is not a number of at least 0.1"),
        ("datamodule.workers=two", "datamodule.workers=two: is not a whole number"),
    ],
)
def test_a_number_that_makes_no_sense(composed: Compose, override: str, words: str) -> None:
    with pytest.raises(KeyposError, match=words):
        check_numbers(composed(override))


def test_a_mistake_inside_instantiate_is_found(small: Compose) -> None:
    with pytest.raises(InstantiationException) as raised:
        instantiate(small("decoder.multilateration.kernel=9").codec)
    mistake = cause(raised.value)
    assert isinstance(mistake, KeyposError)
    assert "kernel=9" in str(mistake)


@pytest.mark.parametrize(
    ("module", "overrides", "words"),
    [
        ("train", ["data=300w", "data.root=nowhere"], "nowhere: the folder is missing. Remedy: set data.root"),
        ("train", ["data=300w"], "data.root: is not given. Remedy: add data.root=... to the command"),
        ("evaluate", ["decoder=[trilateration]"], "decoder=trilateration: is unknown"),
    ],
)
def test_a_mistake_is_printed_without_a_traceback(
    tmp_path: Path, module: str, overrides: list[str], words: str
) -> None:
    command = [sys.executable, "-m", f"keyposs.{module}", *overrides]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 1
    assert words in said.stderr
    assert "Traceback" not in said.stderr


def test_a_loss_that_nothing_reads_is_refused(composed: Compose) -> None:
    check_loss(composed("codec=cascade"))
    check_loss(composed("codec=cascade", "loss=wing", "resume=old"))  # runs of before have one
    with pytest.raises(KeyposError, match="loss=wing: is not taken by codec=Cascade, which has its own"):
        check_loss(composed("codec=cascade", "loss=wing"))


def test_test_is_true_or_false(composed: Compose) -> None:
    with pytest.raises(KeyposError, match=r"test=no: is neither true nor false\. Remedy: give test=true or test=false"):
        check(composed("test=no"))


def test_options_of_a_decoder_that_is_not_chosen_are_refused(composed: Compose) -> None:
    config = composed("loss=end_to_end", "decoder=[multilateration]", "monitor=multilateration")
    with pytest.raises(KeyposError, match=r"decoder.pseudorange.kernel=None: is given, .* or take its options out"):
        check(config)
