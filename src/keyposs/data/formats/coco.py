"""JSON in COCO's layout (https://cocodataset.org/#format-data): images and annotations, joined by ids."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from keyposs.errors import KeyposError

Record = dict[str, Any]
"""A JSON object."""

EXPORT = "export or fetch the file again"


class Coco(NamedTuple):
    """What stands in a file."""

    path: Path
    images: Mapping[int | str, Record]
    annotations: Mapping[int | str, Record]
    categories: Sequence[Any]

    def source(self, annotation: Record) -> str:
        """What errors name."""
        return f"{self.path} annotation {annotation['id']}"

    def image(self, annotation: Record) -> Record:
        """The image of an annotation.

        Raises:
            KeyposError: if the file has none, or one without a file name.
        """
        key = annotation.get("image_id")
        image = self.images.get(key, {}) if isinstance(key, int | str) else {}
        if not (isinstance(image.get("file_name"), str) and image["file_name"]):
            cause = "has no file_name" if image else "is not among the file's images"
            raise KeyposError(self.source(annotation), f"its image {key!r} {cause}", EXPORT)
        return image

    def points(self, annotation: Record, key: str, size: int) -> Float[np.ndarray, "k 3"]:
        """The x, y and visibility of an annotation's points.

        Raises:
            KeyposError: if they are not so many, or not numbers.
        """
        values = _numbers(annotation[key])
        source = self.source(annotation)
        if values is None or len(values) % 3 or not np.isfinite(values[2::3]).all():
            raise KeyposError(source, f"its {key} are not a list of numbers x, y, visibility", EXPORT)
        if len(values) != 3 * size:
            cause = f"holds {len(values) // 3} {key}, not the {size} of its markup"
            raise KeyposError(source, cause, "set data.markup to the one of the file")
        return values.reshape(-1, 3)

    def box(self, annotation: Record, key: str) -> Float[np.ndarray, " 4"] | None:
        """An annotation's box as x0, y0, x1, y1, or None where it has none.

        Raises:
            KeyposError: if it is not four numbers.
        """
        if not annotation.get(key):
            return None
        values = _numbers(annotation[key])
        if values is None or len(values) != 4:
            raise KeyposError(self.source(annotation), f"its {key} is not four numbers x, y, width, height", EXPORT)
        return np.concatenate([values[:2], values[:2] + values[2:]])


def read_coco(path: Path, prune: Callable[[Record], Record]) -> Coco:
    """Reads a file.

    Args:
        path: of the json.
        prune: what is kept of each object as soon as it is parsed, so that memory holds no more of it.

    Raises:
        KeyposError: if the file cannot be read, is no such JSON, or gives an id twice.
    """
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"), object_hook=prune)
    except OSError as error:
        cause, remedy = f"cannot be read ({error.strerror or error})", "check data.root and the name of the json"
        raise KeyposError(path, cause, remedy) from error
    except (ValueError, RecursionError) as error:
        raise KeyposError(path, f"is no JSON, it is broken or cut short ({error})", EXPORT) from error
    if not isinstance(content, dict):
        raise KeyposError(path, f"holds a {type(content).__name__}, not an object with images and annotations", EXPORT)
    images, annotations = (_by_id(path, content, kind) for kind in ("images", "annotations"))
    categories = content.get("categories")
    return Coco(path, images, annotations, categories if isinstance(categories, list) else [])


def _by_id(path: Path, content: Record, kind: str) -> dict[int | str, Record]:
    if not isinstance(content.get(kind), list):
        raise KeyposError(path, f"has no list of {kind}", "give a COCO keypoints file")
    found: dict[int | str, Record] = {}
    for number, record in enumerate(content[kind]):
        key = record.get("id") if isinstance(record, dict) else None
        if not isinstance(key, int | str):
            raise KeyposError(path, f"number {number} of its {kind} is no object with an id", EXPORT)
        if key in found:
            raise KeyposError(path, f"two of its {kind} have the id {key!r}", "give each an id of its own")
        found[key] = record
    return found


def _numbers(values: object) -> Float[np.ndarray, " n"] | None:
    try:
        array = np.asarray(values)
    except ValueError:  # lists of unequal length
        return None
    return array.astype(np.float64) if array.dtype.kind in "iuf" and array.ndim == 1 else None
