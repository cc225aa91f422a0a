import os
from pathlib import Path

import numpy as np
import pytest
import torch

from keyposs.correspondence import CORRESPONDENCES, Correspondence, compose, correspondence
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_19, MARKUP_29, MARKUP_68, MARKUP_98, MARKUPS, Markup

PAIRS = pytest.mark.parametrize(("source", "target"), list(CORRESPONDENCES), ids=" -> ".join)
DATA = os.environ.get("KEYPOSS_DATA")


@PAIRS
def test_every_point_is_a_mean(source: str, target: str) -> None:
    found = correspondence(MARKUPS[source], MARKUPS[target])
    assert found.weights.shape == (MARKUPS[target].size, MARKUPS[source].size)
    assert torch.allclose(found.weights.sum(1), torch.ones((), dtype=torch.float64), atol=1e-12)
    assert (found.weights >= 0).all()
    assert str(found) == f"{source} -> {target}"


@PAIRS
def test_flip_and_conversion_commute(source: str, target: str) -> None:
    found = correspondence(MARKUPS[source], MARKUPS[target])
    points = torch.randn(3, MARKUPS[source].size, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mirror = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    first = found.convert(mirror * points[:, list(MARKUPS[source].flip)])
    then = mirror * found.convert(points)[:, list(MARKUPS[target].flip)]
    assert torch.allclose(first, then, atol=1e-12)


@PAIRS
def test_sides_are_not_mixed(source: str, target: str) -> None:
    """A point of one half comes from that half alone, one of the middle from both alike."""
    found = correspondence(MARKUPS[source], MARKUPS[target])
    x = found.convert(torch.tensor(sides(MARKUPS[source]), dtype=torch.float64)[:, None])[:, 0]
    assert torch.allclose(x, torch.tensor(sides(MARKUPS[target]), dtype=torch.float64), atol=1e-12)


def sides(markup: Markup) -> list[int]:
    """-1 for points on the person's right, 1 on the left, 0 in the middle.

    Lines that cross the middle run from right to left, save the lower lips, which come back.
    """
    back = {"68": {*range(55, 60), *range(65, 68)}, "98": {*range(83, 88), *range(93, 96)}}.get(markup.name, set())
    found = []
    for point, (name, partner) in enumerate(zip(markup.names, markup.flip, strict=True)):
        if point == partner:
            found.append(0)
        elif name.startswith(("right", "left")):
            found.append(-1 if name.startswith("right") else 1)
        else:
            found.append(-1 if (point < partner) != (point in back) else 1)
    return found


@pytest.mark.parametrize("markup", [MARKUP_19, MARKUP_98], ids=lambda markup: markup.name)
def test_one_scheme_is_the_identity(markup: Markup) -> None:
    points = torch.randn(2, 3, markup.size, 2)
    assert torch.equal(correspondence(markup, markup).convert(points), points)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (MARKUP_98, MARKUP_68, {0: 0, 8: 16, 16: 32, 17: 33, 22: 42, 30: 54, 39: 64, 45: 72, 48: 76, 60: 88, 67: 95}),
        (MARKUP_98, MARKUP_68, {37: 61 + 1 / 3, 38: 63 - 1 / 3, 40: 65 + 1 / 3, 41: 67 - 1 / 3}),
        (MARKUP_68, MARKUP_29, {0: 17, 5: 19, 8: 36, 9: 45, 12: 37.5, 16: 38.5, 20: 30, 22: 54, 27: 57, 28: 8}),
        (MARKUP_98, MARKUP_29, {4: 35, 8: 60, 12: 62, 13: 66, 16: 96, 17: 97, 20: 54, 28: 16}),
    ],
    ids=["98 -> 68", "98 -> 68 lids", "68 -> 29", "98 -> 29"],
)
def test_entries(source: Markup, target: Markup, expected: dict[int, float]) -> None:
    """Points that lie at their own numbers say where a mean of them comes from."""
    numbers = torch.arange(source.size, dtype=torch.float64)[:, None].repeat(1, 2)
    found = correspondence(source, target).convert(numbers)[:, 0]
    assert {point: found[point].item() for point in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_batch_and_dtype(dtype: torch.dtype) -> None:
    points = torch.rand(2, 3, 98, 2).to(dtype)
    converted = correspondence(MARKUP_98, MARKUP_29).convert(points)
    assert (converted.shape, converted.dtype) == ((2, 3, 29, 2), dtype)
    one_by_one = torch.stack([points[..., [84, 85, 86], :].mean(-2), points[..., [14, 16, 18], :].mean(-2)], -2)
    assert torch.allclose(
        converted[..., 27:, :].float(), one_by_one.float(), atol=2e-2 if dtype.itemsize == 2 else 1e-6
    )


def test_composition_is_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    first = tuple(tuple(rng.integers(0, 9, rng.integers(1, 5)).tolist()) for _ in range(7))
    second = tuple(tuple(rng.integers(0, 7, rng.integers(1, 4)).tolist()) for _ in range(5))
    points = torch.randn(9, 2, dtype=torch.float64)
    both = Correspondence("c", "b", 7, second).convert(Correspondence("a", "c", 9, first).convert(points))
    assert torch.allclose(Correspondence("a", "b", 9, compose(first, second)).convert(points), both, atol=1e-12)


@pytest.mark.parametrize(
    "pair",
    [(MARKUP_68, MARKUP_98), (MARKUP_19, MARKUP_29), (Markup("98", (), (), size=98), MARKUP_68)],
    ids=["68 -> 98", "19 -> 29", "another 98"],
)
def test_unknown_pairs(pair: tuple[Markup, Markup]) -> None:
    message = rf"has no known correspondence .*{pair[1].name}.* choose one of 98 -> 68, 68 -> 29, 98 -> 29"
    with pytest.raises(KeyposError, match=message):
        correspondence(*pair)


@pytest.mark.skipif(DATA is None, reason="needs the real annotations in $KEYPOSS_DATA")
def test_converted_wflw_lies_on_300w() -> None:
    """About the gaps of the module's docstring, of a quarter of its faces."""
    file = Path(DATA or "") / "wflw_annotations_only/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt"
    wflw = np.loadtxt(file, usecols=range(196)).reshape(-1, 98, 2)
    texts = [path.read_text() for path in sorted((Path(DATA or "") / "300w").rglob("*.pts"))]
    ibug = np.array([text.split("{")[1].split("}")[0].split() for text in texts], float).reshape(-1, 68, 2)
    converted = correspondence(MARKUP_98, MARKUP_68).convert(torch.tensor(wflw)).numpy()
    ours, theirs = mean_shape(converted), mean_shape(ibug)
    stable = [27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45, 48, 54]
    gaps = 100 * np.abs(aligned(ours, theirs, stable) - theirs) / np.abs(theirs[36] - theirs[45])
    parts = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "lids": (36, 48), "lips": (48, 68)}
    found = {name: gaps[first:last].mean() for name, (first, last) in parts.items()}
    assert found == pytest.approx({"jaw": 2.8, "brows": 2.7, "nose": 1.9, "lids": 0.8, "lips": 4.0}, abs=0.7)
    assert gaps.mean() == pytest.approx(2.64, abs=0.3)
    assert gaps[[61, 63, 65, 67]].min() > 6


def mean_shape(faces: np.ndarray) -> np.ndarray:
    """Symmetric mean (complex) of near-frontal faces of 68 points, each laid over the mean."""
    shapes = faces @ np.array([1, 1j])
    across = shapes[:, 45] - shapes[:, 36]
    turned = ((shapes[:, 30] - shapes[:, [36, 45]].mean(1)) / across).real
    shapes = shapes[np.abs(turned) < 0.08]
    mean, all_points = shapes[0], list(range(68))
    for _ in range(4):
        mean = np.mean([aligned(shape, mean, all_points) for shape in shapes], axis=0)
        mean = (mean - mean.mean()) / np.abs(mean - mean.mean()).max()
    mean /= (mean[45] - mean[36]) / abs(mean[45] - mean[36])  # upright
    return (mean - mean[list(MARKUP_68.flip)].conj()) / 2


def aligned(shape: np.ndarray, onto: np.ndarray, points: list[int]) -> np.ndarray:
    """The shape, moved, turned and scaled so that the points lie on those of the other, by least squares."""
    a, b = shape[points] - shape[points].mean(), onto[points] - onto[points].mean()
    return (shape - shape[points].mean()) * np.vdot(a, b) / np.vdot(a, a) + onto[points].mean()
