"""Faces against each other: duplicates, and the mean shape against its mirror image."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from keyposs.checks.duplicates import Pair, find_duplicates, groups
from keyposs.checks.findings import NOTE, WRONG, Finding, Section, count
from keyposs.checks.shape import Shape, Symmetry, deviations
from keyposs.checks.survey import Survey
from keyposs.markup import Markup

ASYMMETRY = 0.015
"""Part of its extent by which the mean shape may surely differ from its mirror image.

It is 0.002 on 300-W and 0.006 on WFLW; two neighbours that are swapped make 0.03 to 0.17.
"""

FEWEST = 10
"""Faces that a mean shape takes to be judged."""

UNLIKE = 0.25
"""A face that lies farther from the mean shape, root mean square in parts of its extent, is worth a look.

The farthest of 300-W is 0.14 and of WFLW 0.19; landmarks in another order, or one far astray, make 0.3.
"""


def pairs_of(survey: Survey) -> list[Pair]:
    """The duplicates among the faces whose photos were read."""
    seen = [i for i, view in enumerate(survey.views) if view]
    thumbs = np.array([survey.views[i].thumb for i in seen], dtype=np.uint8).reshape(-1, 64, 64)
    return [pair._replace(first=seen[pair.first], second=seen[pair.second]) for pair in find_duplicates(thumbs)]


def duplicates(survey: Survey, pairs: Sequence[Pair]) -> Section:
    """Groups of faces that are the same picture, by the splits that they join."""
    found: dict[str, list[list[int]]] = {"across train or val and test": [], "across train and val": []}
    found |= {f"within {split}": [] for split in ("train", "val", "test")}
    for group in sorted(groups(pairs, len(survey.faces)), key=len, reverse=True):
        found[_where({survey.splits[i] for i in group})].append(group)
    best = {end: pair for pair in sorted(pairs, key=lambda p: p.likeness) for end in (pair.first, pair.second)}

    def name(group: Sequence[int]) -> str:
        names = " = ".join(f"{survey.faces[i].name} ({survey.splits[i]})" for i in group)
        likeness, mirrored = max(best[i].likeness for i in group), any(best[i].mirrored for i in group)
        return f"{names}: {likeness:.2f}{', mirrored' if mirrored else ''}"

    painted = all(face.file is None for face in survey.faces)  # different by construction, however alike
    findings = [
        Finding(
            WRONG if where.endswith("and test") and not painted else NOTE,
            f"{count(len(of), 'picture')} more than once {where}",
            tuple(map(name, of)),
            "remove them from one side" if where.endswith("and test") and not painted else "",
        )
        for where, of in found.items()
        if of
    ]
    shared = shared_photos(survey)
    if shared:
        text = f"{count(len(shared), 'photo')} with faces both in train or val and in test"
        findings.append(Finding(NOTE, text, tuple(shared)))
    rows = [(where, str(len(of)), str(sum(map(len, of)))) for where, of in found.items()]
    about = (
        "Faces that are the same picture, whatever its file, size or compression, also mirrored; with their likeness."
        if survey.photos
        else "There are no photos."
    )
    rows = rows if survey.photos else [(where, "no photos", "no photos") for where in found]
    return Section("duplicates", "Duplicates", about, ("duplicates", "pictures", "faces"), rows, findings)


def shared_photos(survey: Survey) -> list[str]:
    """Source photos that have faces on both sides: other faces, so no duplicates, but of one scene and camera."""
    sides: dict[bool, dict[str, None]] = {False: {}, True: {}}
    for face, split in zip(survey.faces, survey.splits, strict=True):
        sides[split == "test"][face.photo] = None
    return [photo for photo in sides[True] if photo in sides[False]]


def _where(splits: set[str]) -> str:
    if "test" in splits and len(splits) > 1:
        return "across train or val and test"
    return "across train and val" if len(splits) > 1 else f"within {splits.pop()}"


def flip(survey: Survey, shape: Shape, mirror: Symmetry) -> Section:
    """Whether the mean shape is its own mirror image under the markup's flip, with left on the left; odd faces."""
    names, number = survey.markup.names, len(survey.faces)
    residual, far = np.nan_to_num(mirror.residual), np.nan_to_num(deviations(shape))
    worst = int(residual.argmax())
    findings = _uneven(survey.markup, mirror) + _exchanged(survey.markup, shape) + _unlike(survey, far)
    if number < FEWEST:
        text = f"{count(number, 'face')}: too few to judge the symmetry of their mean"
        findings = [Finding(NOTE, text)] if number else []
    return Section(
        "flip",
        "Mean shape and flip symmetry",
        "Distance of each point of the mean shape from its partner in the mirrored mean shape, in percent of the "
        "shape's longer side. What chance can do with so many faces is taken off before a point counts as wrong.",
        ("mean shape", "value"),
        [
            ("faces", str(number)),
            ("largest distance, %", f"{100 * residual[worst]:.2f} ({worst} {names[worst]})" if number else ""),
            ("beyond chance, %", f"{100 * np.nan_to_num(mirror.sure).max():.2f}" if number else ""),
            ("mean distance, %", f"{100 * residual.mean():.2f}" if number else ""),
            ("a face from the mean: median, largest, %", _two(100 * far)),
        ],
        findings,
    )


def _uneven(markup: Markup, mirror: Symmetry) -> list[Finding]:
    wrong = np.flatnonzero(np.nan_to_num(mirror.sure) > ASYMMETRY)
    order = wrong[np.argsort(-mirror.residual[wrong])]
    items = [f"{i} {markup.names[i]} (mirrors {markup.flip[i]}): {100 * mirror.residual[i]:.1f} %" for i in order]
    text = f"{count(len(wrong), 'point')} of the mean shape not where the mirrored partner is"
    return [Finding(WRONG, text, tuple(items), "mend `mirrored` in the markup")] if items else []


def _exchanged(markup: Markup, shape: Shape) -> list[Finding]:
    items = tuple(sides(markup, shape))
    remedy = "exchange them in the markup, or turn back photos that were mirrored"
    return [Finding(WRONG, "left and right are exchanged", items, remedy)] if items else []


def _unlike(survey: Survey, far: Float[np.ndarray, " n"]) -> list[Finding]:
    items = [f"{survey.faces[i].name}: {far[i]:.2f}" for i in np.argsort(-far, kind="stable") if far[i] > UNLIKE]
    text = f"{count(len(items), 'face')} unlike the mean shape: points in another order, or astray"
    return [Finding(NOTE, text, tuple(items))] if items else []


def _two(values: Float[np.ndarray, " n"]) -> str:
    return f"{np.median(values):.1f}, {values.max():.1f}" if len(values) else ""


def sides(markup: Markup, shape: Shape) -> list[str]:
    """What the markup calls right, but lies left of its counterpart as seen by the person (an image mirrors them)."""
    runs = {contour.name: list(contour.points) for contour in markup.contours}
    partners = {name: (runs[name], runs[name.replace("right", "left")]) for name in runs if _has_left(name, runs)}
    if markup.inter_ocular:
        partners["inter-ocular"] = ([markup.inter_ocular[0]], [markup.inter_ocular[1]])
    if markup.inter_pupil:
        partners["inter-pupil"] = (list(markup.inter_pupil[0]), list(markup.inter_pupil[1]))
    x = shape.mean.real
    return [name for name, (right, left) in partners.items() if x[right].mean() >= x[left].mean()]


def _has_left(name: str, runs: dict[str, list[int]]) -> bool:
    return "right" in name and name.replace("right", "left") in runs
