"""Exported networks: opened without pickle and run by ONNX Runtime."""

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from keyposs.errors import KeyposError
from keyposs.markup import Markup

SUFFIX = ".onnx"

NEEDED = ("onnx", "onnxruntime", "onnxscript")
"""Packages of the extra `[export]`."""

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

Run = Callable[..., list[np.ndarray]]


class Exported(NamedTuple):
    """An exported network."""

    run: Run  # the graph's inputs, in order; its outputs
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    facts: dict[str, str]  # the file's metadata


def is_exported(path: str | Path) -> bool:
    """Whether a network's name is that of an exported file.

    >>> is_exported("face.onnx"), is_exported("keyposs-8")
    (True, False)
    """
    return Path(str(path)).suffix.lower() == SUFFIX


def check_packages(wanted: str, names: Sequence[str] = NEEDED) -> None:
    """Refuses to go on without a package that is needed.

    Args:
        wanted: what needs them.
        names: of the packages.

    Raises:
        KeyposError: naming all that are missing.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise KeyposError(wanted, f"needs {', '.join(missing)}", 'pip install "keyposs[export]"')


def open_exported(path: str | Path, device: str = "cpu") -> Exported:
    """Opens a file that `keyposs.export` has written; on a CPU it takes as many threads as torch has.

    Args:
        path: of the file.
        device: `cpu`; `cuda` or `cuda:1`, with the package onnxruntime-gpu; `auto`: cuda if it is there.

    Raises:
        KeyposError: if ONNX Runtime is not installed or has no such device, or the file is missing, damaged or not of
            keyposs.
    """
    check_packages(str(path), ("onnxruntime",))
    import onnxruntime  # of the extra [export]

    if not Path(path).is_file():
        raise KeyposError(path, "does not exist", "give a file that keyposs.export has written")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=_providers(device))
    except Exception as error:  # its errors share no class but this
        remedy = "give a file that keyposs.export has written; if it is one, it is damaged: write it again"
        raise KeyposError(path, f"cannot be read ({str(error).splitlines()[0][:200]})", remedy) from error
    names, outputs = (tuple(one.name for one in many) for many in (session.get_inputs(), session.get_outputs()))

    def run(*arguments: np.ndarray) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(None, dict(zip(names, arguments, strict=True)))
        return found

    return Exported(run, names, outputs, dict(session.get_modelmeta().custom_metadata_map))


def facts_of(path: str | Path, exported: Exported) -> dict[str, Any]:
    """What an exported network's file says of itself, see `keyposs.export.metadata`.

    Raises:
        KeyposError: if it says it not: it is not of keyposs, or of another version.
    """
    told = exported.facts
    try:
        return {
            "image_size": int(told["image_size"]),
            "padding": float(told["padding"]),
            "markup": Markup.from_dict(json.loads(told["markup"])),
            "decoder": told["decoder"],
            "heatmap_size": json.loads(told["config"])["heatmap_size"],
        }
    except (KeyError, ValueError, TypeError) as error:
        raise KeyposError(
            path, f"is not a network of keyposs (no {error})", "give a file that keyposs.export has written"
        ) from error


def _providers(device: str) -> list[tuple[str, dict[str, str]]]:
    """ONNX Runtime's own name of a device."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if PROVIDERS["cuda"] in there else "cpu"
    if PROVIDERS.get(kind) not in there:
        raise KeyposError(
            f"device={device}",
            f"is not among those of this ONNX Runtime ({', '.join(there)})",
            "give device=cpu, or install onnxruntime-gpu",
        )
    return [(PROVIDERS[kind], {"device_id": number or "0"} if kind == "cuda" else {})]
