"""The writers of all data that has to be on disk, for tests of what every dataset owes."""

from functools import partial

from aflw_writer import write_aflw
from coco_writer import write_coco_json, write_coco_wholebody
from cofw_writer import write_cofw
from writers import write_300w, write_wflw

WRITERS = {
    "300w": write_300w,
    "aflw": write_aflw,
    "coco_json": write_coco_json,
    "coco_wholebody_face": write_coco_wholebody,
    "cofw": write_cofw,
    "lapa": partial(write_coco_json, size=106),
    "wflw": write_wflw,
}
"""By `data=`; each writes a small set in the official layout into a folder."""

EXTRA = {"coco_json": ["data.markup=68", "data.train=train.json"], "lapa": ["data.train=train.json"]}
"""What a user has to say about his own data."""
