"""Found faces as a COCO-keypoints file, to be corrected in CVAT or Label Studio and trained on: `data=coco_json`."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from keyposs.markup import Markup

EDGE = 0.5
"""What is added to coordinates: CVAT and Label Studio count from the edge of the first pixel, not from its centre."""


def coco(entries: Iterable[Mapping[str, Any]], markup: Markup) -> dict[str, Any]:
    """The COCO form of pictures and their faces.

    Read it with `data=coco_json data.offset=-0.5 data.exif=true`.

    Args:
        entries: of each picture `file`, `width`, `height` and `faces`, as `Found.described` gives them.
        markup: of their points.
    """
    images, annotations = [], []
    for number, entry in enumerate(entries, 1):
        size = {"width": entry["width"], "height": entry["height"]}
        images.append({"id": number, "file_name": entry["file"], **size})
        for face in entry["faces"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1, **_face(face)})
    return {"images": images, "annotations": annotations, "categories": [_category(markup)]}


def _face(face: Mapping[str, Any]) -> dict[str, Any]:
    points = np.array(face["points"]) + EDGE
    (x, y), (w, h) = points.min(0), np.ptp(points, axis=0)
    box = np.array([x, y, w, h]).round(3).tolist()
    keypoints = np.column_stack([points.round(3), np.full(len(points), 2)]).ravel().tolist()
    area = round(float(w * h), 3)
    return {"keypoints": keypoints, "num_keypoints": len(points), "bbox": box, "area": area, "iscrowd": 0}


def _category(markup: Markup) -> dict[str, Any]:
    """The points' names and the lines between them, which COCO counts from 1."""
    lines = []
    for contour in markup.contours:
        run = [*contour.points, contour.points[0]] if contour.closed else contour.points
        lines += [[a + 1, b + 1] for a, b in pairwise(run)]
    return {"id": 1, "name": "face", "supercategory": "person", "keypoints": list(markup.names), "skeleton": lines}
