"""What a synthetic photo shows, drawn by lot: a person, an expression, a pose, and a place in the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float

from keyposs.data.rendering.shape import Expression, Head, Person, shape_head, smooth

SIZE = 352
"""Side of a synthetic photo in pixels."""

_PIVOT = np.array([0.0, 0.3, -0.75])


@dataclass(frozen=True)
class Scene:
    """One synthetic photo before it is painted."""

    head: Head
    yaw: float  # radians; positive turns the face to the picture's right
    pitch: float  # positive looks down
    roll: float  # positive turns clockwise
    scale: float  # pixels per unit
    shift: Float[np.ndarray, " 2"]  # where the head's pivot lies in the photo, in pixels
    cover: str  # what hides a part of the face: "", "mask", "scarf", "hand" or "phone"
    cover_pose: Float[np.ndarray, " 4"]  # in 0..1

    @cached_property
    def turn(self) -> Float[np.ndarray, "3 3"]:
        """The rotation of the head: yaw, then pitch, then roll."""
        return _rotation(self.yaw, self.pitch, self.roll)

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Points of the head in the photo: x, y in pixels, and depth towards the viewer."""
        seen = (points - _PIVOT) @ self.turn.T * self.scale
        seen[..., :2] += self.shift
        return seen

    @cached_property
    def keypoints(self) -> Float[np.ndarray, "68 2"]:
        """The landmarks in pixels of the photo."""
        return self.project(self.head.points(self.yaw))[:, :2]

    @cached_property
    def cover_contours(self) -> list[Float[np.ndarray, "_ 2"]]:
        """Outlines of what hides a part of the face, in pixels of the photo."""
        return _COVERS[self.cover](self) if self.cover else []

    @property
    def occluded(self) -> Bool[np.ndarray, " 68"]:
        """Which landmarks are hidden."""
        outlines = [np.round(c * 16).astype(np.int32) for c in self.cover_contours]
        return np.array([any(_holds(outline, point) for outline in outlines) for point in self.keypoints])


def _holds(outline: np.ndarray, point: Float[np.ndarray, " 2"]) -> bool:
    x, y = point * 16
    return cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0


def random_stream(key: Sequence[int], part: int) -> np.random.Generator:
    """The random numbers of one part of one face: shape, paint and camera do not disturb each other."""
    return np.random.default_rng([*key, part])


def draw_scene(key: Sequence[int]) -> Scene:
    """The scene that belongs to a key."""
    rng = random_stream(key, 0)
    person = Person(*np.clip(rng.normal(size=14), -2, 2))
    closed = rng.choice([0.0, 0.25, 1.0], p=[0.6, 0.32, 0.08]) * rng.uniform(0.6, 1)
    wink = rng.random() < 0.03
    expression = Expression(
        smile=float(np.clip(rng.normal(0.3, 0.5), -0.8, 1.2)),
        open=float(rng.choice([0, rng.uniform(0.05, 0.35), rng.uniform(0.35, 1)], p=[0.5, 0.3, 0.2])),
        brows=float(max(rng.normal(0.1, 0.35), -0.3)),
        closed=(float(closed), 1.0 if wink else float(closed)),
    )
    yaw, pitch, roll = np.radians(np.clip(rng.normal(size=3) * [17, 8, 9], [-36, -18, -28], [36, 18, 28]))
    covers = rng.choice(["", "mask", "scarf", "hand", "phone"], p=[0.82, 0.05, 0.03, 0.06, 0.04])
    head = shape_head(person, expression)
    scale, shift = _placement(head, (yaw, pitch, roll), rng.uniform(158, 188), rng.uniform(-5, 5, 2))
    return Scene(head, yaw, pitch, roll, scale, shift, str(covers), rng.random(4))


def _rotation(yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return around_z @ around_x @ around_y


def _placement(
    head: Head, pose: tuple[float, float, float], side: float, jitter: Float[np.ndarray, " 2"]
) -> tuple[float, Float[np.ndarray, " 2"]]:
    """Scale and shift that give the landmarks' box its longer side in pixels, near the photo's middle."""
    seen = ((head.points(pose[0]) - _PIVOT) @ _rotation(*pose).T)[:, :2]
    low, high = seen.min(0), seen.max(0)
    scale = side / float((high - low).max())
    return scale, (SIZE - 1) / 2 + jitter - (low + high) / 2 * scale


def _on_face(scene: Scene, xy: Sequence[tuple[float, float]], count: int = 80) -> Float[np.ndarray, "n 2"]:
    """A closed smooth contour through (x, y) on the front of the face, slightly above it."""
    knots = np.array(xy)
    z = scene.head.depth(knots[:, 0], knots[:, 1]) + 0.03
    seen = scene.project(np.column_stack([knots[:, 0], scene.head.lowered(knots[:, 1]), z]))[:, :2]
    return smooth(np.vstack([seen, seen[:1]]), np.linspace(0, len(xy) - 1e-6, count))


def _mask(scene: Scene) -> list[Float[np.ndarray, "_ 2"]]:
    jaw, nose = scene.keypoints[2:15], scene.keypoints[28]
    centre = scene.keypoints[[2, 14, 8]].mean(0)
    rim = np.vstack([jaw + 0.04 * (jaw - centre), nose[None]])
    return [smooth(np.vstack([rim, rim[:1]]), np.linspace(0, len(rim) - 1e-6, 90))]


def _scarf(scene: Scene) -> list[Float[np.ndarray, "_ 2"]]:
    k, low = scene.keypoints, 0.05 + 0.5 * scene.cover_pose[0]
    out, down = (k[12] - k[4]) * 0.10, (k[8] - k[27]) * 0.9
    middle = k[33] + low * (k[8] - k[33])
    sides = [k[4] - out - 0.05 * down, k[12] + out - 0.05 * down]
    bends = [(middle + side) / 2 + 0.07 * down for side in sides]
    rim = np.array(
        [
            sides[0],
            bends[0],
            middle,
            bends[1],
            sides[1],
            k[12] + 3 * out + down,
            k[8] + down,
            k[4] - 3 * out + down,
        ]
    )
    return [smooth(np.vstack([rim, rim[:1]]), np.linspace(0, len(rim) - 1e-6, 90))]


def _hand(scene: Scene) -> list[Float[np.ndarray, "_ 2"]]:
    """Four fingers and a palm that comes from below, from a side."""
    k, (a, b, c, _) = scene.keypoints, scene.cover_pose
    unit, side = scene.scale, 1 if a < 0.5 else -1
    root = k[8] + unit * np.array([side * (0.35 + 0.5 * b), 0.25])
    reach = k[54 if side > 0 else 48] * (1 - c) + k[30] * c - root
    along = reach / np.linalg.norm(reach)
    across = np.array([-along[1], along[0]])
    fingers = []
    for i, length in enumerate((0.80, 0.95, 1.0, 0.86)):
        start = root + across * unit * 0.165 * (i - 1.5)
        tip = start + reach * length + across * unit * 0.05 * (i - 1.5)
        fingers.append(_capsule(start - along * unit * 0.3, tip, 0.088 * unit))
    palm = _capsule(root - along * unit * 1.6, root - along * unit * 0.05, 0.36 * unit)
    return [palm, *fingers]


def _phone(scene: Scene) -> list[Float[np.ndarray, "_ 2"]]:
    """A box held before a cheek or the chin."""
    a, b, c, d = scene.cover_pose
    middle = scene.keypoints[[3, 8, 13]][int(a * 3)] + scene.scale * (np.array([b, c]) - 0.5) * 0.3
    turn = scene.roll + (d - 0.5) * 1.2
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * scene.scale
    corners = np.array([[-0.33, -0.62], [0.33, -0.62], [0.33, 0.62], [-0.33, 0.62]])
    return [middle + corners @ axes]


def _capsule(start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"], radius: float) -> Float[np.ndarray, "n 2"]:
    along = np.arctan2(*(end - start)[::-1])
    half = np.linspace(-np.pi / 2, np.pi / 2, 14)
    cap = np.stack([np.cos(half + along), np.sin(half + along)], axis=1) * radius
    return np.vstack([end + cap, start - cap])


_COVERS = {"mask": _mask, "scarf": _scarf, "hand": _hand, "phone": _phone}
