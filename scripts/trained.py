"""What the scripts on trained networks share: runs, the faces that they are read on, and how a command names both."""

import argparse
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from keyposs.checkpoint import Checkpoint, adopt, load, restore
from keyposs.codecs import DistanceMap
from keyposs.config import CONF, check, check_numbers, rooted
from keyposs.data import FaceDataModule
from keyposs.errors import KeyposError
from keyposs.metrics import nme_per_face, to_image
from keyposs.module import LandmarkModule
from keyposs.resume import follow_data, set_override
from keyposs.types import Decoder, Faces

STAGES = {"val": "validate", "test": "test"}
"""What Lightning calls the reading of a split."""


class Trained(NamedTuple):
    """A trained network, the codec that reads it, and the data that it was trained on, ready for one split."""

    path: Path  # that it was opened by
    file: Path
    landmarker: nn.Module
    codec: DistanceMap
    datamodule: FaceDataModule

    @property
    def size(self) -> int:
        """Cells along the side of a map."""
        return self.codec.grid.heatmap_size

    def read_by(self, decoders: Mapping[str, Decoder]) -> "Trained":
        """The same network, read by other decoders.

        Raises:
            KeyposError: if one of them cannot read maps of this size.
        """
        old = self.codec
        kept = {"sigma": old.sigma, "unbiased": old.unbiased, "loss": old.map_loss, "activation": old.activation}
        return self._replace(codec=DistanceMap(old.grid, decoders, **kept))


class Found(NamedTuple):
    """What one decoder found in a batch of faces."""

    points: Tensor  # (b, k, 2), crop pixels
    errors: Tensor  # (b,), fractions of the faces' norms


def open_runs(paths: Sequence[str], overrides: Sequence[str], split: str) -> list[Trained]:
    """Reads runs, and prepares a split of the data of each.

    Args:
        paths: run directories, checkpoints or names of packaged networks.
        overrides: of the stored configs, such as `data.root=FOLDER`.
        split: val or test.

    Returns:
        The runs, the largest maps first.

    Raises:
        KeyposError: if a run or its data cannot be read, or they do not all have the same faces.
    """
    runs = [_open(Path(path), overrides) for path in paths]
    for run in runs:
        run.datamodule.setup(STAGES[split])
        (data, faces), (first, same) = _faces(run, split), _faces(runs[0], split)
        if (data, faces) != (first, same):
            cause = f"has {data}, but {runs[0].file} has {first}; or they are other faces"
            raise KeyposError(run.file, cause, "compare runs on the same data")
    return sorted(runs, key=lambda run: -run.size)


def check_different(runs: Sequence[Trained], kind: Callable[[Trained], str]) -> None:
    """Refuses two runs of one kind, which would share a place of a table or figure.

    Args:
        runs: in any order.
        kind: what shall tell a run from the others, in words after "has".

    Raises:
        KeyposError: naming both.
    """
    first: dict[str, Trained] = {}
    for run in runs:
        other = first.setdefault(kind(run), run)
        if other is not run:
            raise KeyposError(run.file, f"has {kind(run)}, as {other.file} has", "give one of them")


def _open(path: Path, overrides: Sequence[str]) -> Trained:
    checkpoint = load(path)
    module, datamodule = open_run(checkpoint, overrides)
    if not isinstance(module.codec, DistanceMap):
        raise KeyposError(checkpoint.file, "predicts no distance maps", "give a run of codec=distance_map")
    return Trained(path, checkpoint.file, module.landmarker, module.codec, datamodule)


def open_run(checkpoint: Checkpoint, overrides: Sequence[str]) -> tuple[LandmarkModule, FaceDataModule]:
    """A trained network, in eval mode, and the data that it was trained on or that the overrides name.

    Raises:
        KeyposError: if `configure` objects, or the data marks other points.
    """
    config = configure(checkpoint, overrides)
    module = restore(LandmarkModule.from_config(config, checkpoint.markup), checkpoint).eval()
    datamodule: FaceDataModule = instantiate(config.datamodule)
    if (theirs := datamodule.dataset.markup) != checkpoint.markup:
        cause = f"finds {checkpoint.markup.size} points, but data={datamodule.dataset.name} has {theirs.size}"
        raise KeyposError(checkpoint.file, cause, "give data of the same points")
    return module, datamodule


def configure(checkpoint: Checkpoint, overrides: Sequence[str]) -> DictConfig:
    """The config that a checkpoint was trained with, some of its values replaced.

    The cache and the workers are those of `conf/datamodule/default.yaml`: they belong to a machine. A packaged network
    knows no data: its overrides are those of `python -m keyposs.evaluate`, such as `data=300w data.root=FOLDER`.

    Raises:
        KeyposError: if an override names no single value of the config, or one of the network's.
    """
    if "data" not in checkpoint.config:
        return adopt(_compose(rooted(overrides)), checkpoint)
    config = OmegaConf.create(checkpoint.config)
    config.box = follow_data(config.box, config.data) if config.get("box") else None
    config.datamodule = OmegaConf.merge(config.datamodule, OmegaConf.load(CONF / "datamodule" / "default.yaml"))
    OmegaConf.set_struct(config, True)
    for override in overrides:
        set_override(config, override, checkpoint.file)
    check_numbers(config)
    return adopt(config, checkpoint)


def _compose(overrides: Sequence[str]) -> DictConfig:
    """The config of an evaluation."""
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(
                "evaluate", overrides=[*overrides, "checkpoint=opened", "run_dir=null"]
            )  # and nothing left behind
    except HydraException as error:
        cause = str(error).partition("Config search path")[0].strip()
        raise KeyposError(shlex.join(overrides), cause, "say it as for keyposs.evaluate") from error
    check(config)
    return config


def _faces(run: Trained, split: str) -> tuple[str, list[tuple[str, float]]]:
    """The data of a split in words, and its faces: their names and normalisers."""
    faces, dataset = run.datamodule.annotations(split), run.datamodule.dataset
    known = [(face.name, face.norm) for face in faces]
    return f"{len(faces)} {split} faces of {dataset.name} by {dataset.norm}", known


@torch.inference_mode()
def read(run: Trained, batch: Faces) -> dict[str, Found]:
    """What each decoder finds in one forward pass."""
    keypoints = to_image(batch.crop_to_image, batch.keypoints)
    found = {}
    for name, (points, _) in run.codec.decode(run.landmarker(batch.image)).items():
        in_image = to_image(batch.crop_to_image, points)
        found[name] = Found(points, nme_per_face(in_image, keypoints, batch.visible, batch.norm))
    return found


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses a command; adds what all commands on runs take: `runs`, `overrides` and `split`."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories or checkpoints; and data.root=FOLDER")
    parser.add_argument("--split", default="val", choices=STAGES, help="default val; test is read once, at the end")
    chosen = parser.parse_intermixed_args(arguments)
    chosen.overrides = [word for word in chosen.runs if "=" in word]
    chosen.runs = [word for word in chosen.runs if "=" not in word]
    if not chosen.runs:
        parser.error("no RUN is given")
    return chosen
