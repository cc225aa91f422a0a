"""The faces of COCO-WholeBody in its official layout."""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from keyposs.data.coco_faces import CocoFaces
from keyposs.data.formats.coco import Record, read_coco
from keyposs.data.gather import Source
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68

_log = logging.getLogger(__name__)

_KEPT = {"images", "annotations", "id", "file_name", "width", "height", "image_id", "iscrowd", "face_box"}
_PHOTOS = {"train": "train2017", "test": "val2017"}
_SUFFIXES = (".jpg", ".jpeg", ".png")


class CocoWholebodyFace(CocoFaces):
    """COCO-WholeBody v1.0: 68 points of the faces in COCO's photos of 2017.

    From https://github.com/jin-s13/COCO-WholeBody and https://cocodataset.org; for research only, not for commercial
    use (CC BY-NC 4.0). Cite Jin et al., "Whole-Body Human Pose Estimation in the Wild", ECCV 2020.

    As in the field, a face counts where `face_valid` is set and a point has v > 0, and COCO's val is the test split;
    `val` is cut from `train` by `hold_out`. Nobody is occluded: the files do not tell. Points may lie outside
    `face_box`. A json that is missing is reported and leaves its split empty; without any photo the annotations can
    be used, but not read.

    Args:
        root: the folder that holds `annotations`, `train2017` and `val2017`; photos may also lie beside the json.
        train: the json to train on, relative to `root`; it may also lie in `root` itself.
        test: as `train`.
        norm: the normaliser of errors.
        bad_faces: `error`, or `skip` to report and leave out what cannot be read.

    Raises:
        KeyposError: if a setting is unknown.
    """

    name = "coco_wholebody_face"
    markup = MARKUP_68
    points_key: ClassVar[str] = "face_kpts"
    box_key: ClassVar[str] = "face_box"

    def __init__(
        self,
        root: str | Path,
        *,
        train: str = "annotations/coco_wholebody_train_v1.0.json",
        test: str = "annotations/coco_wholebody_val_v1.0.json",
        norm: str = "inter-ocular",
        bad_faces: str = "error",
    ) -> None:
        super().__init__(root, norm=norm, bad_faces=bad_faces)
        self.files = {"train": train, "test": test}

    @cached_property
    def photos(self) -> bool:  # type: ignore[override]
        """Whether any photo of any split is there; then none may be missing."""
        folders = {self.root / name for name in _PHOTOS.values()} | {path.parent for path in self._find().values()}
        return any(path.suffix.lower() in _SUFFIXES for folder in folders for path in folder.glob("*"))

    def sources(self, split: str) -> Sequence[Source]:
        """One for each valid face of the split's json."""
        if split == "val":
            return []
        path = self._find().get(split)
        if path is None:
            _log.warning("%s: the json of the split %s is not there", self.name, split)
            return []
        file = read_coco(path, _prune)
        return self.faces(file, (self.root / _PHOTOS[split], path.parent))

    def _find(self) -> dict[str, Path]:
        places = [(split, self.root / part) for split, name in self.files.items() for part in (Path(name).name, name)]
        found = {split: path for split, path in places if path.is_file()}
        if not found:
            cause = f"holds neither {self.files['train']} nor {self.files['test']}"
            raise KeyposError(self.root, cause, "set data.root to the folder of COCO with annotations in it")
        return found


def _prune(record: Record) -> Record:
    """Of an annotation only its face, if it has a valid one: the file of the train split is 1 GB of text."""
    kept = {key: record[key] for key in record.keys() & _KEPT}
    return {**kept, "face_kpts": record.get("face_kpts")} if record.get("face_valid") else kept
