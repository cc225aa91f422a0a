"""Datasets, and the module that makes batches of any of them."""

from keyposs.data.ibug300w import Ibug300W
from keyposs.data.module import FaceDataModule
from keyposs.data.synthetic import Synthetic
from keyposs.data.wflw import Wflw

__all__ = ["FaceDataModule", "Ibug300W", "Synthetic", "Wflw"]
