"""The contact sheet: faces as they were read, typical and odd ones, and their mean shape."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from keyposs import viz
from keyposs.checks.duplicates import Pair
from keyposs.checks.geometry import crop_over_norm, outside_photo
from keyposs.checks.shape import Shape, Symmetry, deviations
from keyposs.checks.survey import Survey, near, tight_box
from keyposs.crop import apply, crop_matrix, warp
from keyposs.errors import KeyposError
from keyposs.files import readable
from keyposs.markup import Markup
from keyposs.plots import draw

COLUMNS = 8
TILE = 320
AROUND = 1.7
"""Side of a tile over the longer side of what it shows, box and landmarks."""

BOX = (40, 150, 255)
LEFT, RIGHT, MIDDLE = "tab:blue", "tab:orange", "0.35"


class Tile(NamedTuple):
    """A face on the sheet."""

    image: UInt8[np.ndarray, "h w 3"]
    name: str
    why: str


def choose(survey: Survey, shape: Shape, pairs: Sequence[Pair], number: int) -> list[tuple[int, str]]:
    """Faces to draw, and why: the odd ones first, then typical ones, in an order that only names decide on."""
    seen = np.array([view is not None for view in survey.views], dtype=bool)
    portion = max(number // 8, 1)
    chosen: dict[int, str] = {}
    for pair in sorted(pairs, key=lambda p: (not _crosses(survey, p), -p.likeness))[:portion]:
        if not {pair.first, pair.second} & chosen.keys():
            kind = "mirrored" if pair.mirrored else "same picture"
            chosen |= {i: f"{survey.splits[i]}, {kind} {pair.likeness:.2f}" for i in (pair.first, pair.second)}
    ratio = crop_over_norm(survey)
    for values, why in (
        (np.nan_to_num(outside_photo(survey)).max(1, initial=0), "off the photo {:.2f}"),
        (np.nan_to_num(ratio), "S/D {:.2f}"),
        (-np.nan_to_num(ratio, nan=np.inf, posinf=np.inf), "S/D {:.2f}"),
        (np.nan_to_num(deviations(shape)), "unlike the mean {:.2f}"),
    ):
        worst = [i for i in np.argsort(-values, kind="stable") if seen[i] and i not in chosen and values[i] != 0]
        chosen |= {int(i): why.format(abs(values[i])) for i in worst[:portion] if np.isfinite(values[i])}
    rest = [i for i in np.flatnonzero(seen) if i not in chosen]
    rest.sort(key=lambda i: hashlib.sha256(survey.faces[i].name.encode(errors="surrogateescape")).digest())
    chosen |= {int(i): survey.splits[i] for i in rest}
    return list(chosen.items())[:number]


def _crosses(survey: Survey, pair: Pair) -> bool:
    return (survey.splits[pair.first] == "test") != (survey.splits[pair.second] == "test")


def tiles(survey: Survey, chosen: Sequence[tuple[int, str]]) -> list[Tile]:
    """Draws the chosen faces; one that cannot be read any more is left out."""

    def attempt(choice: tuple[int, str]) -> Tile | None:
        try:
            return Tile(tile(survey, choice[0]), readable(survey.faces[choice[0]].name), choice[1])
        except KeyposError:
            return None

    with ThreadPoolExecutor(2) as pool:
        return [found for found in pool.map(attempt, chosen) if found]


def tile(survey: Survey, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """A face with its landmarks, its contours and its box; a landmark pales where it is occluded."""
    face, size = survey.faces[index], viz.SMALLEST
    photo = face.read()
    tight = tight_box(face)
    frame = np.concatenate([np.minimum(face.box, tight)[:2], np.maximum(face.box, tight)[2:]])
    frame = near(frame, photo)
    frame[2:] = np.maximum(frame[2:], frame[:2] + 1)
    matrix = crop_matrix(frame, size=size, padding=AROUND)
    points = apply(matrix, np.where(face.visible[:, None], face.keypoints, np.nan))
    picture = warp(photo, matrix, size)
    corners = apply(matrix, face.box.reshape(2, 2))
    (x0, y0), (x1, y1) = np.rint(np.clip(corners, -size, 2 * size)).astype(int)
    cv2.rectangle(picture, (int(x0), int(y0)), (int(x1), int(y1)), BOX, 2, cv2.LINE_AA)
    scores = np.where(face.occluded, 0.3, 1.0)
    return cv2.resize(
        viz.overlay(picture, None, points, survey.markup, scores=scores, scale=1),
        (TILE, TILE),
        interpolation=cv2.INTER_AREA,
    )


def contact_sheet(pictures: Sequence[Tile], mean: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """All tiles in rows with their captions, and the mean shape below."""
    if not pictures:
        return mean
    captions = [f"{name}: {why}" for _, name, why in pictures]
    sheet = viz.sheet([picture.image for picture in pictures], columns=COLUMNS, captions=captions)
    paper = np.full((len(sheet) + len(mean), max(sheet.shape[1], mean.shape[1]), 3), 255, np.uint8)
    paper[: len(sheet), : sheet.shape[1]] = sheet
    paper[len(sheet) :, : mean.shape[1]] = mean
    return paper


def mean_figure(markup: Markup, shape: Shape, mirror: Symmetry) -> UInt8[np.ndarray, "h w 3"]:
    """The mean shape with the numbers of its points, left and right in colours, and its mirror image as rings."""
    figure = Figure((8, 8), dpi=110, layout="constrained")
    ax = figure.add_subplot()
    x, y = shape.mean.real, shape.mean.imag
    for contour in markup.contours:
        run = [*contour.points, contour.points[0]] if contour.closed else [*contour.points]
        ax.plot(x[run], y[run], color="0.8", linewidth=1, zorder=0)
    colours = np.array([MIDDLE] * markup.size, dtype=object)
    for a, b in markup.mirrored:
        colours[[a, b]] = (RIGHT, LEFT) if x[a] < x[b] else (LEFT, RIGHT)
    rings = mirror.mirrored
    ax.scatter(rings.real, rings.imag, s=60, facecolors="none", edgecolors="0.6", linewidths=0.8)
    ax.scatter(x, y, s=14, c=list(colours))
    for i in np.flatnonzero(np.isfinite(shape.mean)):
        ax.annotate(str(i), (x[i], y[i]), xytext=(3, 3), textcoords="offset points", fontsize=7, color=colours[i])
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.set_axis_off()
    ax.set_title(f"Mean shape of {len(shape.aligned)} faces: the person's right in orange, left in blue", fontsize=10)
    return draw(figure)
