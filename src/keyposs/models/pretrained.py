"""timm's networks by name, with errors that say what to do when a name or its weights cannot be had."""

from difflib import get_close_matches
from typing import Any

import timm
from torch import nn

from keyposs.errors import KeyposError


def create(name: str, *, pretrained: bool, **options: Any) -> nn.Module:
    """A network of timm by its name, cut to its feature maps.

    Args:
        name: as in `timm.list_models()`, with or without a tag of weights (`resnet18.a1_in1k`).
        pretrained: take timm's ImageNet weights from the cache, or fetch them.
        **options: passed to `timm.create_model`.

    Raises:
        KeyposError: if timm knows no such name, or its weights cannot be had.
    """
    if not timm.is_model(name):
        raise _unknown(name)
    if not pretrained:
        return timm.create_model(name, pretrained=False, features_only=True, **options)
    try:
        return timm.create_model(name, pretrained=True, features_only=True, **options)
    except Exception as error:  # the hub's client raises what its transport raises: no common base
        raise KeyposError(
            f"backbone.pretrained=true with backbone.name={name}",
            f"timm's weights could not be loaded ({type(error).__name__}: {_first_line(error)})",
            "train from scratch with backbone.pretrained=false, or run once where the network can be reached "
            "and copy the Hugging Face cache (HF_HOME) and the torch hub cache (TORCH_HOME) to this machine",
        ) from error


def _unknown(name: str) -> KeyposError:
    architecture = name.split(".")[0]
    close = get_close_matches(architecture, timm.list_models(), n=5)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    return KeyposError(
        f"backbone.name={name}",
        "timm knows no network of this name",
        f"{hint}timm.list_models() prints all names",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0].rstrip(".")
