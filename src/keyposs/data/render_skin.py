"""The lit surface of a head: skin, hair and beard as one mesh, splatted from back to front."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float

from keyposs.data.render_look import Look
from keyposs.data.render_paint import Canvas
from keyposs.data.render_scene import Scene

_ROWS, _TURNS, _FINE = 112, 112, 3
_BACK = np.radians(150)
_CROWN = np.array([0.0, -0.35, -0.8])

# Lower edge of the hair by the angle around the head (degrees), per style; None covers all above.
_ANGLES = [0, 30, 48, 58, 66, 74, 82, 90, 98, 108, 150]
_EDGES = {
    "short": [-0.84, -0.82, -0.72, -0.55, -0.30, -0.10, 0.12, 0.02, 0.25, 0.60, 0.75],
    "receding": [-1.02, -1.10, -1.05, -0.80, -0.48, -0.20, 0.10, 0.02, 0.25, 0.60, 0.75],
    "fringe": [-0.40, -0.36, -0.33, -0.28, -0.20, 0.00, 0.20, 0.10, 0.30, 0.62, 0.80],
    "side": [-0.80, -0.66, -0.55, -0.42, -0.26, -0.08, 0.14, 0.05, 0.25, 0.60, 0.75],
    "long": [-0.86, -0.80, -0.60, -0.35, 0.20, 0.9, 1.5, 1.5, 1.5, 1.5, 1.5],
    "long fringe": [-0.38, -0.34, -0.28, -0.16, 0.35, 1.0, 1.5, 1.5, 1.5, 1.5, 1.5],
    "afro": [-0.84, -0.80, -0.68, -0.48, -0.25, -0.05, 0.10, 0.15, 0.30, 0.60, 0.75],
    "bun": [-0.86, -0.82, -0.70, -0.52, -0.32, -0.18, -0.05, 0.00, 0.20, 0.50, 0.60],
    "beanie": [-0.55, -0.54, -0.52, -0.50, -0.46, -0.42, -0.36, -0.30, -0.20, 0.00, 0.30],
    "veil": [-0.80, -0.74, -0.50, -0.15, 0.65, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5],
}
_THICKNESS = {
    "short": 0.07,
    "receding": 0.05,
    "fringe": 0.09,
    "side": 0.11,
    "long": 0.11,
    "long fringe": 0.11,
}
_THICKNESS |= {"afro": 0.34, "bun": 0.06, "beanie": 0.10, "veil": 0.10, "bald": 0.0}


def paint_head(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Paints the head without eyes, brows and mouth."""
    u = np.linspace(-1, 1, _TURNS)
    turns = _BACK * (0.55 * u + 0.45 * u**3)
    steps = np.linalg.norm(np.diff(scene.head.rows[:, :2], axis=0), axis=1)
    length = np.concatenate([[0], np.cumsum(steps)])
    rows = np.interp(np.linspace(0, length[-1], _ROWS), length, np.arange(len(length)))
    surface = scene.head.grid(turns, rows)
    rest_y = np.interp(rows, np.arange(len(length)), scene.head.rows[:, 1])[:, None]
    x, y = surface[..., 0], np.broadcast_to(rest_y, surface.shape[:2])
    edge = _hair_edge(look, turns)[None] - y
    strands = _strands(rng, look)
    hairy = np.clip(0.5 + edge / 0.10, 0, 1)
    if look.style != "bald":
        away = surface - _CROWN
        lift = _THICKNESS[look.style] * np.minimum(hairy, 1 - 0.5 * np.clip(y, 0, 1))
        surface = surface + away / np.linalg.norm(away, axis=-1, keepdims=True) * lift[..., None]
    seen = scene.project(surface)
    normals = _normals(seen)
    skin = _skin(scene, look, x, y)
    cover = np.clip(0.5 + (_finer(edge) + 0.05 * strands) / 0.05, 0, 1) if look.style != "bald" else None
    albedo = _finer(skin)
    beard = _finer(_beard(scene, look, x, y))
    grain = 1 + 0.35 * strands
    if look.beard or look.moustache:
        beard = np.clip(beard * (1 + 0.8 * strands), 0, 0.92)[..., None]
        albedo = albedo * (1 - beard) + beard * (look.hair * 0.8 * grain[..., None])
    if cover is not None:
        cloth = look.style in ("beanie", "veil")
        hair = look.hair * (1 + (0.08 if cloth else 0.45) * strands)[..., None]
        albedo = albedo + cover[..., None] * (hair - albedo)
    _splat(canvas, _finer(seen), albedo * _finer(light_on(look, normals)), seen, normals)


def light_on(look: Look, normals: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Light that leaves a white surface, per colour; red bleeds a little into the shadow, as in skin."""
    facing = normals @ look.light
    wrap = np.array([0.30, 0.18, 0.15])
    diffuse = np.clip((facing[..., None] + wrap) / (1 + wrap), 0, None)
    half = look.light + [0, 0, 1]
    glance = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 24
    sky = 0.75 - 0.25 * normals[..., 1:2] + 0.1 * normals[..., 2:]
    return look.ambient * sky + look.lamp * diffuse + look.shine * glance[..., None]


def _hair_edge(look: Look, turns: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Height down to which hair grows, per angle around the head."""
    degrees = np.degrees(turns)
    if look.style == "bald":
        return np.full_like(turns, -9)
    front = np.interp(np.abs(degrees), _ANGLES, _EDGES[look.style])
    if look.style == "side":
        front = front + 0.16 * np.tanh(degrees / 25) * (np.abs(degrees) < 75)
    if look.style in ("short", "side", "long", "afro", "bun"):
        front = np.where(np.abs(degrees) < 50, front * look.hairline, front)
    return front


def _strands(rng: np.random.Generator, look: Look) -> Float[np.ndarray, "h w"]:
    """Noise of unit deviation, drawn out along the hair."""
    rows, columns = _ROWS * _FINE, _TURNS * _FINE
    curly = look.style == "afro"
    noise = rng.standard_normal(
        (rows // 3 if curly else 14, columns // (3 if curly else 1)), dtype=np.float32
    )
    noise = cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)
    coarse = rng.standard_normal((6, 28), dtype=np.float32)
    noise = 0.7 * noise + 0.7 * cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise, -2, 2)


def _skin(scene: Scene, look: Look, x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"]) -> np.ndarray:
    """The skin's own colour: flush on cheeks and nose, shade in the sockets, ears and under the lip."""
    rest = scene.head.rest
    side, eye = np.abs(x), rest[36:42].mean(0)

    def spot(at: float, sx: float, level: float, sy: float) -> Float[np.ndarray, "h w 1"]:
        return np.exp(-(((side - at) / sx) ** 2) - ((y - level) / sy) ** 2)[..., None]

    base, mouth = rest[33, 1], rest[62, 1]
    flush = (
        0.5 * spot(0.46, 0.2, 0.42, 0.2)
        + 0.5 * spot(0, 0.12, rest[30, 1], 0.12)
        + 0.25 * spot(0, 0.2, mouth + 0.4, 0.1)
    )
    skin = look.skin * (1 - flush * np.array([0.02, 0.20, 0.18]) * (1 + 0.8 * look.make_up))
    hollow = (
        0.22 * spot(-eye[0] - 0.02, 0.18, eye[1] - 0.02, 0.11)
        + 0.16 * spot(-rest[39, 0] - 0.03, 0.06, eye[1] - 0.02, 0.09)
        + (0.06 + 0.12 * look.age) * spot(-eye[0] - 0.03, 0.13, eye[1] + 0.13, 0.04)
        + 0.16 * spot(0, 0.16, base + 0.035, 0.035)
        + 0.14 * spot(0, 0.16, mouth + 0.20, 0.04)
        + 0.12 * spot(-rest[48, 0] + 0.02, 0.045, rest[48, 1] + 0.01, 0.05)
    )
    return skin * (1 - np.clip(hollow, 0, 0.6) * np.array([0.8, 1.0, 1.0]))


def _beard(scene: Scene, look: Look, x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"]) -> np.ndarray:
    """How much of the skin a beard and a moustache hide."""
    rest = scene.head.rest
    side, mouth, base = np.abs(x), rest[62, 1], rest[33, 1]
    line = mouth - 0.12 - 0.9 * np.clip(side - 0.42, 0, 1)
    cheek = np.clip((y - line - 0.10 * np.clip(0.42 - side, 0, 1)) / 0.14, 0, 1) * np.clip(
        (side - 0.24) / 0.14, 0, 1
    )
    chin = np.clip((y - mouth - 0.20) / 0.08, 0, 1)
    lip = np.exp(
        -(((side - 0.12) / 0.2) ** 4) - ((y - (base + mouth) / 2 - 0.02 - 0.25 * side**2) / 0.065) ** 4
    )
    return np.maximum(look.beard * np.maximum(cheek, chin), look.moustache * lip)


def _normals(seen: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Unit normals of a surface in the photo's frame, outwards."""
    down, across = np.gradient(seen, axis=0), np.gradient(seen, axis=1)
    normal = np.cross(across, down)
    return normal / (np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9)


def _finer(field: np.ndarray) -> np.ndarray:
    size = (field.shape[1] * _FINE, field.shape[0] * _FINE)
    return cv2.resize(field.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=2)
def _blocks(rows: int, columns: int) -> np.ndarray:
    """The fine samples that belong to each coarse vertex."""
    index = np.arange(rows * columns * _FINE**2).reshape(rows, _FINE, columns, _FINE)
    return index.transpose(0, 2, 1, 3).reshape(rows * columns, _FINE**2)


def _splat(
    canvas: Canvas, points: np.ndarray, paint: np.ndarray, seen: np.ndarray, normals: np.ndarray
) -> None:
    """Drops coloured points on the canvas, the far ones first, and closes the pores between them."""
    front = np.flatnonzero(normals[..., 2].ravel() > -0.02)
    order = front[np.argsort(seen[..., 2].ravel()[front])]
    index = _blocks(*seen.shape[:2])[order].ravel()
    h, w = canvas.shape[:2]
    spots = np.round(points.reshape(-1, 3)[index, :2]).astype(np.int32)
    kept = ((spots >= 0) & (spots < (w, h))).all(1)
    spots, index = spots[kept], index[kept]
    layer = np.zeros((h * w, 4), np.float32)
    at = spots[:, 1] * w + spots[:, 0]
    layer[at, :3] = paint.reshape(-1, 3)[index]
    layer[at, 3] = 1
    layer = layer.reshape(h, w, 4)
    solid = cv2.morphologyEx(layer[..., 3], cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    alpha = cv2.GaussianBlur(solid, (0, 0), 0.5)[..., None]
    soft = cv2.GaussianBlur(layer, (0, 0), 0.9)
    canvas += alpha * (soft[..., :3] / (soft[..., 3:] + 1e-3) - canvas)
