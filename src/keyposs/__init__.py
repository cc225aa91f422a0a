"""keyposs: facial landmarks at any heatmap resolution, by true-range multilateration."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing albumentations asks the package index

if TYPE_CHECKING:
    from keyposs.module import LandmarkModule

__version__ = "0.1.0"


def load(checkpoint: str | Path) -> "LandmarkModule":
    """A trained network, ready to read faces.

    Its call takes face crops (n, 3, `image_size`, `image_size`), RGB in 0..255, cut as `keyposs.predict` cuts them;
    its codec reads what comes out: `decode` gives points and scores, `covariance` how uncertain each point is.

    Args:
        checkpoint: the name of a packaged network, such as `keyposs-8`; a `.safetensors`, a `.ckpt`, or the directory
            of a training run.

    Raises:
        KeyposError: if there is no such network, or it cannot be read.

    >>> import torch
    >>> network = load("keyposs-8")
    >>> output = network(torch.zeros(2, 3, 256, 256, dtype=torch.uint8))
    >>> points, scores = network.codec.decode(output)["pseudorange"]
    >>> points.shape, scores.shape, network.codec.covariance(output).shape
    (torch.Size([2, 68, 2]), torch.Size([2, 68]), torch.Size([2, 68, 2, 2]))
    """
    from keyposs.checkpoint import open_network  # here: a command starts faster without

    return open_network(checkpoint)
