"""A brush: anti-aliased contours, strokes and stencils on a float canvas, exact to a fraction of a pixel.

A canvas is linear-light RGB in 0..1, changed in place. Contours are (x, y) in its pixels; pixel `i` has its
centre at coordinate `i`.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import cv2
import numpy as np
from jaxtyping import Float

Canvas = Float[np.ndarray, "h w 3"]
Contour = Float[np.ndarray, "_ 2"]
Colour = Float[np.ndarray, "3"]

_SHIFT = 4  # fractional bits of cv2's drawing


def colour(red: float, green: float, blue: float) -> Float[np.ndarray, " 3"]:
    """A colour given as on a screen (0..255), in linear light."""
    return (np.array([red, green, blue], dtype=np.float32) / 255) ** 2


def _window(canvas: Canvas, contours: Sequence[Contour], margin: float) -> tuple[slice, slice] | None:
    points = np.concatenate(contours)
    x0, y0 = np.maximum(np.floor(points.min(0) - margin).astype(int), 0).tolist()
    x1, y1 = np.minimum(np.ceil(points.max(0) + margin).astype(int) + 1, canvas.shape[1::-1]).tolist()
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


def _fine(contours: Sequence[Contour], window: tuple[slice, slice], parts: float) -> list[np.ndarray]:
    """Contours in the subpixels of a window, so many along a pixel, in cv2's fixed point."""
    corner = np.array([window[1].start, window[0].start])
    points = np.concatenate(contours)
    points = np.rint(((points - corner + 0.5) * parts - 0.5) * 2**_SHIFT).astype(np.int32)
    ends = list(accumulate(len(contour) for contour in contours))
    return [points[end - len(contour) : end] for contour, end in zip(contours, ends, strict=True)]


def _stencil(
    canvas: Canvas, contours: Sequence[Contour], blur: float, width: float | None
) -> tuple[np.ndarray, tuple[slice, slice]] | None:
    """Coverage in 0..1 of filled contours, or of strokes of a width, and where on the canvas it lies."""
    window = _window(canvas, contours, 2 + 2.5 * blur + (width or 0))
    if window is None:
        return None
    rows, columns = (s.stop - s.start for s in window)
    parts = _parts(max(rows, columns), blur)
    height, width_ = math.ceil(rows * parts), math.ceil(columns * parts)
    mask = np.zeros((height, width_), np.uint8)
    fine = _fine(contours, window, parts)
    if width is None:
        for contour in fine:
            cv2.fillPoly(mask, [contour], 255, shift=_SHIFT)
    else:
        cv2.polylines(mask, fine, False, 255, max(round(width * parts), 1), cv2.LINE_8, _SHIFT)
    if parts > 1:
        mask = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)
    cover = mask.astype(np.float32) / 255
    if blur > 0:
        cover = _blurred(cover, blur * min(parts, 1))
    if parts < 1:
        size = (round(width_ / parts), round(height / parts))
        cover = cv2.resize(cover, size, interpolation=cv2.INTER_LINEAR)[:rows, :columns]
    return cover[..., None], window


def _parts(side: int, blur: float) -> float:
    """Subpixels along a pixel: fewer where a window is large, less than one where blur leaves no detail."""
    if blur > 2:
        return 0.25 if blur > 8 else 0.5 if blur > 4 else 1
    return 2 if side > 110 else 4


def _blurred(cover: np.ndarray, blur: float) -> np.ndarray:
    reach = 2 * math.ceil(2.5 * blur) + 1
    return cv2.GaussianBlur(cover, (reach, reach), blur, borderType=cv2.BORDER_REPLICATE)


def fill(canvas: Canvas, contours: Sequence[Contour], paint: np.ndarray, alpha: float = 1, blur: float = 0) -> None:
    """Covers the inside of contours with a colour."""
    if found := _stencil(canvas, contours, blur, None):
        cover, window = found
        canvas[window] += cover * np.float32(alpha) * (paint.astype(np.float32) - canvas[window])


def stroke(
    canvas: Canvas,
    lines: Sequence[Contour],
    paint: np.ndarray,
    width: float,
    alpha: float = 1,
    blur: float = 0,
) -> None:
    """Draws along lines with a brush of a width in pixels."""
    if found := _stencil(canvas, lines, blur, width):
        cover, window = found
        canvas[window] += cover * np.float32(alpha) * (paint.astype(np.float32) - canvas[window])


def shade(
    canvas: Canvas,
    contours: Sequence[Contour],
    factor: np.ndarray,
    blur: float = 0,
    width: float | None = None,
) -> None:
    """Multiplies the inside of contours (given a width: strokes along them) by a factor: shadow or light."""
    if found := _stencil(canvas, contours, blur, width):
        cover, window = found
        canvas[window] *= 1 + cover * (factor.astype(np.float32) - 1)


def inside(canvas: Canvas, contours: Sequence[Contour], paint: Callable[[Canvas], None], blur: float = 0) -> None:
    """Lets a painter work, and keeps only what falls inside contours."""
    if found := _stencil(canvas, contours, blur, None):
        cover, window = found
        before = canvas.copy()
        paint(canvas)
        before[window] += cover * (canvas[window] - before[window])
        canvas[:] = before


def ellipse(centre: np.ndarray, rx: float, ry: float, turn: float = 0.0, count: int = 32) -> np.ndarray:
    """The contour of an ellipse, turned clockwise by an angle in radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = rx * np.cos(t), ry * np.sin(t)
    return centre + np.column_stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])
