"""Makes a packaged network of a finished run: half precision, its config without what belongs to a machine.

    python scripts/pack_weights.py RUN keyposs-8

The file then lies among the package's weights, to be committed; `keyposs.load("keyposs-8")` and `checkpoint=keyposs-8`
read it.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from keyposs.checkpoint import MODEL_KEYS, PACKAGED, Checkpoint, load, save_safetensors
from keyposs.config import plain_mistakes
from keyposs.errors import KeyposError

KEPT = (*MODEL_KEYS, "monitor", "seed", "flip_test", "padding")
"""What of a config goes along; of the data module only how crops are cut."""


def pack(checkpoint: Checkpoint, file: Path) -> Checkpoint:
    """The same network in half precision.

    Raises:
        KeyposError: if a weight does not fit into half precision.
    """
    weights = {}
    for name, value in checkpoint.weights.items():
        weights[name] = value.half() if value.is_floating_point() else value
        if weights[name].isinf().any():
            raise KeyposError(
                checkpoint.file,
                f"{name} holds {value.abs().max()}",
                "half precision ends at 65504: train with weight decay",
            )
    return checkpoint._replace(file=file, config=without_machine(checkpoint.config), weights=weights)


def without_machine(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config makes the network what it is, and how its crops are cut."""
    kept = {key: config[key] for key in KEPT if key in config}
    return {**kept, "datamodule": {"padding": config["padding"], "seed": config["seed"]}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Packs the best checkpoint of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run directory or a checkpoint")
    parser.add_argument("name", metavar="NAME", help="what it will be called")
    parser.add_argument("--folder", type=Path, default=PACKAGED, help="default: the package's own")
    chosen = parser.parse_args(arguments)
    with plain_mistakes():
        packed = pack(load(chosen.run), chosen.folder / f"{chosen.name}.safetensors")
        save_safetensors(packed, packed.file)
    size = packed.file.stat().st_size / 1e6
    Console(soft_wrap=True).print(f"{packed.file}: {size:.1f} MB", markup=False, highlight=False)


if __name__ == "__main__":
    main()
