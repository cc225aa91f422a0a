"""How a synthetic person looks and is lit, drawn by lot: colours, hair, beard, glasses, light and camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from keyposs.data.rendering.paint import colour
from keyposs.data.rendering.scene import random_stream

_SKINS = [
    (250, 220, 200),
    (240, 200, 172),
    (222, 182, 155),
    (198, 148, 112),
    (160, 112, 80),
    (120, 80, 57),
    (84, 56, 42),
]
_HAIRS = [(22, 18, 18), (42, 30, 24), (74, 50, 34), (112, 76, 46), (170, 126, 74), (214, 176, 118)]
_HAIRS += [(132, 58, 30), (168, 164, 160)]
_CLOTHS = [
    (40, 50, 74),
    (150, 40, 44),
    (228, 226, 220),
    (52, 52, 54),
    (70, 104, 82),
    (176, 146, 90),
    (110, 128, 168),
]
_IRISES = [(70, 44, 28), (92, 62, 36), (48, 32, 24), (96, 104, 66), (92, 122, 146), (112, 120, 118)]

STYLES = (
    "bald",
    "short",
    "receding",
    "fringe",
    "side",
    "long",
    "long fringe",
    "afro",
    "bun",
    "beanie",
    "veil",
)
CLOTH = ("beanie", "veil")
LONG = ("long", "long fringe", "veil")
_STYLE_ODDS = np.array([5, 20, 8, 11, 14, 15, 8, 6, 5, 4, 4]) / 100


@dataclass(frozen=True)
class Look:
    """What paint needs to know about a face. Colours are linear light."""

    skin: Float[np.ndarray, " 3"]
    hair: Float[np.ndarray, " 3"]
    cloth: Float[np.ndarray, " 3"]
    iris: Float[np.ndarray, " 3"]
    lips: Float[np.ndarray, " 3"]
    style: str
    parting: int  # side on which the hair is parted, -1 or 1
    volume: float  # of the hair, 1 about average
    hairline: float  # height of the forehead, 1 about average
    beard: float  # 0 none, 0.3 stubble, 1 full
    moustache: float
    brow_weight: float
    make_up: float
    age: float  # depth of folds, in 0..1
    glasses: str  # "", "round", "square" or "dark"
    gaze: Float[np.ndarray, " 2"]
    light: Float[np.ndarray, " 3"]  # towards the lamp, unit length
    lamp: Float[np.ndarray, " 3"]
    ambient: Float[np.ndarray, " 3"]
    shine: float


def draw_look(key: Sequence[int]) -> Look:
    """The look that belongs to a key."""
    rng = random_stream(key, 1)
    style = str(rng.choice(STYLES, p=_STYLE_ODDS))
    light, lamp, ambient = _draw_light(rng)
    return Look(
        **_draw_face(rng, style),
        cloth=colour(*_CLOTHS[rng.integers(len(_CLOTHS))]) * rng.uniform(0.6, 1.2),
        style=style,
        parting=int(rng.choice([-1, 1])),
        volume=float(rng.uniform(0.7, 1.4)),
        hairline=float(rng.normal(1, 0.08)),
        brow_weight=float(rng.uniform(0.6, 1.3)),
        age=float(rng.uniform(0, 1) ** 1.5),
        glasses=str(rng.choice(["", "round", "square", "dark"], p=[0.74, 0.11, 0.11, 0.04])),
        gaze=rng.normal(0, 0.35, 2) * [1, 0.5],
        light=light,
        lamp=lamp,
        ambient=ambient,
        shine=float(rng.uniform(0.02, 0.16)),
    )


def _draw_face(rng: np.random.Generator, style: str) -> dict[str, Any]:
    """Colours of skin, hair, eyes and lips that go together, beard and make-up."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    dark = tone > 3 and rng.random() < 0.85
    hairs = _CLOTHS if style in CLOTH else _HAIRS[:3] if dark else _HAIRS
    bearded = style not in (*LONG, "bun") and rng.random() < 0.35
    beard = float(rng.choice([0.25, 0.6, 1.0])) if bearded else 0.0
    make_up = rng.uniform(0.3, 1) if style in (*LONG, "bun") and rng.random() < 0.75 else 0.0
    rose = np.array([1.0, 0.34, 0.40]) if make_up else np.array([0.98, 0.50, 0.55])
    return {
        "skin": _between(_SKINS, tone) * rng.uniform(0.94, 1.05, 3),
        "hair": colour(*hairs[rng.integers(len(hairs))]) * rng.uniform(0.8, 1.2),
        "iris": colour(*_IRISES[rng.integers(3 if tone > 3 else len(_IRISES))]),
        "lips": rose * rng.uniform(0.85, 1.05),
        "beard": beard,
        "moustache": beard if rng.random() < 0.8 else 0.0,
        "make_up": make_up,
    }


def _draw_light(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Direction towards the lamp, the lamp's light, and the light that comes from all around."""
    azimuth, height = rng.normal(0, 0.75), rng.uniform(-0.1, 0.95)
    light = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)])
    warm = rng.normal(0, 0.06)
    lamp = np.array([1 + warm, 1, 1 - warm]) * rng.uniform(0.70, 1.05)
    return light, lamp, np.array([1.05 - warm, 0.98, 0.96 + warm]) * rng.uniform(0.22, 0.48)


def _between(colours: Sequence[tuple[int, int, int]], at: float) -> Float[np.ndarray, " 3"]:
    i = min(int(at), len(colours) - 2)
    a, b = colour(*colours[i]), colour(*colours[i + 1])
    return a + (at - i) * (b - a)
