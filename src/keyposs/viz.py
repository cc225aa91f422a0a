"""Pictures of faces, points and distance maps: RGB uint8 arrays in and out.

Coordinates follow the house: pixel `i` has its centre at `i`, so enlarging by `s` takes
`x` to `(x + 0.5) s - 0.5`.
"""

import os
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keyposs.files import atomic
from keyposs.markup import Markup
from keyposs.plots import draw

Picture = UInt8[np.ndarray, "_ _ 3"]
"""RGB, of any size."""

TRUTH, POINT, ERROR, ANCHOR, RANGE, SPREAD = (
    (40, 220, 70),
    (235, 30, 40),
    (40, 110, 255),
    (20, 60, 200),
    (255, 140, 0),
    (255, 210, 60),
)
"""Colours of the paper's Figures 6 and 7: ground truth, prediction, error line, anchor, range circle; then ellipse."""

RIM = (20, 20, 20)

SMALLEST = 480
"""Crops are enlarged until their longer side has this many pixels, so that the points stay readable."""

_BITS = 8  # cv2 draws at 1/256 of a pixel
_FAR = 1e5  # pixels: beyond any picture, within what cv2's integers hold


def save(path: str | os.PathLike[str], image: Picture) -> None:
    """Writes a picture as PNG, atomically."""
    _, code = cv2.imencode(".png", image[:, :, ::-1])
    with atomic(path) as temporary:
        temporary.write_bytes(code.tobytes())


def overlay(
    image: Picture,
    keypoints: Float[np.ndarray, "k 2"] | None,
    points: Float[np.ndarray, "k 2"],
    markup: Markup,
    *,
    scores: Float[np.ndarray, " k"] | None = None,
    covariances: Float[np.ndarray, "k 2 2"] | None = None,
    scale: float | int = 2,
) -> Picture:
    """Draws predictions red and ground truth green, joined by blue error lines, as in the paper's Figure 7.

    Args:
        image: a crop or a photo.
        keypoints: ground truth in pixels of the image; NaN where there is none.
        points: predictions in pixels of the image; they may lie off the picture.
        markup: whose contours are drawn through the predictions.
        scores: in [0, 1]; a point pales as its score falls.
        covariances: how uncertain each point is, pixels squared; drawn as ellipses of two standard deviations.
        scale: enlargement; small crops are enlarged further, up to `SMALLEST`.

    Returns:
        The picture, enlarged by `max(scale, SMALLEST / longer side of the image)`.
    """
    scale = max(scale, SMALLEST / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    points = _enlarge(points, scale)
    radius = _dot_radius(points, max(size))
    _contours(picture, points, markup, thickness=max(1, round(radius / 3)))
    if keypoints is not None:
        keypoints = _enlarge(keypoints, scale)
        for point, keypoint in zip(points, keypoints, strict=True):
            _line(picture, point, keypoint, ERROR, thickness=max(1, round(radius / 1.5)))
        for keypoint in keypoints:
            _dot(picture, keypoint, radius, TRUTH)
    for point, covariance in zip(points, () if covariances is None else covariances, strict=covariances is not None):
        _ellipse(picture, point, covariance * scale**2)
    for point, score in zip(points, np.ones(len(points)) if scores is None else scores, strict=True):
        _dot(picture, point, radius, _pale(POINT, float(score)))
    return picture


def _enlarge(points: Float[np.ndarray, "k 2"], scale: float | int) -> Float[np.ndarray, "k 2"]:
    finite = np.where(np.isfinite(points), points, np.nan)
    return np.clip((finite.astype(np.float64) + 0.5) * scale - 0.5, -_FAR, _FAR)


def _dot_radius(points: Float[np.ndarray, "k 2"], side: int) -> float:
    """Pixels; grows with the face, so that dots neither vanish in a photo nor cover a crop."""
    finite = points[np.isfinite(points).all(-1)]
    span = float(np.ptp(finite, axis=0).max()) if len(finite) else 0.0
    return max(2.0, min(span, side) / 150)


def _pale(colour: tuple[int, int, int], score: float) -> tuple[int, ...]:
    weight = min(max(score, 0.0), 1.0) if np.isfinite(score) else 0.0
    return tuple(round(255 + (channel - 255) * (0.2 + 0.8 * weight)) for channel in colour)


def _contours(picture: Picture, points: Float[np.ndarray, "k 2"], markup: Markup, thickness: int) -> None:
    drawn = picture.copy()
    for contour in markup.contours:
        run = points[list(contour.points)]
        for start, end in zip(run, np.roll(run, -1, axis=0)[: len(run) - 1 + contour.closed], strict=False):
            _line(drawn, start, end, (255, 255, 255), thickness)
    cv2.addWeighted(drawn, 0.45, picture, 0.55, 0, dst=picture)


def _line(picture: Picture, start: np.ndarray, end: np.ndarray, colour: tuple[int, ...], thickness: int) -> None:
    if np.isfinite([start, end]).all():
        cv2.line(picture, _fixed(start), _fixed(end), colour, thickness, cv2.LINE_AA, _BITS)


def _ellipse(picture: Picture, centre: np.ndarray, covariance: Float[np.ndarray, "2 2"]) -> None:
    if not (np.isfinite(centre).all() and np.isfinite(covariance).all()):
        return
    variances, axes = np.linalg.eigh(covariance)
    half = np.minimum(2 * np.sqrt(np.maximum(variances, 0)), max(picture.shape)) * 2**_BITS
    turn = float(np.degrees(np.arctan2(axes[1, 0], axes[0, 0])))
    size = tuple(np.rint(half).astype(int).tolist())
    cv2.ellipse(picture, _fixed(centre), size, turn, 0, 360, SPREAD, 1, cv2.LINE_AA, _BITS)


def _dot(picture: Picture, centre: np.ndarray, radius: float, colour: tuple[int, ...]) -> None:
    """A disc with a dark rim, each pixel mixed by how far the disc covers it (cv2's discs are 0.1 px off)."""
    reach = radius + 2
    if not (np.isfinite(centre).all() and (centre > -reach).all()):
        return
    (x0, y0), (x1, y1) = np.maximum(np.ceil(centre - reach), 0).astype(int), (centre + reach).astype(int) + 1
    patch = picture[y0:y1, x0:x1]
    y, x = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
    distance = np.hypot(x - centre[0], y - centre[1])[..., None]
    for r, paint in ((radius + 0.8, RIM), (radius, colour)):
        cover = np.clip(r + 0.5 - distance, 0, 1)
        patch[:] = np.rint(patch + cover * (np.array(paint) - patch))


def _fixed(point: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(point * 2**_BITS).astype(int)
    return int(x), int(y)


def sheet(images: Sequence[Picture], *, columns: int, captions: Sequence[str] | None = None, pad: int = 4) -> Picture:
    """A contact sheet: pictures of any size in rows, centred in equal cells on white, captions below.

    Raises:
        ValueError: if there is no picture, no column, or not one caption per picture.
    """
    if not images or columns < 1:
        raise ValueError(f"a sheet takes a picture and a column at least, not {len(images)} and {columns}")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} pictures")
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    strip = 0 if captions is None else max(18, round(width / 14))
    rows = -(-len(images) // columns)
    cell_h, cell_w = height + strip + pad, width + pad
    paper = np.full((rows * cell_h + pad, min(columns, len(images)) * cell_w + pad, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = pad + i // columns * cell_h, pad + i % columns * cell_w
        h, w = image.shape[:2]
        y, x = top + (height - h) // 2, left + (width - w) // 2
        paper[y : y + h, x : x + w] = image
        if captions is not None:
            paper[top + height : top + height + strip, left : left + width] = _text(captions[i], width, strip)
    return paper


def tiles(paper: Picture, count: int, *, columns: int, pad: int = 4) -> list[Picture]:
    """The cells of a contact sheet of so many pictures, each with its caption."""
    rows, columns = -(-count // columns), min(columns, count)
    height, width = (paper.shape[0] - pad) // rows, (paper.shape[1] - pad) // columns
    corners = ((pad + i // columns * height, pad + i % columns * width) for i in range(count))
    return [paper[top : top + height - pad, left : left + width - pad] for top, left in corners]


def _text(words: str, width: int, height: int) -> Picture:
    """One centred line on white, as large as the strip allows."""
    figure = Figure((width / 100, height / 100), dpi=100)
    text = figure.text(0.5, 0.5, words, ha="center", va="center", parse_math=False)
    size = 0.43 * height  # points; 100 pixels are 72 points
    text.set_fontsize(size)
    extent = text.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    text.set_fontsize(size * min(1.0, 0.96 * width / max(extent.width, 1)))
    return draw(figure)


def unit(colour: tuple[int, int, int]) -> tuple[float, ...]:
    """A colour as matplotlib wants it."""
    return tuple(channel / 255 for channel in colour)
