"""What the points of one scheme are in terms of another's, so that a network can be measured on data of another.

Each point of the target scheme is the mean of some points of the source; one that stands twice weighs double.

`98 -> 68` takes every second point of the jaw, the upper edge of the brows, and lid points a third of the way from
61 to 62 and so on: the table in the comment of March 2025 on LAB's issue 17, where its author says none is exact.
PIPNet (Jin, Liao, Shao, IJCV 2021; `convert_wflw`) has the same lids, but the middle of the brows' two edges; the
plain subset that much code takes has the same brows, but the points 61, 63, 65, 67 for the lids. Ours lies nearest:

| gap in % of inter-ocular | all | jaw | brows | nose | lids | lips |
|---|---|---|---|---|---|---|
| ours | 2.6 | 2.8 | 2.7 | 1.9 | 0.8 | 4.0 |
| PIPNet | 2.9 | 2.8 | 4.1 | 1.9 | 0.8 | 4.0 |
| plain subset | 3.0 | 2.8 | 2.7 | 1.9 | 2.6 | 4.0 |

between the mean shapes of 4496 near-frontal faces of WFLW, converted, and 1074 of 300-W, laid over each other by
nose, eye corners and mouth corners (at the lips and jaw, part of it is that other faces smile). The widest gap, 7.5,
is at the inner lips (61, 63, 65, 67), which 300-W marks nearer to the middle.

`68 -> 29` is that of the makers of COFW-68 (Ghiasi, Fowlkes, CVPR 2014; `Mapping68kToCofw29` of their detector
HPM). `98 -> 29` is the one after the other, but for the pupils, which both schemes mark. Against the mean shape of
COFW's 1345 training faces (PIPNet's `meanface.txt`, its aspect ratio fitted) both are 1.9 apart on average; widest
are the wings of the nose (68: 5.7) and the inner ends of the brows (98: 5.4).

Such a gap is no error of a network: data sets define a point of one name a little differently, and where they do,
the gap is a floor under the error of one measured on data of another scheme.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import lcm

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.errors import KeyposError
from keyposs.markup import MARKUPS, Markup
from keyposs.markup_entries import points_of

Table = tuple[tuple[int, ...], ...]
"""For each point of the target the points of the source that it is the mean of."""


@dataclass(frozen=True)
class Correspondence:
    """The points of a target scheme as means of points of a source scheme.

    Args:
        source: name of the scheme that is converted.
        target: name of the scheme that it becomes.
        size: how many points the source has.
        table: of each target point.
    """

    source: str
    target: str
    size: int
    table: Table

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"

    @cached_property
    def weights(self) -> Float[Tensor, "m k"]:
        """Of each source point in each target point; a row sums to 1."""
        weights = torch.zeros(len(self.table), self.size, dtype=torch.float64)
        for row, sources in zip(weights, self.table, strict=True):
            for point in sources:
                row[point] += 1 / len(sources)
        return weights

    def convert(self, points: Float[Tensor, "*batch k c"]) -> Float[Tensor, "*batch m c"]:
        """The target's points, or whatever else is linear in them.

        >>> from keyposs.markup import MARKUP_68, MARKUP_98
        >>> wflw = torch.arange(98.0)[:, None].repeat(1, 2)
        >>> correspondence(MARKUP_98, MARKUP_68).convert(wflw)[[0, 1, 36, 37, 30]]
        tensor([[ 0.0000,  0.0000],
                [ 2.0000,  2.0000],
                [60.0000, 60.0000],
                [61.3333, 61.3333],
                [54.0000, 54.0000]])
        """
        return self.weights.to(points) @ points


def correspondence(source: Markup, target: Markup) -> Correspondence:
    """How the points of the target are found from those of the source; the identity for one and the same scheme.

    Raises:
        KeyposError: if no correspondence is known.
    """
    if source == target:
        return Correspondence(source.name, target.name, source.size, tuple((point,) for point in range(source.size)))
    table = CORRESPONDENCES.get((source.name, target.name))
    if table is None or any(MARKUPS[markup.name] != markup for markup in (source, target)):
        raise KeyposError(
            f"markup {source.name}",
            f"has no known correspondence to the {target.size} points of {target.name}",
            f"choose one of {KNOWN}",
        )
    return Correspondence(source.name, target.name, source.size, table)


def compose(first: Table, second: Table) -> Table:
    """The table that goes from the source of the first to the target of the second.

    >>> compose(((0, 1), (2,)), ((0, 1), (0,)))
    ((0, 1, 2, 2), (0, 1))
    """
    return tuple(_mean_of([first[point] for point in sources]) for sources in second)


def _mean_of(means: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    means = list(means)
    weight = lcm(*(len(mean) for mean in means))
    return tuple(point for mean in means for point in mean * (weight // len(mean)))


def _table(*entries: str | int) -> Table:
    """`"a-b"` for a run of points that are each one target; `"a+b+b"` for the mean of points."""
    rows: list[tuple[int, ...]] = []
    for entry in map(str, entries):
        if "+" in entry:
            rows.append(tuple(int(point) for point in entry.split("+")))
        else:
            rows += [(point,) for point in points_of(entry)]
    return tuple(rows)


_98_68 = _table(
    *range(0, 33, 2),  # jaw
    *("33-37", "42-46"),  # upper edges of the brows
    "51-59",  # nose
    *("60", "61+61+62", "63+63+62", "64", "65+65+66", "67+67+66"),  # right eye
    *("68", "69+69+70", "71+71+70", "72", "73+73+74", "75+75+74"),  # left eye
    "76-95",  # lips
)

_68_29 = _table(
    *("17", "26", "21", "22", "19", "17+21", "24", "22+26"),  # brows: corners, then upper and lower edge
    *("36", "45", "39", "42", "37+38", "40+41", "43+44", "46+47"),  # eyes: corners, then upper and lower lid
    *("36+37+38+39+40+41", "42+43+44+45+46+47"),  # pupils
    *("31", "35", "30", "33"),  # nose: wings, tip, base
    *("48+60", "54+64", "50+51+52", "62", "66", "56+57+58"),  # mouth: corners, then the lips from above
    "7+8+9",  # chin
)

_98_29 = compose(_98_68, _68_29)

CORRESPONDENCES: dict[tuple[str, str], Table] = {
    ("98", "68"): _98_68,
    ("68", "29"): _68_29,
    ("98", "29"): (*_98_29[:16], (96,), (97,), *_98_29[18:]),
}
"""By the names of the source and the target scheme."""

KNOWN = ", ".join(" -> ".join(pair) for pair in CORRESPONDENCES)
"""The same, for an error to list."""
