"""The one LightningDataModule: any dataset's faces, cropped, augmented and batched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from keyposs.augment import Augment
from keyposs.crop import apply, canonical_matrix, compose, invert
from keyposs.data.cache import FreshCrops
from keyposs.data.sampler import EvalSampler, Key, TrainSampler
from keyposs.errors import KeyposError
from keyposs.types import Faces

_SPLITS = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": (),
    None: ("train", "val", "test"),
}


class FaceCrops(Dataset[Faces]):
    """Square crops of faces.

    Args:
        crops: canonical crops and the faces on them.
        augment: what a crop with a seed goes through.
        flip: the Markup's permutation for a mirrored face.
    """

    def __init__(self, crops: FreshCrops, *, augment: Augment, flip: Sequence[int]) -> None:
        self.crops, self.augment, self.flip = crops, augment, flip
        self.centre = Augment(crops.image_size)

    def __len__(self) -> int:
        return len(self.crops.annotations)

    def __getitem__(self, key: Key) -> Faces:
        index, seed = key
        face = self.crops.annotations[index]
        to_canonical = canonical_matrix(
            face.box, image_size=self.crops.image_size, padding=self.crops.padding
        )
        augment = self.centre if seed is None else self.augment
        crop = augment(
            self.crops.crop(index),
            apply(to_canonical, face.keypoints),
            face.visible,
            face.occluded,
            flip=self.flip,
            seed=seed or 0,
        )
        return Faces(
            image=torch.from_numpy(np.ascontiguousarray(crop.image.transpose(2, 0, 1))),
            keypoints=torch.from_numpy(crop.keypoints).float(),
            visible=torch.from_numpy(crop.visible),
            occluded=torch.from_numpy(crop.occluded),
            box=torch.from_numpy(face.box).float(),
            norm=torch.tensor(face.norm, dtype=torch.float32),
            subsets=face.subsets,
            crop_to_image=torch.from_numpy(invert(compose(crop.matrix, to_canonical))).float(),
            name=face.name,
        )


def collate(faces: Sequence[Faces]) -> Faces:
    """Makes a batch: tensors are stacked, subsets and names become lists."""
    columns = Faces(*zip(*faces, strict=True))
    return Faces(*(torch.stack(c) if isinstance(c[0], torch.Tensor) else list(c) for c in columns))


class FaceDataModule(pl.LightningDataModule):
    """Batches of face crops from a dataset.

    Args:
        dataset: has `name`, `markup` and `annotations(split)` for train, val and test.
        augment: what training crops go through.
        image_size: side of a crop in pixels.
        batch_size: faces in a batch, on each device.
        padding: side of the cropped square over the longer side of the face's box.
        cache: a folder for decoded crops, or None to read photos each time.
        workers: processes that prepare batches; 0 for none.
        seed: of order and augmentation.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        augment: Augment,
        image_size: int,
        batch_size: int,
        padding: float = 1.25,
        cache: str | Path | None = None,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dataset, self.augment = dataset, augment
        self.image_size, self.batch_size, self.padding = image_size, batch_size, padding
        self.cache, self.workers, self.seed = cache, workers, seed
        self.faces: dict[str, FaceCrops] = {}

    def setup(self, stage: str | None = None) -> None:
        """Reads the annotations of the splits that a stage needs: fit, validate or test; None for all.

        Raises:
            KeyposError: if a split is empty or a face is bad.
        """
        for split in _SPLITS[stage]:
            if split not in self.faces:
                self.faces[split] = self._read(split)

    def train_dataloader(self) -> DataLoader[Faces]:
        """Training faces: shuffled and augmented anew each epoch."""
        count = len(self.faces["train"])
        sampler = TrainSampler(count, self.seed)
        # A last batch of one face or two would upset BatchNorm.
        return self._loader("train", sampler, drop_last=len(sampler) > self.batch_size)

    def val_dataloader(self) -> DataLoader[Faces]:
        """Validation faces, in order."""
        return self._loader("val", EvalSampler(len(self.faces["val"])))

    def test_dataloader(self) -> DataLoader[Faces]:
        """Test faces, in order."""
        return self._loader("test", EvalSampler(len(self.faces["test"])))

    def _read(self, split: str) -> FaceCrops:
        annotations = self.dataset.annotations(split)
        if not annotations:
            cause = f"holds no faces for the split {split!r}"
            raise KeyposError(self.dataset.name, cause, "add the files of that split, or choose other data")
        crops = FreshCrops(annotations, self.image_size, self.padding)
        return FaceCrops(crops, augment=self.augment, flip=self.dataset.markup.flip)

    def _loader(self, split: str, sampler: Sampler[Key], *, drop_last: bool = False) -> DataLoader[Faces]:
        return DataLoader(
            self.faces[split],
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
            worker_init_fn=_start_worker,
        )


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # workers are the parallelism; threads within them would compete
