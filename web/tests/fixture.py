"""`python web/tests/fixture.py`: what Python cuts and scans, as tests/python.json, for the page's own to be held to."""

import base64
import json
from pathlib import Path

import cv2
import numpy as np

from keyposs import finder, scan
from keyposs.data import Synthetic
from keyposs.networks import Read
from keyposs.pictures import cut

FILE = Path(__file__).with_name("python.json")

SIZE, PADDING = 32, 1.25
"""Of the crops: small, as the file is to be."""

BOXES = {
    "enlarged": [30.2, 25.7, 48.9, 44.1],
    "as it is": [20.0, 30.0, 45.6, 55.6],
    "reduced a little": [18.3, 22.1, 60.7, 58.4],
    "blocks of 2": [12.5, 20.25, 70.0, 78.0],
    "blocks of 3": [3.1, 5.2, 84.0, 79.9],
    "blocks of 4": [-10.0, -7.5, 100.0, 96.1],
    "over the edge": [60.5, 50.5, 110.2, 120.0],
    "off the photo": [200.0, 10.0, 240.0, 50.0],
}

CONSTANTS = ["SMALLEST", "SHRINK", "STEP", "LEAST", "WORTH", "CANDIDATES", "ROUNDS", "SURE", "ALIKE", "OVERLAP"]


def coded(pixels: np.ndarray) -> str:
    """Bytes as text."""
    return base64.b64encode(pixels.tobytes()).decode()


def fixture() -> dict[str, object]:
    """A rendered face, its crops in several boxes as planes, and numbers of `keyposs.scan`."""
    (face,) = Synthetic(test=1).annotations("test")
    photo = cv2.resize(face.read(), (90, 84), interpolation=cv2.INTER_AREA)
    crops = []
    for name, box in BOXES.items():
        crop, to_photo = cut(photo, np.array(box), image_size=SIZE, padding=PADDING)
        crops.append(
            {"name": name, "box": box, "pixels": coded(crop.transpose(2, 0, 1)), "to_photo": to_photo.tolist()}
        )
    generator = np.random.default_rng(0)
    points, roots = generator.uniform(0, 50, (5, 2)), generator.normal(size=(5, 2, 2))
    covariances = roots @ roots.swapaxes(1, 2)
    boxes = generator.uniform(0, 30, (12, 2))
    boxes = np.concatenate([boxes, boxes + generator.uniform(5, 25, (12, 2))], axis=1)
    doubts = generator.uniform(0, 0.1, 12)
    return {
        "photo": {"width": 90, "height": 84, "pixels": coded(photo)},
        "size": SIZE,
        "padding": PADDING,
        "crops": crops,
        "constants": {**{name: getattr(scan, name) for name in CONSTANTS}, "FARTHEST": finder.FARTHEST},
        "windows": [{"size": size, "boxes": scan.windows(*size).tolist()} for size in ((40, 31), (25, 60), (300, 7))],
        "doubt": {
            "points": points.tolist(),
            "covariances": covariances.tolist(),
            "doubt": scan.doubt(Read(points[None], np.ones((1, 5)), covariances[None]))[0],
        },
        "apart": {"boxes": boxes.tolist(), "doubts": doubts.tolist(), "kept": scan.apart(boxes, doubts)},
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(fixture(), indent=1) + "\n", encoding="utf-8")
