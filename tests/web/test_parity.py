"""The page beside Python on many faces."""

import runpy
from collections.abc import Callable
from pathlib import Path


def test_200_rendered_faces_are_read_as_by_python(web: Path, drive: Callable[..., str], tmp_path: Path) -> None:
    """Of several sizes, every second one in noise, in boxes that are off; in pixels of the pictures."""
    parity = runpy.run_path(str(web / "tests" / "parity.py"))
    (distances,) = parity["apart"](["keyposs-8"], parity["rendered"](tmp_path)).values()
    assert distances.shape == (200, 68)
    assert distances.max() < 0.2  # 0.05 as measured; docs/performance.md has all networks
    assert distances.mean() < 0.005
