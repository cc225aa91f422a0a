"""Boxes of the package uniface, by a stand-in of its interface (4.2)."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import keyposs
from keyposs.errors import KeyposError


def fake(monkeypatch: pytest.MonkeyPatch, detector: Any) -> None:
    module = ModuleType("uniface")
    module.SCRFD = detector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uniface", module)


class Blue:
    """Finds a face in blue pictures, and one without a size: BGR comes in."""

    def detect(self, image: np.ndarray) -> list[Any]:
        assert image.dtype == np.uint8
        boxes = [[10, 20, 70, 80], [5, 5, 5, 9]] if image[0, 0, 0] == 255 else []
        return [SimpleNamespace(bbox=np.array(box, np.float32), confidence=0.9, landmarks=None) for box in boxes]


def test_faces_are_found_by_uniface(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, Blue)
    finder = keyposs.load("keyposs-4", device="cpu", boxes="uniface")
    blue, red = (np.zeros((100, 90, 3), np.uint8) + np.array(c, np.uint8) for c in ((0, 0, 255), (255, 0, 0)))
    assert [found.boxes.tolist() for found in finder([blue, red])] == [[[10, 20, 70, 80]], []]


def test_uniface_without_itself_its_runtime_or_its_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline() -> None:
        raise ConnectionError("Download failed for 'scrfd_10g'")

    fake(monkeypatch, offline)
    with pytest.raises(KeyposError, match=r"boxes=uniface: has no weights \(Download failed.*connect to the internet"):
        keyposs.load("keyposs-4", device="cpu", boxes="uniface")
    monkeypatch.setitem(sys.modules, "uniface", None)
    with pytest.raises(KeyposError, match=r'boxes=uniface: cannot be used .*pip install "keyposs\[uniface\]"'):
        keyposs.load("keyposs-4", device="cpu", boxes="uniface")
