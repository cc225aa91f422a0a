"""Hair, hats and veils: how far down they reach, how thick they lie, and how they catch the light."""

import numpy as np
from jaxtyping import Float

from keyposs.data.rendering.look import CLOTH, Look
from keyposs.data.rendering.mesh import noise

_CROWN = np.array([0.0, -0.35, -0.8])

# Lower edge of the hair (y) at angles around the head in degrees, per style.
_ANGLES = [0, 30, 48, 58, 66, 74, 82, 90, 98, 108, 150]
_EDGES = {
    "short": [-0.84, -0.82, -0.72, -0.55, -0.30, -0.10, 0.12, 0.02, 0.20, 0.60, 0.75],
    "receding": [-1.02, -1.10, -1.05, -0.80, -0.48, -0.20, 0.10, 0.02, 0.20, 0.60, 0.75],
    "fringe": [-0.42, -0.38, -0.35, -0.28, -0.20, 0.00, 0.20, 0.10, 0.25, 0.62, 0.80],
    "side": [-0.80, -0.66, -0.55, -0.42, -0.26, -0.08, 0.14, 0.05, 0.20, 0.60, 0.75],
    "long": [-0.86, -0.80, -0.62, -0.42, -0.12, 0.22, 0.50, 0.66, 0.72, 0.74, 0.8],
    "long fringe": [-0.40, -0.36, -0.30, -0.20, 0.00, 0.30, 0.55, 0.68, 0.72, 0.74, 0.8],
    "afro": [-0.84, -0.80, -0.68, -0.48, -0.25, -0.05, 0.10, 0.15, 0.30, 0.60, 0.75],
    "bun": [-0.86, -0.82, -0.70, -0.52, -0.32, -0.18, -0.05, 0.00, 0.20, 0.50, 0.60],
    "beanie": [-0.55, -0.54, -0.52, -0.50, -0.46, -0.42, -0.36, -0.30, -0.20, 0.00, 0.30],
    "veil": [-0.80, -0.74, -0.50, -0.15, 0.45, 1.0, 1.5, 1.5, 1.5, 1.5, 1.5],
}
_THICKNESS = {
    **{"short": 0.07, "receding": 0.05, "fringe": 0.10, "side": 0.12, "long": 0.12, "long fringe": 0.12},
    **{"afro": 0.34, "bun": 0.06, "beanie": 0.10, "veil": 0.10},
}


def hair_margin(look: Look, turns: Float[np.ndarray, " m"], y: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """How far the surface lies above the lower edge of the hair: positive within it."""
    if look.style == "bald":
        return np.full(y.shape, -9.0)
    degrees = np.degrees(turns)
    edge = np.interp(np.abs(degrees), _ANGLES, _EDGES[look.style])
    if look.style in ("side", "long"):
        edge = edge + 0.14 * look.parting * np.tanh(degrees / 25) * np.clip((78 - np.abs(degrees)) / 25, 0, 1)
    if look.style not in ("fringe", "long fringe", *CLOTH):
        edge = np.where(np.abs(degrees) < 50, edge * look.hairline, edge)
    return edge - y


def hair_lift(
    look: Look,
    surface: Float[np.ndarray, "n m 3"],
    margin: Float[np.ndarray, "n m"],
    lumps: Float[np.ndarray, "n m"],
) -> Float[np.ndarray, "n m 3"]:
    """The surface with the hair's thickness laid on."""
    if look.style == "bald":
        return surface
    away = surface - _CROWN
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    thick = _THICKNESS[look.style] * look.volume * np.clip(margin / (0.5 if look.style == "afro" else 0.14), 0, 1)
    if look.style not in CLOTH:
        thick = thick * (1 + 0.22 * lumps)
    return surface + away * (thick * (1 - 0.5 * np.clip(surface[..., 1], 0, 1)))[..., None]


def hair_strands(look: Look, vertices: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Noise of about unit deviation over the finer samples of the head, drawn out along the hair."""
    if look.style == "afro":
        return 0.8 * noise(rng, vertices, 110, 110) + 0.5 * noise(rng, vertices, 30, 30)
    fine = noise(rng, vertices, 12, 3 * vertices[1])
    return np.clip(0.65 * fine + 0.65 * noise(rng, vertices, 6, 30) + 0.3 * noise(rng, vertices, 4, 9), -2, 2)


def hair_shine(look: Look, normals: Float[np.ndarray, "n m 3"]) -> Float[np.ndarray, "n m"]:
    """The bright band across the hair, as a factor."""
    half = look.light + np.array([0, -0.5, 1])
    facing = normals @ (half / np.linalg.norm(half))
    return 0.8 + (0.15 if look.style in (*CLOTH, "afro") else 1.0) * np.exp(-(((facing - 0.93) / 0.09) ** 2))
