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
    check(name)
    if not pretrained:
        return timm.create_model(name, pretrained=False, features_only=True, **options)
    try:
        return timm.create_model(name, pretrained=True, features_only=True, **options)
    except Exception as error:  # the hub's client raises what its transport raises: no common base
        raise KeyposError(
            f"backbone.pretrained=true with backbone.name={name}",
            f"timm's weights could not be loaded ({type(error).__name__}: {first_line(error)})",
            "train from scratch with backbone.pretrained=false, or run once where the network can be reached "
            "and copy the Hugging Face cache (HF_HOME) and the torch hub cache (TORCH_HOME) to this machine",
        ) from error


def check(name: str) -> None:
    """Makes sure that timm knows a name, and its tag of weights where it has one.

    Raises:
        KeyposError: if not; it lists names that are close, or the tags that there are.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(name):
        close = get_close_matches(architecture.lower(), timm.list_models(), n=5)
        hint = f"did you mean {', '.join(close)}? " if close else ""
        raise KeyposError(
            f"backbone.name={name}",
            "timm knows no network of this name",
            f"{hint}timm.list_models() prints all names",
        )
    tagged = timm.list_models(f"{architecture}.*", pretrained=True)
    if tag and name not in tagged:
        raise KeyposError(
            f"backbone.name={name}",
            f"timm has no weights {tag!r} of {architecture}",
            f"choose from {', '.join([architecture, *tagged])}",
        )


def first_line(error: Exception) -> str:
    """What an error says, without the rest and the full stop."""
    return (str(error).strip().splitlines() or ["no message"])[0].rstrip(".")
