"""What the config inside a model file may name: a model file is data, and starts nothing but parts of keyposs."""

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from keyposs.errors import KeyposError

VARIABLE = "KEYPOSS_TRUSTED"
"""Of the environment: modules of one's own whose parts may be in a model file, with commas between them."""

MODULES = {"keyposs.codecs", "keyposs.decoders", "keyposs.grid", "keyposs.losses", "keyposs.models"}
"""Whose classes and functions a network may be built of."""

BOXES = "keyposs.data.Boxes"
"""What an evaluation cuts faces by."""


def check_parts(config: Any, file: Path) -> None:
    """Refuses a config that would start something else when it is instantiated.

    Args:
        config: plain containers.
        file: that holds it.

    Raises:
        KeyposError: naming the first part that is none of `MODULES`.
    """
    for key, value in _texts(config):
        if "${" in value:
            cause = f"has a config with {key}={value}, which is looked up on this computer"
        elif key == "_target_" and not _known(value):
            cause = f"has a config that starts {value}, which is no part of keyposs"
        else:
            continue
        remedy = "use it only if you know who made it"
        if module := value.rpartition(".")[0]:
            remedy += f": {VARIABLE}={module} in the environment allows parts of a module of your own"
        raise KeyposError(file, cause, remedy)


def _texts(config: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """All strings, and what they are called."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _texts(value, str(key))
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _texts(value, at)
    elif at == "_target_" or isinstance(config, str):
        yield at, str(config)


def _known(target: str) -> bool:
    """Whether a part is one of `MODULES`' own, and not something that they have imported."""
    module, _, name = target.rpartition(".")
    own = {name for name in os.environ.get(VARIABLE, "").split(",") if name}
    if target == BOXES or module not in MODULES | own:
        return target == BOXES
    part = getattr(import_module(module), name, None)
    return callable(part) and str(part.__module__).partition(".")[0] == module.partition(".")[0]
