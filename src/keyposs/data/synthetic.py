"""Rendered faces whose landmarks are exact: the dataset that needs no download."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import numpy as np

from keyposs.data.dataset import SPLITS, check_choice, check_norm
from keyposs.data.rendering.face import render_face
from keyposs.data.rendering.look import draw_look
from keyposs.data.rendering.scene import draw_scene
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68
from keyposs.types import Annotation


class Synthetic:
    """Procedural faces with the 68 points of 300-W, exact to a fraction of a pixel.

    Face `i` of a split depends on nothing but the seed, the split and `i`: a longer split begins with the
    shorter one.

    Args:
        train: how many faces to train on.
        val: how many to choose by.
        test: how many to test on.
        seed: of the faces; the seed of a training does not change them.
        norm: normaliser of the error, one of `keyposs.markup.NORMS`.

    Raises:
        KeyposError: if a size or the seed is negative or the norm is unknown.
    """

    name = "synthetic"
    markup = MARKUP_68
    threshold = 0.10
    photos = True
    official: ClassVar[Mapping[str, int]] = {}

    def __init__(
        self,
        *,
        train: int = 1200,
        val: int = 150,
        test: int = 300,
        seed: int = 0,
        norm: str = "inter-ocular",
    ) -> None:
        self.sizes = dict(zip(SPLITS, (train, val, test), strict=True))
        for setting, value in {**self.sizes, "seed": seed}.items():
            if value < 0:
                raise KeyposError(f"data.{setting}={value}", "is negative", "give 0 or more")
        check_norm(norm, self.markup)
        self.seed, self.norm = seed, norm

    def annotations(self, split: str) -> list[Annotation]:
        """The faces of a split; nothing is painted before a face's `read`.

        Raises:
            KeyposError: if the split is unknown.
        """
        check_choice("split", split, SPLITS)
        return [self._annotation(split, i) for i in range(self.sizes[split])]

    def gather(self, split: str) -> tuple[list[Annotation], list[KeyposError]]:
        """The faces of a split, as `FaceDataset` gives them; none is ever bad."""
        return self.annotations(split), []

    def cut(self, train: list[Annotation], val: list[Annotation]) -> tuple[list[Annotation], list[Annotation]]:
        """Both as they are, as `FaceDataset` does where the authors give a `val`."""
        return train, val

    def _annotation(self, split: str, index: int) -> Annotation:
        key = (self.seed, SPLITS.index(split), index)
        scene = draw_scene(key)
        keypoints, visible = scene.keypoints, np.ones(MARKUP_68.size, dtype=bool)
        occluded = scene.occluded
        if draw_look(key).glasses == "dark":
            occluded[36:48] = True
        box = np.concatenate([keypoints.min(0), keypoints.max(0)])
        name = f"{self.name}/{split}/{index:05d}"
        return Annotation(
            name=name,
            photo=name,
            file=None,
            subsets=("all",),
            keypoints=keypoints,
            visible=visible,
            occluded=occluded,
            box=box,
            face_box=None,
            norm=MARKUP_68.norm(self.norm, keypoints, visible, box),
            read=partial(render_face, key),
        )
