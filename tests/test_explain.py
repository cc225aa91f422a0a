import numpy as np
import pytest
from matplotlib.patches import Circle

from keyposs import explain
from keyposs.grid import Grid


def gaussian(point, size, *, sigma=2.0, amplitude=1.0):
    y, x = np.mgrid[:size, :size]
    return amplitude * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("size", [64, 8, 4])
def test_the_ranges_of_an_exact_map_meet_in_the_point(size, kernel):
    rng = np.random.default_rng(size)
    for point in rng.uniform(-0.5, size - 0.5, (20, 2)):
        heatmap = gaussian(point, size)
        anchors, radii = explain.ranges(heatmap, sigma=2.0, kernel=kernel)
        np.testing.assert_allclose(np.linalg.norm(anchors - point, axis=-1), radii, atol=1e-9)
        assert len(set(map(tuple, anchors))) == kernel**2
        assert (np.ptp(anchors, axis=0) == kernel - 1).all()
        assert np.unravel_index(heatmap.argmax(), heatmap.shape)[::-1] in set(map(tuple, anchors))


def test_ranges_follow_the_amplitude_and_end_at_zero():
    point, sigma = np.array([3.3, 4.6]), 1.5
    exact = np.linalg.norm(explain.ranges(gaussian(point, 9, sigma=sigma), sigma=sigma, kernel=2)[0] - point, axis=-1)
    for amplitude in (0.5, 1.5):
        _, radii = explain.ranges(gaussian(point, 9, sigma=sigma, amplitude=amplitude), sigma=sigma, kernel=2)
        squared = exact**2 - 2 * sigma**2 * np.log(amplitude)
        np.testing.assert_allclose(radii, np.sqrt(np.maximum(0, squared)), atol=1e-9)
    assert radii.min() == 0


def picture_of_map(heatmap, keypoint, point, **more):
    size = 256
    image = np.tile(np.linspace(0, 255, size).astype(np.uint8)[:, None], (1, size, 3)).reshape(size, size, 3)
    grid = Grid(size, len(heatmap))
    return explain.distance_map(
        image, heatmap, grid, sigma=2.0, kernel=2, keypoint=np.array(keypoint), point=np.array(point), **more
    )


def test_the_circles_drawn_pass_through_the_point_in_crop_pixels(monkeypatch):
    figures, draw = [], explain.draw
    monkeypatch.setattr(explain, "draw", lambda figure: figures.append(figure) or draw(figure))
    cells = np.array([9.25, 4.5])
    pixels = (cells + 0.5) * 16 - 0.5
    keypoint = pixels + np.array([3.0, 4.0])
    picture_of_map(gaussian(cells, 16), keypoint, pixels, name="right eye 0")
    whole, near = figures[0].axes
    circles = [patch for patch in near.patches if isinstance(patch, Circle)]
    assert len(circles) == 4
    for circle in circles:
        assert np.hypot(*(np.array(circle.center) - pixels)) == pytest.approx(circle.radius, abs=1e-6)
    stations = next(line for line in near.lines if line.get_marker() == "s").get_xydata()
    np.testing.assert_array_equal(stations, [circle.center for circle in circles])
    assert {tuple(line.get_xydata()[0]) for line in whole.lines} == {tuple(pixels), tuple(keypoint)}
    assert figures[0].get_suptitle() == "right eye 0: 5.0 px = 0.31 cells off"
    assert all(list(image.get_extent()) == [-0.5, 255.5, 255.5, -0.5] for ax in (whole, near) for image in ax.images)


@pytest.mark.parametrize(
    ("heatmap", "keypoint", "point"),
    [
        (np.zeros((8, 8)), [100.0, 90.0], [127.5, 127.5]),
        (np.full((8, 8), np.nan), [100.0, 90.0], [127.5, 127.5]),
        (gaussian((7.4, -0.4), 8), [900.0, -400.0], [255.0, -30.0]),
        (gaussian((1, 2), 4), [np.nan, np.nan], [80.0, 90.0]),
    ],
)
def test_a_map_that_holds_nothing_or_points_far_off_still_make_a_picture(heatmap, keypoint, point):
    picture = picture_of_map(heatmap, keypoint, point)
    assert picture.shape == (390, 720, 3)
    assert picture.std() > 10
