"""Datasets, and the module that makes batches of any of them."""

from keyposs.data.aflw import Aflw
from keyposs.data.boxes import Boxes
from keyposs.data.coco_json import CocoJson
from keyposs.data.coco_wholebody_face import CocoWholebodyFace
from keyposs.data.cofw import Cofw
from keyposs.data.ibug300w import Ibug300W
from keyposs.data.module import FaceDataModule
from keyposs.data.synthetic import Synthetic
from keyposs.data.wflw import Wflw

__all__ = ["Aflw", "Boxes", "CocoJson", "CocoWholebodyFace", "Cofw", "FaceDataModule", "Ibug300W", "Synthetic", "Wflw"]
