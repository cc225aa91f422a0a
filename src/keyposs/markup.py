"""What the points of a scheme mean: contours to draw, mirrored partners, and the pairs that normalise an error."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

NORMS = ("inter-ocular", "inter-pupil", "box", "diagonal")
"""The normalisers of the field: outer eye corners, pupils (or eye centres), box size, box diagonal."""


class Contour(NamedTuple):
    """A run of points that belong to one line of the face."""

    name: str
    points: tuple[int, ...]
    closed: bool = False


@dataclass(frozen=True)
class Markup:
    """A scheme of landmarks.

    Args:
        name: how the scheme is called, such as "68".
        contours: every point stands in at least one; drawn in this order.
        mirrored: pairs that change places when the face is mirrored; the other points stay.
        inter_ocular: the outer corners of the right and the left eye.
        inter_pupil: the points whose means are the centres of the right and the left eye.
    """

    name: str
    contours: tuple[Contour, ...]
    mirrored: tuple[tuple[int, int], ...]
    inter_ocular: tuple[int, int]
    inter_pupil: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def size(self) -> int:
        """How many points the scheme has."""
        return 1 + max(max(contour.points) for contour in self.contours)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each point, from the first contour that holds it.

        >>> MARKUP_68.names[36], MARKUP_68.names[45]
        ('right eye 0', 'left eye 3')
        """
        found: dict[int, str] = {}
        for contour in self.contours:
            for i, point in enumerate(contour.points):
                found.setdefault(point, f"{contour.name} {i}")
        return tuple(found[point] for point in range(self.size))

    @property
    def flip(self) -> tuple[int, ...]:
        """The permutation of points that belongs to a mirrored image: an involution."""
        order = list(range(self.size))
        for a, b in self.mirrored:
            order[a], order[b] = b, a
        return tuple(order)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, for a checkpoint or a yaml."""
        plain = asdict(self)
        plain["contours"] = [contour._asdict() for contour in self.contours]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Markup":
        """The scheme that `to_dict` wrote down.

        >>> Markup.from_dict(MARKUP_98.to_dict()) == MARKUP_98
        True
        """
        right, left = plain["inter_pupil"]
        return cls(
            name=plain["name"],
            contours=tuple(Contour(c["name"], tuple(c["points"]), c["closed"]) for c in plain["contours"]),
            mirrored=tuple((a, b) for a, b in plain["mirrored"]),
            inter_ocular=(plain["inter_ocular"][0], plain["inter_ocular"][1]),
            inter_pupil=(tuple(right), tuple(left)),
        )

    def norm(
        self,
        kind: str,
        keypoints: Float[np.ndarray, "k 2"],
        visible: Bool[np.ndarray, " k"],
        box: Float[np.ndarray, " 4"],
    ) -> float:
        """The normaliser of a face's error, in the unit of its keypoints; NaN where its points are not visible.

        Args:
            kind: `inter-ocular` (outer eye corners), `inter-pupil` (means of the eyes' points), `box`
                (square root of the box's area) or `diagonal` (of the box).
            keypoints: of one face.
            visible: which of them are annotated.
            box: x0, y0, x1, y1.

        Raises:
            ValueError: if the kind is unknown.
        """
        if kind not in NORMS:
            raise ValueError(f"norm={kind!r} is unknown; choose one of {', '.join(NORMS)}")
        if kind in ("box", "diagonal"):
            width, height = box[2:] - box[:2]
            return float(np.sqrt(width * height) if kind == "box" else np.hypot(width, height))
        if kind == "inter-ocular":
            right, left = [self.inter_ocular[0]], [self.inter_ocular[1]]
        else:
            right, left = list(self.inter_pupil[0]), list(self.inter_pupil[1])
        if not visible[right + left].all():
            return float("nan")
        return float(np.linalg.norm(keypoints[right].mean(0) - keypoints[left].mean(0)))


def _run(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _mirror(*runs: tuple[int, int, int]) -> tuple[tuple[int, int], ...]:
    """Pairs (i, total - i) for i in first..last, per run (first, last, total)."""
    return tuple((i, total - i) for first, last, total in runs for i in range(first, last + 1))


MARKUP_68 = Markup(
    name="68",
    contours=(
        Contour("jaw", _run(0, 16)),
        Contour("right brow", _run(17, 21)),
        Contour("left brow", _run(22, 26)),
        Contour("nose bridge", _run(27, 30)),
        Contour("nostrils", _run(31, 35)),
        Contour("right eye", _run(36, 41), closed=True),
        Contour("left eye", _run(42, 47), closed=True),
        Contour("outer lips", _run(48, 59), closed=True),
        Contour("inner lips", _run(60, 67), closed=True),
    ),
    mirrored=(
        *_mirror((0, 7, 16), (17, 21, 43), (31, 32, 66), (36, 39, 81)),
        *((40, 47), (41, 46)),
        *_mirror((48, 50, 102)),
        *((55, 59), (56, 58), (60, 64), (61, 63), (65, 67)),
    ),
    inter_ocular=(36, 45),
    inter_pupil=(_run(36, 41), _run(42, 47)),
)
"""Multi-PIE / iBUG 68 points, as in 300-W and COCO-WholeBody. "Right" is the person's right."""

MARKUP_98 = Markup(
    name="98",
    contours=(
        Contour("jaw", _run(0, 32)),
        Contour("right brow", _run(33, 41), closed=True),
        Contour("left brow", _run(42, 50), closed=True),
        Contour("nose bridge", _run(51, 54)),
        Contour("nostrils", _run(55, 59)),
        Contour("right eye", _run(60, 67), closed=True),
        Contour("left eye", _run(68, 75), closed=True),
        Contour("outer lips", _run(76, 87), closed=True),
        Contour("inner lips", _run(88, 95), closed=True),
        Contour("right pupil", (96,)),
        Contour("left pupil", (97,)),
    ),
    mirrored=(
        *_mirror((0, 15, 32)),
        *((33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47)),
        *_mirror((55, 56, 114), (60, 64, 132)),
        *((65, 75), (66, 74), (67, 73)),
        *_mirror((76, 78, 158)),
        *((83, 87), (84, 86)),
        *_mirror((88, 89, 180)),
        *((93, 95), (96, 97)),
    ),
    inter_ocular=(60, 72),
    inter_pupil=((96,), (97,)),
)
"""WFLW's 98 points."""
