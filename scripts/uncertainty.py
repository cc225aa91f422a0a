"""How well a method knows its errors: the covariances that it tells against the true errors of its points.

    python scripts/uncertainty.py RUN [RUN ...]
    python scripts/uncertainty.py RUN data.root=$KEYPOSS_DATA/300w --split val --figure docs/uncertainty.png
    python scripts/uncertainty.py keyposs-16 keyposs-8 data=300w data.root=$KEYPOSS_DATA/300w --split val

A RUN is a run directory or a checkpoint of a method that tells covariances: a trained `codec=distance_map` or
`codec=coordinates`. Its own config says which data it is read on; key=value replaces a value there. A packaged network
has no data of its own: the third line says which. Every face is read twice, the second time with a box of noise on
it, which covers some of its points.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from rich.console import Console
from rich.progress import track
from torch import Tensor
from trained import STAGES, open_run, parse

from keyposs import plots
from keyposs.checkpoint import Checkpoint, load
from keyposs.config import plain_mistakes
from keyposs.errors import KeyposError
from keyposs.files import atomic
from keyposs.module import LandmarkModule, truth
from keyposs.reports.uncertainty import FORMATS, NOTE, Told, agreement, refusal_figure
from keyposs.tables import Cell, Table, terminal
from keyposs.types import Faces

BOX = 0.3
"""Side of the box of noise, in sides of the crop."""


def measure(checkpoint: Checkpoint, overrides: Sequence[str], split: str) -> tuple[Told, float]:
    """Reads a split of a run's data: what is told of it, and above which NME a face of it is a failure.

    Raises:
        KeyposError: if the method tells no covariances, or its data cannot be read or has no such faces.
    """
    module, datamodule = open_run(checkpoint, overrides)
    datamodule.setup(STAGES[split])
    batches = datamodule.val_dataloader() if split == "val" else datamodule.test_dataloader()
    watched = track(batches, "reading", console=Console(stderr=True), transient=True)
    generator = torch.Generator().manual_seed(0)
    parts = [_read(module, batch, generator, checkpoint.file) for batch in watched]
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    told = Told(*(x.double().numpy() if x.is_floating_point() else x.numpy() for x in columns))
    return told, datamodule.dataset.threshold


@torch.inference_mode()
def _read(module: LandmarkModule, batch: Faces, generator: torch.Generator, file: Path) -> tuple[Tensor, ...]:
    """The fields of `Told` for a batch."""
    output, known = module(batch.image), truth(batch)
    covariances = module.codec.covariance(output, module.config["monitor"])
    if covariances is None:
        remedy = "give a run of a method that does, such as codec=coordinates, or train it again"
        raise KeyposError(file, "tells no covariances of its points", remedy)
    points, scores = module.codec.decode(output)[module.config["monitor"]]
    image, covered = cover(batch.image, known.keypoints, generator)
    then = module.codec.covariance(module(image))
    assert then is not None
    return points - known.keypoints, covariances, scores, known.visible, known.norm, covered, then


def cover(
    image: Tensor, keypoints: Float[Tensor, "b k 2"], generator: torch.Generator
) -> tuple[Tensor, Bool[Tensor, "b k"]]:
    """Puts a box of noise somewhere on each crop: the crops, and which points lie under it."""
    image, side = image.clone(), round(BOX * image.shape[-1])
    corner = torch.randint(image.shape[-1] - side + 1, (len(image), 2), generator=generator)
    for face, (x, y) in zip(image, corner.tolist(), strict=True):
        face[:, y : y + side, x : x + side] = torch.randint(256, (3, side, side), generator=generator)
    off = keypoints - corner[:, None] + 0.5
    return image, ((off >= 0) & (off < side)).all(-1)


def names(paths: Sequence[str]) -> Iterator[str]:
    """What runs are called: their folders; a second one of the same name with a number."""
    seen: dict[str, int] = {}
    for path in paths:
        name = Path(path).stem if Path(path).is_file() else Path(path).name
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the given runs and prints a column for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="what refusing the unsure ones gains")
    chosen = parse(parser, arguments)
    with plain_mistakes():
        told = {
            n: measure(load(p), chosen.overrides, chosen.split)
            for n, p in zip(names(chosen.runs), chosen.runs, strict=True)
        }
        if chosen.figure:
            with atomic(chosen.figure) as temporary:
                temporary.write_bytes(plots.png(refusal_figure({name: of_run for name, (of_run, _) in told.items()})))
    found = [agreement(*of_run) for of_run in told.values()]
    rows = [[Cell(name), *(Cell(of_run[name], form) for of_run in found)] for name, form in FORMATS.items()]
    table = Table("uncertainty", f"Uncertainties on {chosen.split}", ["", *told], rows)
    Console().print(terminal(table), NOTE, sep="\n")


if __name__ == "__main__":
    main()
