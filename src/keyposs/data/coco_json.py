"""One's own faces: any COCO-keypoints file, with the markup that the user names."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from keyposs.data.coco_faces import CocoFaces
from keyposs.data.formats.coco import Coco, Record, read_coco
from keyposs.data.gather import Source
from keyposs.errors import KeyposError
from keyposs.markup import Markup, markup_of

_log = logging.getLogger(__name__)

_KEPT = {"images", "annotations", "categories", "id", "file_name", "width", "height"}
_KEPT |= {"image_id", "iscrowd", "keypoints", "bbox"}

_KINDS = {
    "images": (str, "the path of a folder"),
    "offset": ((float, int), "a number"),
    "exif": (bool, "true or false"),
}
"""What settings must be; the others are paths of jsons."""


class CocoJson(CocoFaces):
    """Faces in COCO-keypoints files, as CVAT and Label Studio export them and mmpose keeps them.

    A point with v = 0 is not annotated; with v = 1 it is occluded, where the file has points with v = 2 too.
    Annotations without an annotated point and crowds are left out. `bbox` becomes the face's box; it is taken to be
    in the same coordinates as the points. A photo is looked for in the folder of photos, then beside the json, under
    its `file_name` and then without the folders that this begins with. `val` is cut from `train` by `hold_out` where
    it has no file.

    Args:
        root: the folder of the data.
        markup: the scheme of the points: 19, 29, 68, 98, or one spelt out as for `Markup.from_dict`.
        train: the json to train on, relative to `root`; None: there is none.
        val: as `train`.
        test: as `train`.
        images: the folder of photos, relative to `root`.
        norm: the normaliser of errors, one of `markup.norms`.
        bad_faces: `error`, or `skip` to report and leave out what cannot be read.
        name: of the data, in tables.
        offset: added to each coordinate: -1 where the first pixel is 1, -0.5 where coordinates count from the edge
            of the first pixel instead of its centre, as in CVAT and Label Studio.
        exif: whether the photos were annotated as their EXIF orientation turns them, as in CVAT and Label Studio.

    Raises:
        KeyposError: if a setting is unknown, or no json is given.
    """

    points_key: ClassVar[str] = "keypoints"
    box_key: ClassVar[str] = "bbox"

    def __init__(
        self,
        root: str | Path,
        *,
        markup: str | int | Mapping[str, Any] | Markup,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        images: str = "",
        norm: str = "inter-ocular",
        bad_faces: str = "error",
        name: str = "coco_json",
        offset: float | int = 0.0,
        exif: bool = False,
    ) -> None:
        named = markup_of(str(markup)) if isinstance(markup, int) else markup
        self.markup = named if isinstance(named, Markup) else markup_of(named)
        super().__init__(root, norm=norm, bad_faces=bad_faces)
        given = {"train": train, "val": val, "test": test, "images": images, "offset": offset, "exif": exif}
        for setting, value in given.items():
            kinds, kind = _KINDS.get(setting, (str, "the path of one json"))
            if value is not None and (not isinstance(value, kinds) or value != value):
                raise KeyposError(f"data.{setting}={value}", f"is not {kind}", f"give {kind}")
        self.files = {"train": train, "val": val, "test": test}
        if not any(self.files.values()):
            raise KeyposError("data.train", "no json is given", "set data.train, data.val or data.test to one")
        self.images, self.name, self.offset, self.exif = images, name, offset, exif

    def sources(self, split: str) -> Sequence[Source]:
        """One for each annotated face of the split's json."""
        if not self.files[split]:
            return []
        file = read_coco(self.root / self.files[split], _prune)
        return self.faces(file, (self.root / self.images, file.path.parent), _order(file, self.markup))


def _prune(record: Record) -> Record:
    return {key: record[key] for key in record.keys() & _KEPT}


def _order(file: Coco, markup: Markup) -> list[int] | None:
    """Which of the file's points each point of the markup is, as the file's names tell; None: they tell nothing."""
    listed = [category.get("keypoints") for category in file.categories if isinstance(category, dict)]
    named = [names for names in listed if isinstance(names, list) and len(names) == markup.size]
    orders = [point_order(file.path, list(map(str, names)), markup) for names in named]
    if named and orders[0] is None and named[0]:
        told, known = (", ".join(map(str, names[:3])) for names in (named[0], markup.names))
        said = "%s: its points' names (%s, ...) are not those of the markup (%s, ...): they stay in the file's order"
        _log.warning(said, file.path, told, known)
    if any(order != orders[0] for order in orders[1:]):
        raise KeyposError(file.path, "its categories order their points differently", "give a file for each of them")
    return orders[0] if orders else None


def point_order(source: Path | str, names: Sequence[str], markup: Markup) -> list[int] | None:
    """Finds where a file keeps each point of a markup.

    Exports may list points in another order than the one they were drawn in (CVAT issue 5048). The names of a file
    tell their order if they are the markup's, or numbers from 0 or 1; other names tell nothing.

    Raises:
        KeyposError: if only some names are the markup's, or numbers, so that the others cannot be placed.

    >>> point_order("a.json", ["2", "3", "1"], Markup("own", (), (), size=3))
    [2, 0, 1]
    """
    plain, known = (
        [" ".join(re.split(r"[\s_-]+", name.strip().lower())) for name in either] for either in (names, markup.names)
    )
    numbers = [[str(i) for i in range(first, first + markup.size)] for first in (0, 1)]
    for wanted in (known, *numbers):
        if set(plain) == set(wanted) and len(plain) == len(wanted):
            return [plain.index(name) for name in wanted]
    for wanted in (known, numbers[0 if "0" in plain else 1]):
        missing = [name for name in wanted if name not in plain]
        if len(missing) < len(wanted):
            cause = f"its keypoints' names tell only some of the points: {missing[0]!r} is not among them"
            raise KeyposError(source, cause, f"name them as markup {markup.name} does, by numbers, or not at all")
    return None
