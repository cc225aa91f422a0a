"""Every published system from configs to pictures: trained, read again, and used, as the distance maps are."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from keyposs.checkpoint import adopt, load, restore
from keyposs.data import FaceDataModule
from keyposs.errors import KeyposError, cause
from keyposs.markup import MARKUP_68
from keyposs.metrics import to_image
from keyposs.module import LandmarkModule, truth
from keyposs.predict import predict
from keyposs.train import train
from quick import FEW_FACES, QUICK

Compose = Callable[..., DictConfig]
MOBILE = ("backbone=mobilenetv3", "backbone.name=mobilenetv3_small_050")

METHODS = {
    "hih": (["codec=hih", *MOBILE], {"hih", "hih_expectation", "hih_published"}, set()),
    "hourglass": (
        ["codec=hih", "backbone=hourglass", "backbone.stacks=2"],
        {"hih", "hih_expectation", "hih_published"},
        set(),
    ),
    "coordinates": (["codec=coordinates", "heatmap_size=8", *MOBILE], {"coordinates"}, set()),
    "cascade": (
        ["codec=cascade", "heatmap_size=null", "head.every=8"],
        {"cascade", "stage_1", "stage_2", "stage_3"},
        {"patch_attention"},
    ),
    "star": (
        ["loss=star", *MOBILE],
        {"centroid", "one_hot", "dark"},
        set(),
    ),
    "end_to_end": (
        ["loss=end_to_end", "backbone=slim"],
        {"pseudorange", "multilateration", "one_hot", "dark"},
        {"distance_maps"},
    ),
}
"""Overrides, readings, and pictures of how points were found."""

methods = pytest.mark.parametrize("method", METHODS)


def of(composed: Compose, method: str) -> DictConfig:
    return composed(*QUICK, *FEW_FACES, "logger=csv", "callbacks.pictures.faces=1", *METHODS[method][0])


@methods
def test_a_method_is_trained_read_again_and_used(composed: Compose, tmp_path: Path, method: str) -> None:
    _, readings, shown = METHODS[method]
    config = of(composed, method)
    rows = train(config)
    run = Path(config.run_dir)
    assert {row["decoder"] for row in rows} == readings
    assert all(np.isfinite(row["nme"]) and row["heatmap_size"] == config.heatmap_size for row in rows)
    assert {file.stem for file in (run / "pictures").glob("*_test.png")} >= {f"{name}_test" for name in shown}
    for file in ("best.ckpt", "best.safetensors"):
        saved = load(run / "checkpoints" / file)
        again = adopt(composed(*FEW_FACES, "datamodule.workers=0", name="evaluate"), saved)
        assert again.monitor == config.monitor
        module = restore(LandmarkModule.from_config(again, saved.markup), saved).eval()
        found, written = found_on_test(module, instantiate(again.datamodule)), written_on_test(run)
        assert found.keys() == written.keys()
        assert all(found[key] == pytest.approx(written[key], abs=2e-3) for key in found)
    check_weights(run, module, method)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    given = f"checkpoint={run}", f"source={tmp_path / 'a.png'}", "device=cpu", "boxes=whole"
    predict(composed(*given, name="predict", run="used"), saved)
    (face,) = json.loads((tmp_path / "used" / "predictions.json").read_text())["faces"]
    assert np.shape(face["points"]) == (68, 2)
    assert ("covariances" in face) == (method in ("coordinates", "end_to_end"))


def found_on_test(module: LandmarkModule, datamodule: FaceDataModule) -> dict[tuple[str, str], list[float]]:
    """Points in pixels of the photos, by face and reading."""
    datamodule.setup("test")
    (batch,) = datamodule.test_dataloader()
    with torch.no_grad():
        decoded = module.codec.decode(module(batch.image))
    placed = {reading: to_image(batch.crop_to_image, points).flatten(1) for reading, (points, _) in decoded.items()}
    return {(name, reading): xy[i].tolist() for reading, xy in placed.items() for i, name in enumerate(batch.name)}


def written_on_test(run: Path) -> dict[tuple[str, str], list[float]]:
    """The same, of `predictions.csv`."""
    with (run / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return {
            (row["name"], row["decoder"]): [float(value) for key, value in row.items() if key[1:].isdecimal()]
            for row in csv.DictReader(file)
            if row["split"] == "test"
        }


def check_weights(run: Path, module: LandmarkModule, method: str) -> None:
    """The weights of a codec's loss travel with the network, and so does the mean face of the training faces."""
    stored = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert stored.keys() == module.state_dict().keys()
    torch.testing.assert_close(module.state_dict(), stored, rtol=0, atol=0, equal_nan=True)  # a spread before any fit
    of_loss = {name for name in stored if name.startswith("codec.")} - {"codec.spread"}
    assert bool(of_loss) == (method in ("coordinates", "end_to_end"))
    assert (stored["codec.spread"] > 0) == (method != "star")  # a softmax tells no covariance to be scaled
    if module.codec.method == "cascade":
        datamodule = instantiate(OmegaConf.create(module.config).datamodule)
        datamodule.setup("fit")
        faces = [datamodule.face("train", i).keypoints for i in range(8)]
        torch.testing.assert_close(stored["landmarker.head.mean_face"], torch.stack(faces).mean(0), atol=1e-3, rtol=0)


@methods
def test_every_weight_learns_also_in_half_precision(composed: Compose, method: str) -> None:
    """Every one, as several processes need it, which wait for each gradient."""
    config = of(composed, method)
    datamodule = instantiate(config.datamodule)
    module = LandmarkModule.from_config(config, datamodule.dataset.markup)
    datamodule.setup("fit")
    batch = next(iter(datamodule.train_dataloader()))
    for half in (False, True):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = module.codec.loss(module(batch.image), truth(batch))
        loss.backward()
        assert loss.dtype == torch.float32
        assert [name for name, w in module.named_parameters() if w.grad is None or not w.grad.isfinite().all()] == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["codec=hih", "decoder=[one_hot]"], r"decoder=\[one_hot\]: is for maps; codec=hih reads itself: hih, "),
        (["codec=cascade", "heatmap_size=8"], r"heatmap_size=8: is not what the backbone gives \(it has no maps\)"),
        (["codec=coordinates", "loss=mse"], "loss=mse: leaves the scale out. Remedy: choose from rle"),
        (
            ["codec=coordinates", "loss=star"],
            "codec=Coordinates: cannot be built .* 'activation'.*the loss that brings it",
        ),
        (["codec=cascade", "loss=dsnt"], "codec=Cascade: cannot be built .* 'activation'"),
        (["codec=distance_map", "loss=laplace"], "loss=laplace: is not of the kind that this codec trains with"),
        (["codec=cascade", "backbone=resnet18"], "backbone=resnet18: needs a heatmap_size.*use backbone=patches"),
        (["codec=cascade", "backbone=resnet18", "heatmap_size=8"], "head=cascade: looks at the image itself"),
        (["heatmap_size=null"], "heatmap_size=null: is no size for the maps of codec=DistanceMap"),
        (["codec=hih", "backbone=patches"], r"heatmap_size=64: is not what the backbone gives \(it has no maps\)"),
        (["codec=hih", "loss=wing"], "loss=wing: is not of the kind .* choose from mse, huber, awing[.]"),
        (["head=encoder"], "head=EncoderHead: gives Regression, and codec=distance_map reads Tensor"),
        (["head=hih"], "head=HIHHead: gives HIHOutput, and codec=distance_map reads Tensor. Remedy: leave head= out"),
        (["codec=hih", "head=conv"], "head=ConvHead: gives Tensor, and codec=hih reads HIHOutput"),
        (["codec=coordinates", "head=conv"], "head=ConvHead: gives Tensor, and codec=coordinates reads Regression"),
        (["codec=cascade", "head=conv"], "head=ConvHead: gives Tensor, and codec=cascade reads CascadeOutput"),
        (["codec=coordinates", "head.refine=-1"], "head.refine=-1: is a negative number of layers"),
        (["codec=coordinates", "loss.layers=0"], "loss.layers=0: is less than 1"),
        (["codec=coordinates", "loss=smooth_l1", "loss.beta=0"], "loss.beta=0: is not positive"),
        (["loss=awing", "loss.weight=-1"], "loss.weight=-1: is negative"),
        (["backbone=hourglass", "heatmap_size=24"], "heatmap_size=24: an hourglass halves the image"),
        (["codec=cascade", "head.exit=compact"], "head.exit=compact: needs head.threshold"),
        (["codec=cascade", "head.exit=mask", "head.threshold=-1"], "head.threshold=-1: is not an error"),
        (["codec=cascade", "image_size=250"], "image_size=250: cannot be halved 2 times"),
    ],
)
def test_parts_that_do_not_fit_are_refused(composed: Compose, overrides: list[str], words: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  Hydra wraps what its parts raise
        LandmarkModule.from_config(composed(*overrides), MARKUP_68)
    mistake = cause(raised.value)
    assert isinstance(mistake, KeyposError)
    assert re.search(words, str(mistake)), mistake
