"""Found faces as a COCO-keypoints file, to be corrected in CVAT or Label Studio and trained on: `data=coco_json`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, pairwise
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from keyposs.files import atomic
from keyposs.markup import Markup

EDGE = 0.5
"""What is added to coordinates: CVAT and Label Studio count from the edge of the first pixel, not from its centre."""

Entries = Iterable[Mapping[str, Any]]
"""Of each picture `file`, `width`, `height` and `faces`, as `Found.described` gives them."""


def write_coco(file: Path, entries: Callable[[], Entries], markup: Markup) -> None:
    """Writes the COCO form of pictures and their faces, an object a line, atomically.

    Read it with `data=coco_json data.offset=-0.5 data.exif=true`.

    Args:
        file: to write.
        entries: gives the pictures, as often as it is called: first they are written, then their faces.
        markup: of their points.
    """
    with atomic(file) as temporary, temporary.open("w", encoding="utf-8") as lines:
        lines.write('{"images": [')
        _write(lines, _images(entries()))
        lines.write('],\n"annotations": [')
        _write(lines, _annotations(entries()))
        lines.write(f'],\n"categories": [{json.dumps(_category(markup))}]}}\n')


def _write(lines: TextIO, found: Entries) -> None:
    for number, value in enumerate(found):
        lines.write((",\n" if number else "\n") + json.dumps(value, ensure_ascii=False, allow_nan=False))


def _images(entries: Entries) -> Iterator[dict[str, Any]]:
    for number, entry in enumerate(entries, 1):
        yield {"id": number, "file_name": entry["file"], "width": entry["width"], "height": entry["height"]}


def _annotations(entries: Entries) -> Iterator[dict[str, Any]]:
    numbers = count(1)
    for image, entry in enumerate(entries, 1):
        for face in entry["faces"]:
            yield {"id": next(numbers), "image_id": image, "category_id": 1, **_face(face)}


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
