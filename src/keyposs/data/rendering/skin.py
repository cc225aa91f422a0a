"""The head's surface: the colours of skin and beard, and the light that falls on them."""

import numpy as np
from jaxtyping import Float

from keyposs.data.rendering.hair import hair_lift, hair_margin, hair_shine, hair_strands
from keyposs.data.rendering.look import CLOTH, Look
from keyposs.data.rendering.mesh import finer, noise, splat, surface_normals
from keyposs.data.rendering.paint import Canvas
from keyposs.data.rendering.scene import Scene

_ROWS, _TURNS = 100, 100
_BACK = np.radians(150)

Field = Float[np.ndarray, "n m"]


def paint_head(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Paints the head without eyes, brows and mouth."""
    u = np.linspace(-1, 1, _TURNS)
    turns = _BACK * (0.55 * u + 0.45 * u**3)  # closest in front, where the features are
    rows = scene.head.even_rows(_ROWS)
    surface = scene.head.grid(turns, rows)
    y = np.interp(rows, np.arange(len(scene.head.rows)), scene.head.rows[:, 1])[:, None]
    x, y = surface[..., 0], np.broadcast_to(y, surface.shape[:2])
    margin = hair_margin(look, turns, y)
    strands = hair_strands(look, (_ROWS, _TURNS), rng)
    lumps = noise(rng, (_ROWS, _TURNS), 7, 14)[1::3, 1::3]
    seen = scene.project(hair_lift(look, surface, margin, lumps))
    normals = surface_normals(seen)
    light = light_on(look, normals)
    shadow = 1 - 0.35 * np.exp(-((np.minimum(margin, 0) / 0.07) ** 2))[..., None]
    albedo = finer(_skin(scene, look, x, y) * shadow)
    if look.beard:
        albedo = _with_beard(albedo, look, finer(_beard(scene, look, x, y)), strands)
    if look.style != "bald":
        tuft = 0.08 if "fringe" in look.style else 0.045
        ragged = finer(np.interp(np.abs(turns), [0.7, 1.1], [tuft, 0.012])[None])[:1]
        albedo = _with_hair(albedo, look, finer(margin), finer(hair_shine(look, normals)), strands, ragged)
    splat(canvas, seen, normals, albedo * finer(light))


def light_on(look: Look, normals: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Light that leaves a white surface, per colour; red bleeds a little into the shadow, as in skin."""
    facing = normals @ look.light
    wrap = np.array([0.30, 0.18, 0.15])
    diffuse = np.clip((facing[..., None] + wrap) / (1 + wrap), 0, None)
    half = look.light + np.array([0, 0, 1])
    glance = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 24
    sky = 0.75 - 0.25 * normals[..., 1:2] + 0.1 * normals[..., 2:]
    return look.ambient * sky + look.lamp * diffuse + look.shine * glance[..., None]


def _with_hair(
    albedo: np.ndarray, look: Look, margin: Field, shine: Field, strands: Field, raggedness: np.ndarray
) -> np.ndarray:
    cloth = look.style in CLOTH
    ends = margin if cloth else margin + raggedness * strands
    cover = np.clip(0.5 + ends / (0.02 if cloth else 0.08), 0, 1)[..., None]
    hair = look.hair.astype(np.float32) * (shine * (1 + (0.05 if cloth else 0.38) * strands))[..., None]
    return albedo + cover * (hair - albedo)


def _with_beard(albedo: np.ndarray, look: Look, beard: Field, strands: Field) -> np.ndarray:
    cover = np.clip(beard * (1 + 0.6 * strands), 0, 0.92)[..., None]
    ink = look.hair.astype(np.float32) if look.style not in CLOTH else np.float32([0.02, 0.014, 0.01])
    return albedo + cover * (np.minimum(ink * 0.8 * (1 + 0.35 * strands)[..., None], albedo * 0.6) - albedo)


def _skin(scene: Scene, look: Look, x: Field, y: Field) -> Float[np.ndarray, "n m 3"]:
    """The skin's own colour: flush on cheeks and nose, shade in the sockets and under nose and lip."""
    rest = scene.head.rest
    side, eye = np.abs(x), rest[36:42].mean(0)

    def spot(at: float, sx: float, level: float, sy: float) -> Field:
        return np.exp(-(((side - at) / sx) ** 2)) * np.exp(-(((y[:, :1] - level) / sy) ** 2))

    base, mouth = rest[33, 1], rest[62, 1]
    flush = 0.5 * spot(0.46, 0.2, 0.42, 0.2) + 0.5 * spot(0, 0.12, rest[30, 1], 0.12)
    flush += 0.25 * spot(0, 0.2, mouth + 0.4, 0.1)
    hollow = (
        0.22 * spot(-eye[0] - 0.02, 0.18, eye[1] - 0.02, 0.11)
        + 0.16 * spot(-rest[39, 0] - 0.03, 0.06, eye[1] - 0.02, 0.09)
        + (0.06 + 0.12 * look.age) * spot(-eye[0] - 0.03, 0.13, eye[1] + 0.13, 0.04)
        + 0.16 * spot(0, 0.16, base + 0.035, 0.035)
        + 0.14 * spot(0, 0.16, mouth + 0.20, 0.04)
        + 0.12 * spot(-rest[48, 0] + 0.02, 0.045, rest[48, 1] + 0.01, 0.05)
    )
    reddened = 1 - flush[..., None] * np.array([0.0, 0.22, 0.18]) * (1 + 0.8 * look.make_up)
    return look.skin * reddened * (1 - np.clip(hollow, 0, 0.6)[..., None] * np.array([0.8, 1.0, 1.0]))


def _beard(scene: Scene, look: Look, x: Field, y: Field) -> Field:
    """How much of the skin a beard and a moustache hide."""
    rest = scene.head.rest
    side, mouth, base = np.abs(x), rest[62, 1], rest[33, 1]
    line = mouth - 0.12 - 0.9 * np.clip(side - 0.42, 0, 1)
    cheek = np.clip((y - line - 0.10 * np.clip(0.42 - side, 0, 1)) / 0.14, 0, 1)
    cheek = cheek * np.clip((side - 0.24) / 0.14, 0, 1)
    chin = np.clip((y - mouth - 0.20) / 0.08, 0, 1)
    height = (y - (base + mouth) / 2 - 0.02 - 0.25 * side**2) / 0.065
    lip = np.exp(-np.square(np.square((side - 0.12) / 0.2)) - np.square(np.square(height)))
    return np.maximum(look.beard * np.maximum(cheek, chin), look.moustache * lip)
