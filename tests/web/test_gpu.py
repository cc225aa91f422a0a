"""The page where WebGPU is of no use. What it does with one that is, web/tests/network.test.ts tells."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np


def test_a_gpu_of_software_and_a_broken_one_are_done_without(drive: Callable[..., str], tmp_path: Path) -> None:
    picture = tmp_path / "blank.png"
    cv2.imwrite(str(picture), np.full((30, 40, 3), 128, dtype=np.uint8))
    told = json.loads(drive("gpu.mjs", picture))
    for visit in told.values():
        assert visit["gpu"] == "swiftshader"
        assert visit["runs"].startswith("WebAssembly")
    assert not told["software"]["fetched"]  # 27 MB for nothing
    assert told["broken"]["fetched"]
