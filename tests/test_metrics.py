import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import simpson

from keyposs.metrics import FaceErrors, nme_per_face

ERRORS = st.lists(st.floats(0, 0.5, width=32), min_size=1, max_size=40)


def of(errors: list[float], threshold: float = 0.08) -> dict[str, float]:
    metric = FaceErrors(threshold)
    metric.update(torch.tensor(errors))
    return {name: float(value) for name, value in metric.compute().items()}


@given(ERRORS)
def test_auc_is_the_integral_of_the_cumulative_distribution(errors: list[float]) -> None:
    thresholds = np.linspace(0, 0.08, 8001)
    curve = (np.asarray(errors, dtype=np.float32)[:, None] <= thresholds).mean(0)
    assert of(errors)["auc"] == pytest.approx(simpson(curve, x=thresholds) / 0.08, abs=3e-4)


@given(ERRORS)
def test_nme_and_fr(errors: list[float]) -> None:
    exact = np.asarray(errors, dtype=np.float32)
    got = of(errors)
    assert got["nme"] == pytest.approx(100 * exact.mean(dtype=float), rel=1e-5, abs=1e-6)
    assert got["fr"] == pytest.approx(100 * (exact > 0.08).mean(), rel=1e-5)
    assert got["faces"] == len(errors)


@given(ERRORS, st.integers(1, 39))
def test_parts_add_up_like_ranks(errors: list[float], cut: int) -> None:
    parts = [FaceErrors(0.08), FaceErrors(0.08)]
    for metric, part in zip(parts, (errors[:cut], errors[cut:]), strict=True):
        metric.update(torch.tensor(part))
    parts[0].merge_state(parts[1])
    assert float(parts[0].compute()["nme"]) == pytest.approx(of(errors)["nme"], rel=1e-5, abs=1e-6)


def test_a_nan_is_a_failure() -> None:
    got = of([float("nan"), 0.0])
    assert np.isnan(got["nme"])
    assert got["fr"] == 50
    assert got["auc"] == 0.5


def test_nme_by_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    points, keypoints = torch.rand(2, 5, 68, 2, generator=generator) * 300
    visible = torch.rand(5, 68, generator=generator) < 0.7
    norm = torch.rand(5, generator=generator) + 50
    expected = []
    for i in range(5):
        distances = [np.hypot(*(points[i, k] - keypoints[i, k]).numpy()) for k in range(68) if visible[i, k]]
        expected.append(np.mean(distances) / norm[i].item())
    got = nme_per_face(points, keypoints, visible, norm).numpy()
    assert got == pytest.approx(np.array(expected), rel=1e-5)
