"""The picture of a cascade's patches: what matplotlib was told to draw, against the output it was given."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keyposs import attention as drawing
from keyposs.attention import Look, attention
from keyposs.codecs import Cascade, CascadeOutput
from keyposs.explain import Seen, explain
from keyposs.markup import Markup

SIZE = 64
IMAGE = np.tile(np.linspace(0, 255, SIZE).astype(np.uint8)[:, None], (1, SIZE, 3)).reshape(SIZE, SIZE, 3)
KEYPOINTS = np.array([[20.0, 20.0], [40.0, 22.0], [30.0, 45.0], [np.nan, np.nan]])


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    seen, draw = [], drawing.draw
    monkeypatch.setattr(drawing, "draw", lambda figure: seen.append(figure) or draw(figure))
    return seen


def look(seed: int, **more: object) -> Look:
    rng = np.random.default_rng(seed)
    drawn = Look(rng.uniform(0, SIZE, (3, 2)), 14, rng.uniform(0.2, 0.8, 3), rng.uniform(0, SIZE, (4, 2)), 0.25)
    return drawn._replace(**more)


def test_squares_lie_around_the_centres_the_most_attended_on_top(figures: list[Figure]) -> None:
    looks = [look(0, side=28), look(1)]
    attention(IMAGE, looks, keypoints=KEYPOINTS, norm=20.0)
    panels = figures[0].axes[:2]
    for ax, seen in zip(panels, looks, strict=True):
        squares = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        order = np.argsort(seen.attention)
        middles = [(s.get_x() + s.get_width() / 2, s.get_y() + s.get_height() / 2) for s in squares]
        np.testing.assert_allclose(middles, seen.centres[order])
        assert {(s.get_width(), s.get_height()) for s in squares} == {(seen.side, seen.side)}
        assert list(ax.images[0].get_extent()) == [-0.5, SIZE - 0.5, SIZE - 0.5, -0.5]
        np.testing.assert_array_equal(ax.lines[-1].get_xydata(), seen.points)
        np.testing.assert_array_equal(ax.lines[-2].get_xydata(), KEYPOINTS)
        colours = [s.get_edgecolor()[:3] for s in squares]  # from plasma's dark blue to its yellow
        np.testing.assert_allclose(colours[0], (0.05, 0.03, 0.53), atol=0.01)
        np.testing.assert_allclose(colours[-1], (0.94, 0.975, 0.13), atol=0.01)
    scales = [ax for ax in figures[0].axes if ax not in panels]
    assert [tuple(ax.get_xlim()) for ax in scales] == [(s.attention.min(), s.attention.max()) for s in looks]


def test_the_title_compares_the_estimate_with_what_it_estimates(figures: list[Figure]) -> None:
    off = KEYPOINTS + np.array([[3.0, -4.0], [0.0, 0.0], [-1.0, 1.0], [0.0, 0.0]])
    attention(IMAGE, [look(0, points=off, estimate=0.1234)], keypoints=KEYPOINTS, norm=20.0)
    assert figures[0].axes[0].get_title() == "stage 1: error 15.0 %, estimated 12.3 %"  # (7 + 0 + 2) / 3 / 20


@pytest.mark.parametrize("ran", [1, 2, 3])
def test_a_face_that_stopped_early_has_no_further_stages(ran: int, figures: list[Figure]) -> None:
    """Of a batch it is the first face; of a stage its own row."""
    rng = torch.Generator().manual_seed(0)
    points, centres = (SIZE * torch.rand(3, 2, n, 2, generator=rng) for n in (4, 2))
    output = CascadeOutput(
        points, torch.rand(3, 2, generator=rng), torch.tensor([ran, 3]), torch.rand(3, 2, 2, generator=rng), centres
    )
    face = Seen(IMAGE, KEYPOINTS, points[-1, 0].double().numpy(), 20.0, Markup("own", (), (), size=4))
    pictures = explain(Cascade(SIZE, (2, 1, 0), patch=10), output, face)
    assert list(pictures) == ["patch_attention"]
    panels = figures[0].axes[:ran]
    assert len(figures[0].axes) == 2 * ran
    for i, ax in enumerate(panels):
        np.testing.assert_allclose(ax.lines[-1].get_xydata(), points[i, 0].numpy())
        assert ax.patches[0].get_width() == (40, 20, 10)[i]
        middles = {(s.get_x() + s.get_width() / 2, s.get_y() + s.get_height() / 2) for s in ax.patches}
        np.testing.assert_allclose(sorted(middles), sorted(map(tuple, centres[i, 0].tolist())), rtol=1e-6)


@pytest.mark.parametrize(
    "odd",
    [
        {"attention": np.full(3, 0.5)},
        {"points": np.full((4, 2), np.nan), "centres": np.full((3, 2), np.nan)},
        {"centres": np.array([[-500.0, 20.0], [900.0, 900.0], [3.0, 3.0]])},
        {"estimate": float("nan")},
    ],
)
def test_odd_values_still_make_a_picture(odd: dict[str, object]) -> None:
    picture = attention(IMAGE, [look(0), look(1, **odd)], keypoints=KEYPOINTS, norm=20.0)
    assert picture.shape == (460, 720, 3)
    assert picture.std() > 10


def test_without_ground_truth(figures: list[Figure]) -> None:
    attention(IMAGE, [look(0)], keypoints=np.full((4, 2), np.nan), norm=20.0)
    assert figures[0].axes[0].get_title() == "stage 1: error nan %, estimated 25.0 %"
