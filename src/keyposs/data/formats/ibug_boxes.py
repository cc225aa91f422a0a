"""300-W's bounding boxes, a MATLAB v5 file for each folder (https://ibug.doc.ic.ac.uk/resources/300-W/).

`bounding_boxes` is a cell of structs: `imgName`, `bb_detector` (of the face detector of Zhu and Ramanan) and
`bb_ground_truth` (tight to the landmarks), the boxes as x0 y0 x1 y1 and 1-based as all of MATLAB.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from keyposs.data.formats.matlab import read_matlab
from keyposs.errors import KeyposError

_VARIABLE = "bounding_boxes"
_REMEDY = "fetch the file again, or remove it to go without face boxes"


def find_boxes(root: Path, folder: str) -> Path | None:
    """The file of a folder like `helen/trainset`, where it is there: `root/Bounding Boxes/...` or the like."""
    name = f"{_VARIABLE}_{folder.replace('/', '_')}.mat"
    places = sorted(path for path in root.iterdir() if _letters(path.name) == "boundingboxes")
    return next((place / name for place in places if (place / name).exists()), None)


def read_boxes(path: Path) -> dict[str, Float[np.ndarray, " 4"]]:
    """The detector's boxes, 0-based, by `photo_key`.

    Raises:
        KeyposError: if this is no file of boxes, or not a whole one, or cannot be read.
    """
    cells = read_matlab(path, [_VARIABLE], remedy=_REMEDY)[_VARIABLE]
    try:
        boxes = dict(map(_entry, cells.flat))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # as many as ways to be otherwise
        raise KeyposError(path, f"holds something else than boxes ({error!r})", _REMEDY) from error
    return {name: box for name, box in boxes.items() if box is not None}


def photo_key(name: str) -> str:
    """What a photo's names in different files have in common: one of ibug's has a stray space.

    >>> photo_key("image_092 _01.jpg")
    'image_092_01'
    """
    return Path(name).stem.replace(" ", "").lower()


def _entry(cell: np.ndarray) -> tuple[str, Float[np.ndarray, " 4"] | None]:
    """Name and box of a 1x1 struct; None where the detector found no face."""
    struct = cell.item()
    name, box = struct["imgName"].item(), struct["bb_detector"].astype(np.float64).ravel()
    if box.size not in (0, 4):
        raise ValueError(f"a box of {box.size} numbers")
    return photo_key(name), box - 1 if box.size else None


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalpha())
