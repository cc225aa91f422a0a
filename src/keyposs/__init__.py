"""keyposs: facial landmarks at any heatmap resolution, by true-range multilateration."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing albumentations asks the package index

if TYPE_CHECKING:
    from keyposs.finder import Finder

__version__ = "0.1.0"


def load(
    network: str | Path = "keyposs-16",
    *,
    device: str = "auto",
    boxes: str = "scan",
    passes: int = 2,
    batch_size: int = 32,
) -> "Finder":
    """Opens a trained network to find landmarks with.

    Its call takes a picture or a list of pictures (files, PIL images, arrays, tensors) and gives the faces of each:
    points in pixels of the picture, scores, covariances and boxes; see `keyposs.finder.Finder`.

    Args:
        network: the name of a packaged network, such as `keyposs-8`; a `.safetensors`, a `.ckpt`, or the directory of a
            training run; or an exported `.onnx`, which ONNX Runtime runs.
        device: `cpu`, `cuda`, `cuda:1`, `mps`; `auto`: the best there is.
        boxes: where faces are where none are given: `scan`, the smallest packaged network looks for them; `whole`, one
            fills each picture; `uniface`, that package finds them; or the path of a YuNet model (`.onnx`).
        passes: how often a face is read; from the second time on in the box of its own landmarks.
        batch_size: the most faces at once.

    Raises:
        KeyposError: if there is no such network, device or detector, or one cannot be read.

    >>> import numpy as np
    >>> finder = load("keyposs-4", device="cpu")
    >>> faces = finder(np.zeros((100, 80, 3), dtype=np.uint8), boxes=[[10, 20, 70, 80]])
    >>> faces.points.shape, faces.scores.shape, faces.covariances.shape
    ((1, 68, 2), (1, 68), (1, 68, 2, 2))
    """
    from keyposs.finder import open_finder  # here: a command starts faster without

    return open_finder(network, device=device, boxes=boxes, passes=passes, batch_size=batch_size)
