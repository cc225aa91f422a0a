"""A three-dimensional head drawn by numbers: its surface, its expressions and the 68 points that lie on it.

The unit is the distance between the outer eye corners; x runs to the right, y down, z to the viewer.
The origin lies between the eyes. A head is a stack of slices (rows): the front of each is half an ellipse, to
which soft bumps (nose, sockets, lips, chin) add depth. The rim of the lower slices is the jaw line.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from keyposs.markup import MARKUP_68

# Slices from the crown to the chin: half width, y, z of the rim, z of the front, depth behind the rim.
_ROWS = np.array(
    [
        [0.02, -1.45, -0.80, -0.76, 0.10],
        [0.32, -1.40, -0.80, -0.36, 0.55],
        [0.56, -1.25, -0.80, -0.13, 0.90],
        [0.73, -1.00, -0.80, 0.00, 1.10],
        [0.82, -0.70, -0.80, 0.07, 1.18],
        [0.85, -0.35, -0.80, 0.10, 1.20],
        [0.845, 0.00, -0.76, 0.03, 1.15],
        [0.84, 0.23, -0.72, 0.04, 1.00],
        [0.82, 0.46, -0.65, 0.08, 0.60],
        [0.77, 0.68, -0.55, 0.12, 0.20],
        [0.68, 0.885, -0.42, 0.13, 0.05],
        [0.55, 1.06, -0.28, 0.13, 0.00],
        [0.39, 1.20, -0.15, 0.13, 0.00],
        [0.205, 1.305, -0.04, 0.10, 0.00],
        [1e-6, 1.35, 0.03, 0.06, 0.00],
    ]
)
_FIRST_JAW_ROW = 6

# (x, y) of the points in the picture's left half and on the middle line, except the jaw's.
_HALF = {
    17: (-0.69, -0.13), 18: (-0.585, -0.23), 19: (-0.44, -0.265), 20: (-0.29, -0.245), 21: (-0.15, -0.195),
    27: (0, 0.0), 28: (0, 0.14), 29: (0, 0.28), 30: (0, 0.42), 31: (-0.165, 0.53), 32: (-0.085, 0.565),
    33: (0, 0.585), 36: (-0.5, 0.0), 37: (-0.415, -0.062), 38: (-0.305, -0.060), 39: (-0.215, 0.018),
    40: (-0.30, 0.045), 41: (-0.405, 0.048), 48: (-0.32, 0.80), 49: (-0.205, 0.748), 50: (-0.075, 0.718),
    51: (0, 0.735), 57: (0, 0.935), 58: (-0.085, 0.925), 59: (-0.205, 0.88), 60: (-0.28, 0.80),
    61: (-0.085, 0.792), 62: (0, 0.80), 66: (0, 0.803), 67: (-0.085, 0.80),
}  # fmt: skip

_BROWS, _EYES, _NOSE, _LIPS = slice(17, 27), slice(36, 48), slice(27, 36), slice(48, 68)
_LOWER_LIP = [55, 56, 57, 58, 59, 65, 66, 67]


def smooth(knots: Float[np.ndarray, "n c"], at: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m c"]:
    """The Catmull-Rom curve through knots, at parameters in [0, n - 1]: knot `i` is met at parameter `i`.

    >>> smooth(np.array([[0.0], [1.0], [4.0]]), np.array([0.0, 1.0, 2.0])).ravel().tolist()
    [0.0, 1.0, 4.0]
    """
    p = np.vstack([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    i = np.clip(at.astype(int), 0, len(knots) - 2)
    t = (at - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


@dataclass(frozen=True)
class Person:
    """What stays of a face when its expression goes. Zero is average, one about a standard deviation."""

    width: float = 0.0
    jaw: float = 0.0
    chin: float = 0.0
    eye_size: float = 0.0
    eye_distance: float = 0.0
    eye_tilt: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    nose_height: float = 0.0
    mouth_width: float = 0.0
    lips: float = 0.0
    mouth_height: float = 0.0


@dataclass(frozen=True)
class Expression:
    """What a face does: smile in [-1, 1], the others in [0, 1]; closed is that of the right and left eye."""

    smile: float = 0.0
    open: float = 0.0
    brows: float = 0.0
    closed: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Head:
    """A shaped head before it is turned: slices, and the (x, y) of 68 points at rest on them."""

    person: Person
    expression: Expression
    rows: Float[np.ndarray, "n 5"]
    rest: Float[np.ndarray, "68 2"]

    @property
    def drop(self) -> float:
        """How far the open mouth lowers the chin."""
        return 0.42 * self.expression.open

    def depth(self, x: Float[np.ndarray, "*n"], y: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Depth (z) of the front of the face at rest."""
        width, rim, front = (np.interp(y, self.rows[:, 1], self.rows[:, c]) for c in (0, 2, 3))
        bulge = np.sqrt(np.clip(1 - (x / width) ** 2, 0, 1))
        return rim + (front - rim) * bulge + self.bumps(x, y)

    def bumps(self, x: Float[np.ndarray, "*n"], y: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """What the features add to the depth of the slices."""
        side, eye, tip = np.abs(x), self.rest[36:42].mean(0), self.rest[30, 1]
        base, mouth, person = self.rest[33, 1], self.rest[62, 1], self.person

        def bump(at: float, sx: float, level: float, sy: float) -> Float[np.ndarray, "*n"]:
            return np.exp(-(((side - at) / sx) ** 2) - ((y - level) / sy) ** 2)

        ramp = np.clip((y - eye[1] + 0.06) / (tip - eye[1] + 0.06), 0, 1)
        ridge = np.where(y > tip, np.exp(-(((y - tip) / (0.62 * (base - tip))) ** 2)), ramp**1.3)
        spread = (0.075 + 0.055 * ramp) * (1 + 0.10 * person.nose_width)
        nose = (0.36 + 0.045 * person.nose_height) * ridge * np.exp(-((x / spread) ** 2))
        wing = -self.rest[31, 0]
        smile = max(self.expression.smile, 0)
        return (
            nose
            + 0.11 * bump(wing - 0.035, 0.055, base - 0.075, 0.065)
            - 0.085 * bump(-eye[0] - 0.05, 0.17, eye[1] - 0.03, 0.10)
            + 0.035 * bump(-eye[0], 0.11, eye[1], 0.07)
            + 0.035 * bump(0.33, 0.24, self.rest[19, 1] + 0.05, 0.07)
            + (0.05 + 0.05 * smile) * bump(0.46, 0.17, 0.38 - 0.05 * smile, 0.18)
            + 0.05 * bump(0, 0.28, mouth, 0.24)
            + 0.030 * bump(0, 0.22, mouth - 0.05, 0.040)
            + 0.040 * bump(0, 0.18, mouth + 0.075, 0.055)
            - 0.045 * bump(0, 0.27, mouth, 0.022)
            - 0.035 * bump(0, 0.17, mouth + 0.20, 0.06)
            + 0.055 * bump(0, 0.17, mouth + 0.38, 0.13)
            - 0.030 * bump(0.42, 0.10, mouth - 0.02, 0.20) * (1 - 0.4 * smile)
        )

    def lowered(self, y: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Height (y) with the mouth open: the skin below the lips goes down with the jaw."""
        mouth = self.rest[62, 1]
        t = np.clip((y - mouth + 0.22) / 0.46, 0, 1)
        return y + self.drop * t * t * (3 - 2 * t)

    def even_rows(self, count: int) -> Float[np.ndarray, " m"]:
        """Parameters along the rows at which the outline advances evenly."""
        rows = np.linspace(0, len(self.rows) - 1, 20 * len(self.rows))
        width, y = smooth(self.rows[:, :2], rows).T
        steps = np.hypot(np.diff(width), np.diff(self.lowered(y)))
        length = np.concatenate([[0], np.cumsum(steps)])
        return np.interp(np.linspace(0, length[-1], count), length, rows)

    def grid(self, turns: Float[np.ndarray, "*turns"], rows: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n m 3"]:
        """The surface at angles around the slices, and at parameters along the rows.

        Angles (0 in front, pi/2 at the rim) are the same for all rows, or of shape (n, m).
        """
        width, y, rim, front, back = smooth(self.rows, rows).T[:, :, None]
        x = width * np.sin(turns)
        cos = np.cos(turns)
        z = rim + np.where(cos > 0, front - rim, back) * cos
        facing = np.clip(3 * cos, 0, 1)
        y = np.broadcast_to(y, x.shape)
        z = z + facing * self.bumps(x, y)
        return np.stack([x, self.lowered(y), z], axis=-1)

    def points(self, yaw: float) -> Float[np.ndarray, "68 3"]:
        """The 68 points; those of the jaw slide to the outline that a viewer sees at this yaw (radians)."""
        x, y = self.rest[17:].T
        z = self.depth(x, y)
        moved = self.lowered(y)
        lower = np.array(_LOWER_LIP) - 17
        moved[lower] = y[lower] + self.drop
        upper = np.arange(_LIPS.start, 68) - 17
        upper = np.setdiff1d(upper, lower)
        moved[upper] = y[upper]
        corners = np.array([48, 54, 60, 64]) - 17
        moved[corners] = y[corners] + 0.35 * self.drop
        return np.vstack([self._outline(yaw), np.column_stack([x, moved, z])])

    def _outline(self, yaw: float) -> Float[np.ndarray, "17 3"]:
        """The jaw points: where each slice is widest as seen, but not behind its rim."""
        jaw = np.arange(_FIRST_JAW_ROW, len(self.rows), dtype=float)
        width, _, rim, front, _ = self.rows[_FIRST_JAW_ROW:].T
        sides = np.array([-1, 1])
        turns = np.arctan2((width * np.cos(yaw))[:, None], np.outer(np.sin(yaw) * (front - rim), sides))
        outline = self.grid(sides * np.minimum(turns, np.pi / 2), jaw)
        return np.vstack([outline[:, 0], outline[-2::-1, 1]])


def shape_head(person: Person, expression: Expression) -> Head:
    """The head of a person who makes an expression."""
    rest, flip = np.zeros((68, 2)), MARKUP_68.flip
    for i, (x, y) in _HALF.items():
        rest[i], rest[flip[i]] = (x, y), (-x, y)
    rows = _ROWS.copy()
    lower = np.clip(rows[:, 1] / 1.35, 0, 1)
    rows[:, 0] *= (1 + 0.04 * person.width) * (1 + 0.09 * person.jaw * lower * (1.3 - lower))
    rows[:, 1] *= np.where(rows[:, 1] > 0, 1 + 0.035 * person.chin, 1)
    _place_eyes(rest, person, expression)
    _place_nose(rest, person)
    _place_lips(rest, person, expression)
    return Head(person, expression, rows, rest)


def _place_eyes(rest: Float[np.ndarray, "68 2"], person: Person, expression: Expression) -> None:
    for side, (eye, brow) in enumerate(((slice(36, 42), slice(17, 22)), (slice(42, 48), slice(22, 27)))):
        sign = (-1, 1)[side]
        centre = rest[eye].mean(0)
        local = (rest[eye] - centre) * [1 + 0.04 * person.eye_size, 1 + 0.13 * person.eye_size]
        local[:, 1] -= 0.05 * person.eye_tilt * local[:, 0] * sign
        upper, lower = ([1, 2], [5, 4])
        shut = max(expression.closed[side], 0.35 * max(expression.smile, 0))
        lid = local[upper].copy()
        local[upper] += shut * (local[lower] - local[upper]) * [1, 0.92]
        local[lower] -= 0.12 * max(expression.smile, 0) * (local[lower] - lid)
        rest[eye] = centre + local + [sign * 0.014 * person.eye_distance, 0]
        arch = np.sin(np.linspace(0, np.pi, 5))
        rest[brow, 1] -= 0.028 * person.brow_height + 0.022 * person.brow_arch * (arch - 0.6)
        rest[brow, 1] -= 0.11 * expression.brows * (0.6 + 0.4 * arch)


def _place_nose(rest: Float[np.ndarray, "68 2"], person: Person) -> None:
    rest[_NOSE, 1] *= 1 + 0.06 * person.nose_length
    rest[_NOSE, 0] *= 1 + 0.10 * person.nose_width


def _place_lips(rest: Float[np.ndarray, "68 2"], person: Person, expression: Expression) -> None:
    lips = rest[_LIPS]
    line, smile = 0.80, expression.smile
    lips[:, 1] = line + (lips[:, 1] - line) * (1 + 0.14 * person.lips) * (1 - 0.15 * max(smile, 0))
    lips[:, 0] *= (1 + 0.06 * person.mouth_width) * (1 + 0.16 * smile if smile > 0 else 1 + 0.10 * smile)
    lips[:, 0] *= 1 - 0.18 * expression.open
    lips[:, 1] -= 0.09 * smile * (np.abs(lips[:, 0]) / 0.33) ** 2 - 0.01 * smile
    lips[:, 1] += 0.02 * person.mouth_height + 0.02 * person.chin + 0.02 * person.nose_length
