"""Where the landmarks lie: on the photo, in the box, in the crop."""

from typing import Any

import numpy as np
from jaxtyping import Float

from keyposs.checks.findings import NOTE, WRONG, Finding, Section, count, row
from keyposs.checks.survey import Survey
from keyposs.data.boxes import overlap
from keyposs.data.dataset import SPLITS

FAR = 1.0
"""A landmark that lies off the photo by more than this many face sides is wrong."""

ODD_CROP = 3.0
"""A crop side over norm of more than this many medians is worth a look."""

LOW_IOU = 0.3
"""A dataset's face box that overlaps the landmarks' box less than this is worth a look."""


def outside_photo(survey: Survey) -> Float[np.ndarray, "n k"]:
    """How far each landmark lies off the photo, in sides of its face as seen on the photo; NaN where unknown.

    A photo reaches half a pixel beyond the centres of its outer pixels.
    """
    points, edge = survey.keypoints, survey.sizes[:, None] - 0.5
    inside = np.clip(points, -0.5, edge)
    distance = np.linalg.norm(points - inside, axis=-1)
    low, high = (np.where(np.isnan(inside), fill, inside) for fill in (np.inf, -np.inf))
    side = (high.max(1, initial=-np.inf) - low.min(1, initial=np.inf)).max(1, initial=0)
    return distance / np.maximum(side, 1.0)[:, None]


def points(survey: Survey) -> Section:
    """Landmarks off the photo, the box and the crop."""
    off = outside_photo(survey)
    worst = _largest(off)
    far, little = worst > FAR, (worst > 0) & (worst <= FAR)
    beyond = beyond_crop(survey)
    cut = _largest(beyond)
    found = (
        (WRONG, "far off the photo", worst, far, "mend or remove their annotations"),
        (NOTE, "a little off the photo", worst, little, ""),
        (NOTE, "outside the crop, where none can be found", cut, cut > 0, ""),
    )
    findings = [
        Finding(level, f"{count(int(mask.sum()), 'face')} with points {where}", _name(survey, values, mask), remedy)
        for level, where, values, mask, remedy in found
        if mask.any()
    ]
    low, high = survey.boxes[:, None, :2], survey.boxes[:, None, 2:]
    out_of_box = ((survey.keypoints < low) | (survey.keypoints > high)).any(-1)
    known = np.isfinite(survey.keypoints[..., 0])
    return Section(
        "points",
        "Points outside",
        "Landmarks off the photo, by how many sides of the face; outside the chosen box, and outside the crop.",
        ("points", *SPLITS),
        [
            row("all points", survey.masks, lambda m: str(known[m].sum())),
            row("off the photo", survey.masks, lambda m: _sum(off[m] > 0) if survey.photos else "no photos"),
            row("farthest, sides", survey.masks, lambda m: f"{worst[m].max():.2f}" if survey.photos else "no photos"),
            row("outside the box", survey.masks, lambda m: _sum(out_of_box[m])),
            row("outside the crop", survey.masks, lambda m: _sum(beyond[m] > 0)),
        ],
        findings,
    )


def beyond_crop(survey: Survey) -> Float[np.ndarray, "n k"]:
    """How far each landmark lies outside the crop, in crop sides."""
    centre, side = (survey.boxes[:, :2] + survey.boxes[:, 2:]) / 2, np.maximum(survey.sides, 1e-9)
    away = np.abs(survey.keypoints - centre[:, None]).max(-1)
    return np.maximum(away / side[:, None] - 0.5, 0)


def crops(survey: Survey) -> Section:
    """S/D, crop side over norm: what a pixel of the crop costs."""
    ratio = crop_over_norm(survey)
    good = np.isfinite(ratio)
    odd = good & (ratio > ODD_CROP * np.median(ratio[good])) if good.any() else good
    text = f"{count(int(odd.sum()), 'face')} with a crop of more than {ODD_CROP:g} times the usual S/D"
    findings = [Finding(NOTE, text, _name(survey, ratio, odd))] if odd.any() else []
    cost = 100 / survey.image_size

    def mean(mask: Any, by: float, form: str) -> str:
        return f"{by * ratio[mask & good].mean():{form}}" if (mask & good).any() else ""

    def ends(mask: Any) -> str:
        seen = ratio[mask & good]
        return f"{seen.min():.2f}/{seen.max():.2f}" if len(seen) else ""

    return Section(
        "crops",
        "S/D: crop side over norm",
        f"A crop is {survey.padding:g} times the longer side of the box. An error of one pixel in a crop of "
        f"{survey.image_size} costs a face S/D / {survey.image_size} of NME.",
        ("S/D", *SPLITS),
        [
            row("S/D, mean", survey.masks, lambda m: mean(m, 1, ".3f")),
            row("S/D, range", survey.masks, ends),
            row("pixel, % NME", survey.masks, lambda m: mean(m, cost, ".3f")),
        ],
        findings,
    )


def crop_over_norm(survey: Survey) -> Float[np.ndarray, " n"]:
    """S/D of each face; NaN where the norm is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(survey.norms > 0, survey.sides / survey.norms, np.nan)


def boxes(survey: Survey) -> Section:
    """The landmarks' extent against the chosen box, and the dataset's own boxes against the landmarks'."""
    longer = [(b[:, 2:] - b[:, :2]).max(1, initial=0) for b in (survey.tight, survey.boxes)]
    extent = longer[0] / np.maximum(longer[1], 1e-9)
    own = [face.face_box for face in survey.faces]
    pairs = zip(own, survey.tight, strict=True)
    shared = np.array([np.nan if box is None else overlap(tight, box[None])[0] for box, tight in pairs])
    low = shared < LOW_IOU
    text = f"{count(int(low.sum()), 'face')} whose own box overlaps the landmarks' by less than {LOW_IOU:g} (IoU)"
    findings = [Finding(NOTE, text, _name(survey, -shared, low, sign=-1))] if low.any() else []
    if survey.boxless:
        text = f"{count(len(survey.boxless), 'face')} without the box chosen"
        findings.append(Finding(WRONG, text, tuple(survey.boxless), "add their boxes, or choose another box"))

    def of_overlap(mask: Any) -> str:
        seen = shared[mask & np.isfinite(shared)]
        return f"{seen.min():.2f}/{np.median(seen):.2f}" if len(seen) else "none"

    return Section(
        "boxes",
        "Boxes",
        "Longer side of the landmarks' box over that of the chosen box: 5th, 50th and 95th percentile; and the overlap "
        "(IoU) of the dataset's own face box with the landmarks': least and median.",
        ("boxes", *SPLITS),
        [
            row("extent over box", survey.masks, lambda m: _percentiles(extent[m])),
            row("own face boxes", survey.masks, lambda m: str(np.isfinite(shared[m]).sum())),
            row("their IoU", survey.masks, of_overlap),
        ],
        findings,
    )


def _percentiles(values: Float[np.ndarray, " n"]) -> str:
    return "/".join(f"{value:.2f}" for value in np.percentile(values, (5, 50, 95)))


def _largest(of_points: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Of each face; 0 where nothing is known."""
    return np.nan_to_num(of_points, nan=0.0).max(1, initial=0)


def _sum(flags: Any) -> str:
    return str(int(flags.sum()))


def _name(survey: Survey, values: Any, mask: Any, *, sign: int = 1) -> tuple[str, ...]:
    """The chosen faces with their values, the largest first."""
    order = sorted(np.flatnonzero(mask), key=lambda i: (-values[i], i))
    return tuple(f"{survey.faces[i].name}: {sign * values[i]:.2f}" for i in order)
