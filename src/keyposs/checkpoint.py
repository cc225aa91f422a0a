"""Reading and writing trained networks: `.ckpt`, run directories, `.safetensors`."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from keyposs.errors import KeyposError
from keyposs.files import CONF, atomic
from keyposs.markup import Markup
from keyposs.module import LandmarkModule
from keyposs.resume import follow_data
from keyposs.trusted import check_parts

FOLDER = "checkpoints"
"""Where a run directory keeps `last.ckpt`, `best.ckpt` and `best.safetensors`."""

MODEL_KEYS = ("heatmap_size", "image_size", "backbone", "head", "codec")
"""What of a composed config belongs to the network, and so comes from its checkpoint."""

CODEC = "codec."
"""What the names of a codec's own weights begin with."""

SPREAD = "spread"
"""A codec's own weight; all others are its loss's."""

PACKAGED = Path(__file__).with_name("weights")
"""Trained networks that come with the package, `NAME.safetensors` each."""


class Checkpoint(NamedTuple):
    """A trained network on disk: its composed config, its markup and its weights."""

    file: Path
    config: dict[str, Any]
    markup: Markup
    weights: dict[str, Tensor]  # of the landmarker; and of the codec's loss, after "codec."


def packaged() -> dict[str, Path]:
    """The trained networks that come with the package, by their names."""
    return {file.stem: file for file in sorted(PACKAGED.glob("*.safetensors"))}


def find(path: str | Path | int, *names: str) -> Path:
    """The file that `checkpoint=` means: a file as it is, of a run directory the first of `names`.

    What does not exist may be the name of a packaged network, such as `keyposs-8`.

    A run directory called `0` reaches this as a number.

    Raises:
        KeyposError: if there is none.
    """
    path = Path(str(path))
    if path.is_file():
        return path
    if not path.is_dir():
        known = packaged()
        if str(path) in known:
            return known[str(path)]
        remedy = f"give a .ckpt, a .safetensors, a run directory, or one of {', '.join(known)}"
        raise KeyposError(path, "does not exist", remedy)
    for name in names:
        if (path / FOLDER / name).is_file():
            return path / FOLDER / name
    raise KeyposError(
        path,
        f"holds none of {', '.join(f'{FOLDER}/{name}' for name in names)}",
        "give the directory of a training run",
    )


def load(path: str | Path | int) -> Checkpoint:
    """Reads a checkpoint onto the CPU; of a run directory its best weights, else its last.

    Raises:
        KeyposError: if it is missing, cut short, not written by keyposs, or would start something else.
    """
    file = find(path, "best.ckpt", "last.ckpt")
    try:
        config, markup, weights = (_load_safetensors if file.suffix == ".safetensors" else _load_ckpt)(file)
        for key in (*MODEL_KEYS, "datamodule"):
            config[key]
        check_parts({key: config.get(key) for key in (*MODEL_KEYS, "box", "monitor")}, file)
    except (KeyError, TypeError) as error:
        raise KeyposError(
            file, f"is not a keyposs checkpoint (no {error})", "give one that keyposs.train has written"
        ) from error
    except pickle.UnpicklingError as error:
        raise KeyposError(file, "is no checkpoint", "give one that keyposs.train has written") from error
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError) as error:
        raise KeyposError(
            file,
            f"cannot be read ({_first_words(error)})",
            "it is cut short or damaged: copy it again",
        ) from error
    return Checkpoint(file, config, markup, weights)


def save_safetensors(checkpoint: Checkpoint, path: Path) -> None:
    """Writes a checkpoint's weights, with config and markup as metadata, atomically."""
    metadata = {"config": json.dumps(checkpoint.config), "markup": json.dumps(checkpoint.markup.to_dict())}
    with atomic(path) as temporary:
        save_file({name: value.contiguous() for name, value in checkpoint.weights.items()}, temporary, metadata)


def adopt(config: DictConfig, checkpoint: Checkpoint) -> DictConfig:
    """A config whose network is the checkpoint's: sizes, backbone, head and codec; the rest stays.

    A decoder that the checkpoint was trained with keeps its options, unless the config gives others. Where the config
    leaves decoders, monitor, boxes, padding of the crops, flip test or seed open, they are the checkpoint's too.

    Raises:
        KeyposError: if the config asks for another heatmap size or image size, or sets up boxes but chooses none.
    """
    for key in ("heatmap_size", "image_size"):
        wanted, given = config.get(key), checkpoint.config[key]
        if wanted is not None and wanted != given:
            if given is None:
                cause, remedy = f"has no maps, and so no {key}", f"leave {key} out"
            else:
                cause, remedy = f"was trained at {key}={given}, not {wanted}", f"leave {key} out, or train at {wanted}"
            raise KeyposError(checkpoint.file, cause, remedy)
    adopted = OmegaConf.create({key: checkpoint.config[key] for key in MODEL_KEYS})
    if "pretrained" in adopted.backbone:
        adopted.backbone.pretrained = False
    if config.get("decoder") and "decoders" in adopted.codec:  # others refuse decoders when they are built
        config = _as_trained(config, adopted.codec.decoders)
        adopted.codec.decoders = "${decoder}"
    merged = OmegaConf.merge({k: v for k, v in config.items_ex(resolve=False) if k not in MODEL_KEYS}, adopted)
    assert isinstance(merged, DictConfig)
    if merged.get("monitor") is None:
        trained, read = checkpoint.config.get("monitor"), merged.codec.get("decoders")
        merged.monitor = trained if read is None or trained in read else next(iter(read))
    for key in ("padding", "seed"):
        if merged.get(key) is None:
            merged[key] = checkpoint.config["datamodule"][key]
    if "flip_test" in merged and merged.flip_test is None:
        merged.flip_test = checkpoint.config.get("flip_test", False)  # older checkpoints have none
    if "box" in merged:
        merged.box = _box(merged.box, checkpoint.config)
    return merged


def _as_trained(config: DictConfig, decoders: DictConfig) -> DictConfig:
    """Decoders that a network was trained with keep their options where the command gives none of its own."""
    config = config.copy()
    for name, options in config.decoder.items():
        file = CONF / "decoder" / f"{name}.yaml"
        plain = OmegaConf.to_container(OmegaConf.load(file))[name] if file.is_file() else None
        if name in decoders and OmegaConf.to_container(options, resolve=False) == plain:
            config.decoder[name] = decoders[name]
    return config


def open_module(path: str | Path) -> LandmarkModule:
    """The network of a checkpoint, read as in training, in eval mode and without gradients.

    Raises:
        KeyposError: if `load` or `restore` objects.
    """
    checkpoint = load(path)
    config = read_once(adopt(OmegaConf.create({"monitor": None, "padding": None}), checkpoint))
    return restore(LandmarkModule.from_config(config, checkpoint.markup), checkpoint).eval().requires_grad_(False)


def read_once(config: DictConfig) -> DictConfig:
    """The same network, whose maps only the decoder that `monitor` names reads, since the others would be idle work."""
    read = config.codec.get("decoders")
    if read is not None and config.monitor in read:
        config.codec.decoders = {config.monitor: read[config.monitor]}
    return config


def _box(box: DictConfig | None, stored: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The boxes of the config, else those of the checkpoint; None for those of an older checkpoint, which has none."""
    if box is None:
        return follow_data(stored["box"], stored.get("data", {})) if stored.get("box") else None
    if "_target_" not in box:
        raise KeyposError(", ".join(f"box.{key}" for key in box), "is given, but no box is chosen", "add box=csv")
    return box


def restore(module: LandmarkModule, checkpoint: Checkpoint) -> LandmarkModule:
    """Puts the checkpoint's weights into a module built from its config.

    Raises:
        KeyposError: if the weights are of another network.
    """
    of_codec = {key: value for key, value in checkpoint.weights.items() if key.startswith(CODEC)}
    try:
        module.landmarker.load_state_dict({k: v for k, v in checkpoint.weights.items() if k not in of_codec})
        stored = {key.removeprefix(CODEC): value for key, value in of_codec.items()}
        if _shapes(stored) != _shapes(module.codec.state_dict()):  # another loss starts with weights of its own
            stored = {name: value for name, value in stored.items() if name == SPREAD}
        module.codec.load_state_dict(stored, strict=False)
        module.codec.calibrated = checkpoint.config.get("monitor")
    except RuntimeError as error:
        raise KeyposError(
            checkpoint.file,
            f"holds the weights of another network ({' '.join(str(error).split())[:300]})",
            "use the version of keyposs that wrote it (run.json names it), or train again",
        ) from error
    return module


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Of a loss's weights; the codec's own is left out, which older checkpoints lack."""
    return {name: value.shape for name, value in weights.items() if name != SPREAD}


def _first_words(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0][:200]


def _load_ckpt(file: Path) -> tuple[dict[str, Any], Markup, dict[str, Tensor]]:
    state = torch.load(file, map_location="cpu", weights_only=True)
    weights = {k.removeprefix("landmarker."): v for k, v in state["state_dict"].items()}
    return state["config"], Markup.from_dict(state["markup"]), weights


def _load_safetensors(file: Path) -> tuple[dict[str, Any], Markup, dict[str, Tensor]]:
    with safe_open(file, framework="pt") as stored:
        metadata = stored.metadata() or {}
        weights = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    return json.loads(metadata["config"]), Markup.from_dict(json.loads(metadata["markup"])), weights
