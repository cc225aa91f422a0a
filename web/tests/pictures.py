"""`python web/tests/pictures.py`: the pictures of docs/web.md, of rendered faces. `make web-build` first."""

import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from keyposs.data import Synthetic

ROOT = Path(__file__).parents[2]

FACES = {1280: [29, 37], 390: [29]}
"""Of the rendered ones, by the width of the page."""

LOOKS = {1280: ("1", "light"), 390: ("1.5", "dark")}
"""Pixels of the picture over those of the page, and colours."""


def main() -> None:
    """Writes docs/web_1280.jpg and docs/web_390.jpg."""
    faces = Synthetic(test=1 + max(max(of) for of in FACES.values())).annotations("test")
    with tempfile.TemporaryDirectory() as folder:
        photo = str(Path(folder, "photo.png"))
        for width, chosen in FACES.items():
            cv2.imwrite(photo, np.concatenate([faces[i].read() for i in chosen], axis=1)[..., ::-1])
            picture = ROOT / "docs" / f"web_{width}.jpg"
            words = [str(ROOT / "web" / "dist"), photo, str(picture), str(width), *LOOKS[width]]
            subprocess.run(["node", "tests/pictures.mjs", *words], cwd=ROOT / "web", check=True)


if __name__ == "__main__":
    main()
