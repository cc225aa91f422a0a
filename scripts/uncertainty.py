"""How well a method knows its errors: the covariances that it tells against the true errors of its points.

    python scripts/uncertainty.py RUN [RUN ...]
    python scripts/uncertainty.py RUN data.root=$KEYPOSS_DATA/300w --split val

A RUN is a run directory or a checkpoint of a method that tells covariances, such as `codec=coordinates`. Its own config
says which data it is read on; key=value replaces a value there.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from jaxtyping import Bool, Float
from rich.console import Console
from rich.progress import track
from trained import STAGES, configure, parse

from keyposs.checkpoint import Checkpoint, load, restore
from keyposs.config import plain_mistakes
from keyposs.errors import KeyposError
from keyposs.module import LandmarkModule, truth
from keyposs.reports.exits import auroc, spearman
from keyposs.tables import Cell, Table, terminal

FORMATS = {
    "faces": ".0f",
    "NME": ".2f",
    "RMS z": ".2f",
    "inside, %": ".1f",
    "Spearman, points": ".2f",
    "Spearman, faces": ".2f",
    "AUROC": ".2f",
}

NOTE = (
    "RMS z: root mean square of the errors in standard deviations, 1 where they are honest; inside: points within the "
    "ellipse of two standard deviations, 86.5 % of a normal distribution; Spearman: of error and standard deviation; "
    "AUROC: of a face's mean standard deviation as a sign of failure"
)


def agreement(
    errors: Float[np.ndarray, "n k 2"],
    covariances: Float[np.ndarray, "n k 2 2"],
    visible: Bool[np.ndarray, "n k"],
    norm: Float[np.ndarray, " n"],
    limit: float,
) -> dict[str, float | None]:
    """What the told covariances say of the true errors.

    Args:
        errors: of the points, pixels.
        covariances: told, pixels squared.
        visible: which points are annotated; at least one of each face.
        norm: of each face, pixels.
        limit: above this NME, a fraction, a face is a failure.

    Returns:
        A value for each of `FORMATS`; a correlation is None where one side is constant, `AUROC` where no
        face or every one is a failure.
    """
    squared = np.einsum("nki,nkij,nkj->nk", errors, np.linalg.inv(covariances), errors)
    off = np.where(visible, np.linalg.norm(errors, axis=-1) / norm[:, None], np.nan)
    told = np.where(visible, np.sqrt(np.trace(covariances, axis1=-2, axis2=-1)) / norm[:, None], np.nan)
    of_faces, told_of_faces = np.nanmean(off, axis=1), np.nanmean(told, axis=1)
    return {
        "faces": len(errors),
        "NME": 100 * float(of_faces.mean()),
        "RMS z": float(np.sqrt(squared[visible].mean() / 2)),  # of each axis
        "inside, %": 100 * float((squared[visible] < 4).mean()),
        "Spearman, points": spearman(off[visible], told[visible]),
        "Spearman, faces": spearman(of_faces, told_of_faces),
        "AUROC": auroc(told_of_faces, of_faces > limit),
    }


@torch.inference_mode()
def measure(checkpoint: Checkpoint, overrides: Sequence[str], split: str) -> dict[str, float | None]:
    """Reads a split of a run's data.

    Raises:
        KeyposError: if the method tells no covariances, or its data cannot be read or has no such faces.
    """
    config = configure(checkpoint, overrides)
    module = restore(LandmarkModule.from_config(config, checkpoint.markup), checkpoint).eval()
    datamodule, parts = instantiate(config.datamodule), []
    datamodule.setup(STAGES[split])
    batches = datamodule.val_dataloader() if split == "val" else datamodule.test_dataloader()
    for batch in track(batches, "reading", console=Console(stderr=True), transient=True):
        output, known = module(batch.image), truth(batch)
        covariances = module.codec.covariance(output)
        if covariances is None:
            remedy = "give a run of a method that does, such as codec=coordinates"
            raise KeyposError(checkpoint.file, "tells no covariances of its points", remedy)
        points, _ = module.codec.decode(output)[config.monitor]
        parts.append([points - known.keypoints, covariances, known.visible, known.norm])
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    return agreement(
        *(x.double().numpy() if x.is_floating_point() else x.numpy() for x in columns), datamodule.dataset.threshold
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the given runs and prints a column for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parse(parser, arguments)
    with plain_mistakes():
        found = [measure(load(path), chosen.overrides, chosen.split) for path in chosen.runs]
    rows = [[Cell(name), *(Cell(of_run[name], form) for of_run in found)] for name, form in FORMATS.items()]
    table = Table(
        "uncertainty", f"Uncertainties on {chosen.split}", ["", *(Path(path).name for path in chosen.runs)], rows
    )
    Console().print(terminal(table), NOTE, sep="\n")


if __name__ == "__main__":
    main()
