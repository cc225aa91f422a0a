"""What the points of a scheme mean: contours to draw, mirrored partners, and the pairs that normalise an error."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float

from keyposs.errors import KeyposError
from keyposs.markup_entries import MOST, Contour, contour_of, count_of, groups_of, pair_of, pairs_of
from keyposs.schemes import SCHEMES

NORMS = ("inter-ocular", "inter-pupil", "box", "diagonal")
"""The normalisers of the field: outer eye corners, pupils (or eye centres), box size, box diagonal."""

T = TypeVar("T")


@dataclass(frozen=True)
class Markup:
    """A scheme of landmarks.

    Args:
        name: how the scheme is called, such as "68".
        contours: the lines of the face, drawn in this order; a point may stand in none.
        mirrored: pairs that change places when the face is mirrored; the other points stay.
        inter_ocular: the outer corners of the right and the left eye; None where the scheme has none.
        inter_pupil: the points whose means are the centres of the right and the left eye; None likewise.
        size: how many points the scheme has; 0: as many as the highest number in the other fields says.

    Raises:
        KeyposError: if a point is out of range, or stands in two mirrored pairs.
    """

    name: str
    contours: tuple[Contour, ...]
    mirrored: tuple[tuple[int, int], ...]
    inter_ocular: tuple[int, int] | None = None
    inter_pupil: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    size: int = 0

    def __post_init__(self) -> None:
        entries = {
            **{f"contour {contour.name!r}": contour.points for contour in self.contours},
            **{f"mirrored pair [{a}, {b}]": (a, b) for a, b in self.mirrored},
            "inter_ocular": self.inter_ocular or (),
            "inter_pupil": sum(self.inter_pupil or (), ()),
        }
        highest = max((point for points in entries.values() for point in points), default=-1)
        object.__setattr__(self, "size", self.size or 1 + highest)
        if not 1 <= self.size <= MOST:
            self._fail(f"has {self.size} points", f"give contours, or a size from 1 to {MOST}")
        for entry, points in entries.items():
            for point in points:
                if not 0 <= point < self.size:
                    self._fail(
                        f"{entry} holds point {point}, but its {self.size} points are 0-{self.size - 1}",
                        "count points from 0, and mend the entry or size",
                    )
        seen: set[int] = set()
        for a, b in self.mirrored:
            if a == b or {a, b} & seen:
                self._fail(f"mirrored pair [{a}, {b}] takes a point twice", "give each point one partner at most")
            seen |= {a, b}

    def _fail(self, cause: str, remedy: str) -> None:
        raise KeyposError(f"markup {self.name}", cause, remedy)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each point, from the first contour that holds it; a contour of one point is its name.

        >>> MARKUP_68.names[36], MARKUP_68.names[45], MARKUP_98.names[96], Markup("own", (), (), size=8).names[7]
        ('right eye 0', 'left eye 3', 'right pupil', 'point 7')
        """
        found: dict[int, str] = {}
        for contour in self.contours:
            for i, point in enumerate(contour.points):
                found.setdefault(point, f"{contour.name} {i}" if len(contour.points) > 1 else contour.name)
        return tuple(found.get(point, f"point {point}") for point in range(self.size))

    @property
    def flip(self) -> tuple[int, ...]:
        """The permutation of points that belongs to a mirrored image: an involution."""
        order = list(range(self.size))
        for a, b in self.mirrored:
            order[a], order[b] = b, a
        return tuple(order)

    @property
    def norms(self) -> tuple[str, ...]:
        """The normalisers that the scheme has the points for.

        >>> Markup("own", (), (), inter_ocular=(0, 1)).norms
        ('inter-ocular', 'box', 'diagonal')
        """
        missing = {"inter-ocular": self.inter_ocular is None, "inter-pupil": self.inter_pupil is None}
        return tuple(kind for kind in NORMS if not missing.get(kind, False))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, for a checkpoint or a yaml."""
        plain = asdict(self)
        plain["contours"] = [contour._asdict() for contour in self.contours]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Markup":
        """The scheme that `to_dict` wrote down, or that somebody wrote by hand.

        Args:
            plain: the fields of a Markup; only `name` must be there. Points are numbers from 0 or runs like
                `"0-16"`, mirrored pairs are `[a, b]` or runs like `"0-7:16-9"`; see `keyposs.markup_entries`.

        Raises:
            KeyposError: if an entry is unknown, or not what it should be.

        >>> Markup.from_dict(MARKUP_98.to_dict()) == MARKUP_98
        True
        >>> Markup.from_dict({"name": "brows", "mirrored": ["0-4:9-5"]}).flip
        (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
        """
        if plain.get("name") is None:
            raise KeyposError(f"markup {dict(plain)}", "has no name", "give name, contours and mirrored pairs")
        name = str(plain["name"])
        for key in plain:
            if key not in cls.__dataclass_fields__:
                known = ", ".join(cls.__dataclass_fields__)
                raise KeyposError(f"markup {name}", f"has the unknown entry {key!r}", f"choose from {known}")

        def entry(key: str, read: Callable[[Any], T], absent: T) -> T:
            value = plain.get(key)
            try:
                return absent if value is None else read(value)
            except (ValueError, TypeError) as error:
                raise KeyposError(f"markup {name}", f"{key}: {error}", f"mend its {key}") from error

        return cls(
            name=name,
            contours=entry("contours", lambda value: tuple(map(contour_of, value)), ()),
            mirrored=entry("mirrored", pairs_of, ()),
            inter_ocular=entry("inter_ocular", pair_of, None),
            inter_pupil=entry("inter_pupil", groups_of, None),
            size=entry("size", count_of, 0),
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
            kind: one of `norms`: `inter-ocular` (outer eye corners), `inter-pupil` (means of the eyes' points),
                `box` (square root of the box's area) or `diagonal` (of the box).
            keypoints: of one face.
            visible: which of them are annotated.
            box: x0, y0, x1, y1.

        Raises:
            ValueError: if the kind is unknown, or the scheme has no points for it.
        """
        if kind not in self.norms:
            cause = f"is not for markup {self.name}" if kind in NORMS else "is unknown"
            raise ValueError(f"norm={kind!r} {cause}; choose one of {', '.join(self.norms)}")
        if kind in ("box", "diagonal"):
            width, height = box[2:] - box[:2]
            return float(np.sqrt(width * height) if kind == "box" else np.hypot(width, height))
        if kind == "inter-ocular":
            assert self.inter_ocular is not None
            right, left = ([point] for point in self.inter_ocular)
        else:
            assert self.inter_pupil is not None
            right, left = (list(points) for points in self.inter_pupil)
        if not visible[right + left].all():
            return float("nan")
        return float(np.linalg.norm(keypoints[right].mean(0) - keypoints[left].mean(0)))


def markup_of(spec: str | int | Mapping[str, Any]) -> Markup:
    """A scheme by the name of a known one, or spelt out as for `Markup.from_dict`.

    Raises:
        KeyposError: if the name is unknown, or the entries are wrong.

    >>> markup_of("98").size
    98
    """
    if isinstance(spec, Mapping):
        return Markup.from_dict(spec)
    if str(spec) not in MARKUPS:
        raise KeyposError(
            f"markup={spec}",
            "is no known scheme",
            f"choose one of {', '.join(MARKUPS)}, or write its name, contours and mirrored pairs",
        )
    return MARKUPS[str(spec)]


MARKUPS = {scheme["name"]: Markup.from_dict(scheme) for scheme in SCHEMES}
"""The schemes of the field by their names; what their points are stands in `keyposs.schemes`."""

MARKUP_19, MARKUP_29, MARKUP_68, MARKUP_98 = (MARKUPS[name] for name in ("19", "29", "68", "98"))
