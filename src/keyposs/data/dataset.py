"""What every dataset on disk shares: where `val` comes from, and what becomes of faces that are bad."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from keyposs.data.gather import Source, decode, gather, look
from keyposs.data.photo import read_photo
from keyposs.data.split import hold_out
from keyposs.errors import KeyposError
from keyposs.markup import NORMS, Markup
from keyposs.types import Annotation, Photo

BAD_FACES = ("error", "skip")

SPLITS = ("train", "val", "test")

SKIP = "data.bad_faces=skip"
OR_SKIP = f", or set {SKIP}"

_log = logging.getLogger(__name__)


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses an unknown setting.

    Raises:
        KeyposError: if the value is none of the known ones.
    """
    if value not in known:
        raise KeyposError(f"{name}={value}", "is unknown", f"choose one of {', '.join(known)}")


class FaceDataset(ABC):
    """Faces in files, as their authors distribute them.

    A subclass says what stands in its files (`sources`); what is common is here. `val` is cut from `train` by
    `hold_out`, unless the subclass has sources of its own for it.

    Args:
        root: the folder of the data.
        norm: the normaliser of errors, one of `markup.norms`.
        bad_faces: `error`, or `skip` to report and leave out what cannot be read.

    Raises:
        KeyposError: if a setting is unknown.
    """

    name: str
    """As `data=` and tables call it."""

    markup: Markup

    threshold: float = 0.10
    """Of FR and AUC."""

    official: ClassVar[Mapping[str, int]] = {}
    """How many faces the authors count: of a split (`train` holds `val`), a test subset, or a folder of names."""

    face_box_norm: bool = False
    """Whether the norms `box` and `diagonal` are of the dataset's own face box, not of the landmarks' tight one."""

    photos: bool = True
    """Whether there are pictures of the faces; without any the annotations can be used, but not trained on."""

    def __init__(self, root: str | Path | None, *, norm: str = "inter-ocular", bad_faces: str = "error") -> None:
        if root is None:
            raise KeyposError("data.root", "is not given", "add data.root=... to the command")
        check_norm(norm, self.markup)
        check_choice("data.bad_faces", bad_faces, BAD_FACES)
        self.root, self.norm, self.bad_faces = Path(root).expanduser(), norm, bad_faces

    @abstractmethod
    def sources(self, split: str) -> Sequence[Source]:
        """The faces of an official split, train, val or test, in a fixed order; none where there is no such split.

        Raises:
            KeyposError: if the files that list them are missing or broken.
        """

    def annotations(self, split: str) -> list[Annotation]:
        """The faces of `train`, `val` or `test`.

        Raises:
            KeyposError: if the files are missing, or if a face is bad and not to be skipped.
        """
        check_choice("split", split, SPLITS)
        return self._test if split == "test" else self._train_and_val[split == "val"]

    def gather(self, split: str) -> tuple[list[Annotation], list[KeyposError]]:
        """All good faces of an official split, and what is wrong with the others; photos are looked at, not decoded."""
        return gather(self.sources(split), look if self.photos else None)

    def cut(self, train: list[Annotation], val: list[Annotation]) -> tuple[list[Annotation], list[Annotation]]:
        """The faces to train on and to validate on; `val` is cut from `train` where the authors give none."""
        return (train, val) if val else hold_out(train)

    def describe(
        self,
        source: Path | str,
        keypoints: Float[np.ndarray, "k 2"],
        *,
        name: str,
        photo: str,
        file: Path,
        read: Callable[[], Photo] | None = None,
        subsets: tuple[str, ...] = ("all",),
        visible: Bool[np.ndarray, " k"] | None = None,
        occluded: Bool[np.ndarray, " k"] | None = None,
        face_box: Float[np.ndarray, " 4"] | None = None,
    ) -> Annotation:
        """The annotation of a face.

        Args:
            source: what errors name: the file, and the line or number in it.
            keypoints: in pixels of the stored photo; what is not visible may be anything.
            name: unique in the dataset.
            photo: the source photo, for the split.
            file: what the photo is read from.
            read: reads it; by default `file` is the photo.
            subsets: the test subsets that it counts in.
            visible: which points are annotated; by default all.
            occluded: which points are hidden; by default none.
            face_box: x0, y0, x1, y1 as the dataset gives it; one without an area counts as none.

        Raises:
            KeyposError: if the points are not finite or coincide, so that there is no crop or norm.
        """
        visible = np.ones(len(keypoints), dtype=bool) if visible is None else visible
        occluded = np.zeros(len(keypoints), dtype=bool) if occluded is None else occluded
        box, face_box = _tight_box(source, keypoints[visible]), _with_area(face_box)
        keypoints = np.where(visible[:, None], keypoints, 0.0)
        norm_box = face_box if self.face_box_norm and face_box is not None else box
        length = self.markup.norm(self.norm, keypoints, visible, norm_box)
        if not (np.isfinite(length) and length > 0):
            raise KeyposError(source, *_no_norm(self.norm, length))
        return Annotation(
            name=name,
            photo=photo,
            file=file,
            subsets=subsets,
            keypoints=keypoints,
            visible=visible,
            occluded=occluded,
            box=box,
            face_box=face_box,
            norm=length,
            read=read or partial(read_photo, file),
        )

    @cached_property
    def _train_and_val(self) -> tuple[list[Annotation], list[Annotation]]:
        return self.cut(self._read("train"), self._read("val"))

    @cached_property
    def _test(self) -> list[Annotation]:
        return self._read("test")

    def _read(self, split: str) -> list[Annotation]:
        sources = self.sources(split)
        # Where bad faces are skipped each photo is decoded once, so that none can stop a training later.
        at = decode if self.bad_faces == "skip" else look
        good, errors = gather(sources, at if self.photos else None)
        if errors and (self.bad_faces == "error" or not good):
            raise _first_of(errors, skipping=self.bad_faces == "skip")
        for error in errors:
            _log.warning("skipped a bad face: %s: %s", error.subject, error.cause)
        if errors:
            _log.warning("skipped %d bad %s of %d", len(errors), _faces(len(errors)), len(sources))
        return good


def check_norm(norm: str, markup: Markup) -> None:
    """Refuses a norm that is unknown, or that the markup has no points for.

    Raises:
        KeyposError: naming it.
    """
    if norm in NORMS and norm not in markup.norms:
        cause = f"is not for markup {markup.name}, which has no eyes' points for it"
        raise KeyposError(f"data.norm={norm}", cause, f"choose one of {', '.join(markup.norms)}")
    check_choice("data.norm", norm, markup.norms)


def _first_of(errors: Sequence[KeyposError], *, skipping: bool) -> KeyposError:
    """One error for all: the first, how many more there are, and `SKIP` as a remedy unless it is set already."""
    first, rest = errors[0], len(errors) - 1
    more, remedy = f" (and {rest} more bad {_faces(rest)})" if rest else "", first.remedy.replace(OR_SKIP, "")
    return KeyposError(first.subject, first.cause + more, remedy if skipping else remedy + OR_SKIP)


def _faces(number: int) -> str:
    return "face" if number == 1 else "faces"


def _tight_box(source: Path | str, seen: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " 4"]:
    """Of the visible landmarks.

    Raises:
        KeyposError: if they are none, not finite, or all in one place.
    """
    remedy = f"mend or remove the annotation{OR_SKIP}"
    if not (len(seen) and np.isfinite(seen).all()):
        cause = "its landmarks are not finite" if len(seen) else "it has no annotated landmark"
        raise KeyposError(source, cause, remedy)
    low, high = seen.min(0), seen.max(0)
    if not (high > low).any():
        raise KeyposError(source, "its landmarks coincide: their box has no extent", remedy)
    return np.concatenate([low, high])


def _with_area(box: Float[np.ndarray, " 4"] | None) -> Float[np.ndarray, " 4"] | None:
    return box if box is not None and np.isfinite(box).all() and (box[2:] > box[:2]).all() else None


def _no_norm(norm: str, length: float) -> tuple[str, str]:
    """Cause and remedy of a face whose errors cannot be normalised."""
    if np.isnan(length):
        return f"the landmarks of its {norm} norm are not annotated", "choose data.norm=box" + OR_SKIP
    return f"its landmarks coincide: the {norm} norm is {length}", "mend or remove the annotation" + OR_SKIP
