"""Where the boxes of faces come from, when nobody gives them."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from keyposs.errors import KeyposError
from keyposs.networks import BATCH, Boxes, open_network
from keyposs.pictures import whole_box
from keyposs.scan import scan
from keyposs.types import Photo

SMALLEST = 320
"""Pixels: OpenCV's detectors read photos whose longer side is at most twice this."""

CONFIDENCE = 0.6
"""Of a face that YuNet reports."""

SCANNER = "keyposs-4"
"""The packaged network that scans photos: the quickest, and it doubts as well as the others do."""

Detect = Callable[[Photo], Boxes]


def detector(name: str, padding: float, device: str = "cpu", batch_size: int = BATCH) -> Detect:
    """What finds the boxes of a photo's faces.

    Args:
        name: `scan`: the smallest packaged network, where it is sure (see `keyposs.scan`); `whole`: one face fills the
            photo; `uniface`: SCRFD of that package; or the path of a YuNet model, `.onnx`, which OpenCV runs.
        padding: of the network that reads the faces, for `whole`.
        device: of the network of `scan`.
        batch_size: the most faces at once.

    Raises:
        KeyposError: if the name is unknown, the file is not there or no such model, the package or its weights are
            missing, or the device is not there.
    """
    if name == "scan":
        return partial(scan, open_network(SCANNER, device), batch_size=batch_size)
    if name == "whole":
        return lambda photo: whole_box(photo.shape[1], photo.shape[0], padding)[None]
    if name == "uniface":
        return scrfd()
    if name.lower().endswith(".onnx"):
        return yunet(Path(name).expanduser())
    remedy = "give scan, whole, a .csv of boxes (python -m keyposs.predict only), uniface, or a YuNet model (.onnx)"
    raise KeyposError(f"boxes={name}", "is unknown", remedy)


def yunet(file: Path) -> Detect:
    """A YuNet model of OpenCV's zoo.

    Raises:
        KeyposError: if the file is not there, or no such model.
    """
    if not file.is_file():
        raise KeyposError(file, "is not there", "give the path of a YuNet model, or boxes=scan")
    try:
        model = cv2.FaceDetectorYN.create(str(file), "", (SMALLEST, SMALLEST), CONFIDENCE)
        model.detect(np.zeros((SMALLEST, SMALLEST, 3), np.uint8))
    except cv2.error as error:
        raise KeyposError(file, f"is no YuNet model ({error.err})", "give a face_detection_yunet_*.onnx") from error

    def detect(photo: Photo) -> Boxes:
        height, width = photo.shape[:2]
        zoom = min(1.0, 2 * SMALLEST / max(width, height))
        size = max(round(width * zoom), 1), max(round(height * zoom), 1)
        model.setInputSize(size)
        small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        _, faces = model.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if faces is None:
            return np.empty((0, 4))
        x, y, w, h = faces[:, :4].astype(np.float64).T
        corners = np.stack([x, y, x + w, y + h], axis=1)
        return (corners + 0.5) / np.tile(np.array(size) / (width, height), 2) - 0.5

    return detect


def scrfd() -> Detect:
    """The SCRFD detector of the package uniface, which fetches its weights when it is first used.

    Raises:
        KeyposError: if the package or its weights are missing.
    """
    try:
        model = import_module("uniface").SCRFD()
    except ImportError as error:
        raise KeyposError("boxes=uniface", f"cannot be used ({error})", 'pip install "keyposs[uniface]"') from error
    except (OSError, RuntimeError) as error:  # a ConnectionError is an OSError
        remedy = "connect to the internet for its first use, or give boxes=scan"
        raise KeyposError("boxes=uniface", f"has no weights ({error})", remedy) from error

    def detect(photo: Photo) -> Boxes:
        faces = model.detect(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        boxes = np.array([face.bbox for face in faces], dtype=np.float64).reshape(-1, 4)
        return boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]

    return detect
