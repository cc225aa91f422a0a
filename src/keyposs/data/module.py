"""The one LightningDataModule: any dataset's faces, cropped, augmented and batched."""

import gc
import logging
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from keyposs.augment import Augment
from keyposs.crop import apply, canonical_matrix, compose, crop_matrix, invert
from keyposs.data.boxes import Boxes, erring, jittered
from keyposs.data.cache import CachedCrops, cache_crops, canonical_crop
from keyposs.data.packed import PackedFaces
from keyposs.data.sampler import EvalSampler, Key, TrainSampler, rank_and_world
from keyposs.errors import KeyposError
from keyposs.types import Annotation, Faces, Matrix

_log = logging.getLogger(__name__)

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
        annotations: the faces.
        image_size: side of a crop in pixels.
        padding: side of the cropped square over the longer side of a face's box.
        augment: what a crop with a seed goes through.
        flip: the Markup's permutation for a mirrored face.
        cache: their canonical crops, or None to read photos each time.
        jitter: how far the box of a crop with a seed is off, as shift and scale, see `jittered`.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        *,
        image_size: int,
        padding: float,
        augment: Augment,
        flip: Sequence[int],
        cache: CachedCrops | None = None,
        jitter: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.annotations, self.image_size, self.padding = annotations, image_size, padding
        self.augment, self.flip, self.cache, self.jitter = augment, flip, cache, jitter
        self.centre = Augment(image_size)

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, key: Key) -> Faces:
        index, seed = key
        face = self.annotations[index]
        frame = {"image_size": self.image_size, "padding": self.padding}
        to_canonical = canonical_matrix(face.box, **frame)
        augment = self.centre if seed is None else self.augment
        crop = augment(
            canonical_crop(face, **frame) if self.cache is None else self.cache(index),
            apply(to_canonical, face.keypoints),
            face.visible,
            face.occluded,
            flip=self.flip,
            seed=seed or 0,
            frame=self._jittered_frame(face, to_canonical, seed),
        )
        return Faces(
            image=torch.from_numpy(np.stack(cv2.split(crop.image))),
            keypoints=torch.from_numpy(crop.keypoints).float(),
            visible=torch.from_numpy(crop.visible),
            occluded=torch.from_numpy(crop.occluded),
            box=torch.from_numpy(face.box).float(),
            norm=torch.tensor(face.norm, dtype=torch.float32),
            subsets=face.subsets if index >= 0 else (),
            crop_to_image=torch.from_numpy(invert(compose(crop.matrix, to_canonical))).float(),
            name=face.name,
        )

    def _jittered_frame(self, face: Annotation, to_canonical: Matrix, seed: int | None) -> Matrix | None:
        """From the canonical crop of a face's box to that of its box with an error; None for no error."""
        if seed is None or not any(self.jitter):
            return None
        # A stream of its own: with or without an error, augmentation draws the same.
        box = jittered(face.box, *self.jitter, np.random.default_rng((seed, 1)))
        moved = canonical_matrix(box, image_size=self.image_size, padding=self.padding)
        return compose(moved, invert(to_canonical))


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
        box: chooses the box that a face's crop is cut around; None: the tight one of its landmarks.
        box_error: how far the boxes of val and test are off, as shift and scale, see `jittered`.
        padding: side of the cropped square over the longer side of that box.
        cache: a folder for decoded crops, or None to read photos each time.
        workers: processes that prepare batches; 0 for none.
        seed: of order and augmentation.

    Raises:
        KeyposError: if `augment` makes crops of another size.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        augment: Augment,
        image_size: int,
        batch_size: int,
        box: Boxes | None = None,
        box_error: Sequence[float | int] = (0, 0),
        padding: float = 1.25,
        cache: str | Path | None = None,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if augment.image_size != image_size:
            subject, cause = f"augment.image_size={augment.image_size}", f"is not image_size={image_size}"
            raise KeyposError(subject, cause, "set image_size alone; augment follows it")
        self.dataset, self.augment, self.box, self.box_error = dataset, augment, box or Boxes(), box_error
        self.image_size, self.batch_size, self.padding = image_size, batch_size, padding
        self.cache, self.workers, self.seed = cache, workers, seed
        self._annotations: dict[str, list[Annotation]] = {}
        self._faces: dict[str, FaceCrops] = {}

    def annotations(self, split: str) -> list[Annotation]:
        """The faces of `train`, `val` or `test` in the order of their batches; none where the data has none.

        Their boxes are the chosen ones.

        Raises:
            KeyposError: if the data cannot be read, its photos are not there, or a face has no such box.
        """
        if split not in self._annotations:
            faces = self.box.choose(self.dataset.annotations(split))
            if faces and faces[0].file is not None and not faces[0].file.exists():  # no photo was there to look at
                raise KeyposError(faces[0].file, "the photo is missing", "put the folder of photos into data.root")
            moved = split != "train" and any(self.box_error)
            self._annotations[split] = erring(faces, *self.box_error, self.seed) if moved else faces
            _log.info("%s %s: %d faces", self.dataset.name, split, len(self._annotations[split]))
        return self._annotations[split]

    def subsets(self, split: str) -> tuple[str, ...]:
        """The subsets that the faces of a split count in, such as common, challenging, full."""
        columns = zip_longest(*(face.subsets for face in self.annotations(split)))
        return tuple(dict.fromkeys(subset for column in columns for subset in column if subset))

    def mean_face(self) -> Float[Tensor, "k 2"]:
        """Mean place of each landmark in the crops of the training faces, in pixels; of one never seen, the centre."""
        size, seen = self.image_size, []
        for face in self.annotations("train"):
            keypoints = apply(crop_matrix(face.box, size=size, padding=self.padding), face.keypoints)
            seen.append(np.where(face.visible[:, None], keypoints, np.nan))
        mean = torch.from_numpy(np.stack(seen)).nanmean(0)
        return torch.where(mean.isfinite(), mean, (size - 1) / 2).float()

    def setup(self, stage: str | None = None) -> None:
        """Prepares the splits that a stage needs: fit, validate or test; None for all.

        Raises:
            KeyposError: if a split is empty or a face is bad.
        """
        for split in _SPLITS[stage]:
            if split not in self._faces:
                self._faces[split] = self._prepare(split)

    def train_dataloader(self) -> DataLoader[Faces]:
        """Training faces: shuffled and augmented anew each epoch."""
        sampler = TrainSampler(len(self._faces["train"]), self.seed)
        # A last batch of a face or two would upset BatchNorm.
        return self._loader("train", sampler, drop_last=len(sampler) > self.batch_size)

    def val_dataloader(self) -> DataLoader[Faces]:
        """Validation faces, in order."""
        return self._loader("val", EvalSampler(len(self._faces["val"])))

    def test_dataloader(self) -> DataLoader[Faces]:
        """Test faces, in order."""
        return self._loader("test", EvalSampler(len(self._faces["test"])))

    def face(self, split: str, index: int) -> Faces:
        """The crop of `annotations(split)[index]`, not augmented; `setup` has prepared the split."""
        return self._faces[split][index, None]

    def _prepare(self, split: str) -> FaceCrops:
        faces = self.annotations(split)
        if not faces:
            cause = f"holds no faces for the split {split!r}"
            raise KeyposError(f"data={self.dataset.name}", cause, "add the files of that split, or choose other data")
        frame = {"image_size": self.image_size, "padding": self.padding}
        cache = None if self.cache is None else self._open_cache(self.cache, split, **frame)
        return FaceCrops(
            PackedFaces(faces),
            **frame,
            augment=self.augment,
            flip=self.dataset.markup.flip,
            cache=cache,
            jitter=self.box.jitter,
        )

    def _open_cache(self, folder: str | Path, split: str, **frame: Any) -> CachedCrops:
        """Rank 0 makes the cache while the others wait; on machines of their own they make it afterwards."""
        rank, world = rank_and_world()
        if rank > 0:
            torch.distributed.barrier()
        name, workers = f"{self.dataset.name}-{split}", max(self.workers, 1)
        try:
            return cache_crops(folder, name, self.annotations(split), **frame, workers=workers)
        finally:  # also where it fails: the others then fail alike instead of waiting
            if rank == 0 and world > 1:
                torch.distributed.barrier()

    def _loader(self, split: str, sampler: Sampler[Key], *, drop_last: bool = False) -> DataLoader[Faces]:
        return _Loader(
            self._faces[split],
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
            worker_init_fn=_start_worker,
            # The system's own way to start them: joblib's launcher has put another in its place, without workers.
            multiprocessing_context=get_all_start_methods()[0] if self.workers else None,
            # Its own, so that the global one, and dropout with it, goes on as if no data had been read.
            generator=torch.Generator().manual_seed(self.seed),
        )


class _Loader(DataLoader[Faces]):
    """Starts to fetch with the first batch asked for, when Lightning has told the sampler its epoch.

    A resumed run would otherwise begin with the batches of epoch 0 where there are workers.
    """

    def __iter__(self) -> Iterator[Faces]:  # type: ignore[override]
        yield from super().__iter__()


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # workers are the parallelism; threads within them would compete
    gc.freeze()  # collecting what the parent made would write to, and so copy, all of its pages
