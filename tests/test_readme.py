"""What the README says can be done is done here."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from keyposs.data import Synthetic
from keyposs.found import Found

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_a_snippet_finds_landmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = (text for text in SNIPPETS if "keyposs.load" in text)
    monkeypatch.chdir(tmp_path)
    face = Synthetic(test=1).annotations("test")[0]
    Image.fromarray(face.read()).save("photo.jpg")
    names: dict[str, Found] = {}
    exec(snippet, names)
    assert np.linalg.norm(names["faces"].points[0] - face.keypoints, axis=-1).mean() < 0.08 * face.norm
    assert (tmp_path / "drawn.png").is_file()


def test_a_snippet_decodes_heatmaps() -> None:
    (snippet,) = (text for text in SNIPPETS if "heatmaps" in text)
    names: dict[str, torch.Tensor] = {}
    exec(snippet, names)
    assert names["points"].shape == names["pixels"].shape == (32, 68, 2)
    assert names["scores"].shape == (32, 68)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_a_link_leads_to_a_file(link: str) -> None:
    assert (Path(__file__).parents[1] / link).is_file()


def test_the_commands_are_those_of_the_makefile() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"^ +make (\w+)", README, flags=re.MULTILINE)) <= targets
