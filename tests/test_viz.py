import cv2
import numpy as np
import pytest
from matplotlib.patches import Circle

from keyposs import viz
from keyposs.grid import Grid
from keyposs.markup import MARKUP_68, Contour, Markup

DOT = Markup("1", (Contour("dot", (0,)),), (), (0, 0), ((0,), (0,)))
PAIR = Markup("2", (Contour("line", (0, 1)),), (), (0, 1), ((0,), (1,)))


def grey(height=200, width=256):
    return np.full((height, width, 3), 128, np.uint8)


def centroid(weight):
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def excess(picture, channel):
    """How much a channel exceeds the larger of the two others."""
    others = np.delete(picture, channel, axis=-1).max(-1)
    return np.clip(picture[..., channel].astype(float) - others, 0, None)


def redness(picture):
    return excess(picture, 0)


def greenness(picture):
    return excess(picture, 1)


@pytest.mark.parametrize("scale", [2, 3.25])
def test_a_dot_stands_on_its_point_and_pixels_have_their_centre_at_the_index(scale):
    rng = np.random.default_rng(0)
    for _ in range(30):
        point = rng.uniform(20, 180, (1, 2))
        picture = viz.overlay(grey(), None, point, DOT, scale=scale)
        assert picture.shape == (200 * scale, 256 * scale, 3)
        np.testing.assert_allclose(centroid(redness(picture)), (point[0] + 0.5) * scale - 0.5, atol=0.05)


def test_the_enlarged_photo_and_the_points_agree():
    image = np.zeros((100, 100, 3), np.uint8)
    image[40, 70] = 255
    picture = viz.overlay(image, None, np.full((1, 2), np.nan), DOT, scale=6)
    np.testing.assert_allclose(centroid(picture[..., 0].astype(float)), np.array([70.5, 40.5]) * 6 - 0.5, atol=0.05)


def test_truth_is_green_and_the_error_line_runs_from_it_to_the_point():
    keypoint, point = np.array([[60.25, 80.0]]), np.array([[180.0, 90.75]])
    picture = viz.overlay(grey(), keypoint, point, DOT)
    np.testing.assert_allclose(centroid(greenness(picture)), (keypoint[0] + 0.5) * 2 - 0.5, atol=0.05)
    np.testing.assert_allclose(centroid(redness(picture)), (point[0] + 0.5) * 2 - 0.5, atol=0.05)
    for t in (0.1, 0.5, 0.9):
        x, y = np.rint((keypoint[0] * (1 - t) + point[0] * t + 0.5) * 2 - 0.5).astype(int)
        assert excess(picture, 2)[y, x] > 90


def test_contours_are_drawn_through_the_points_and_stay_thin():
    points = np.array([[20.0, 50.0], [220.0, 50.0]])
    column = viz.overlay(grey(), None, points, PAIR)[:, 240].astype(int)
    changed = np.flatnonzero((column != 128).any(-1))
    assert 1 <= len(changed) <= 3
    assert abs(changed.mean() - 100.5) <= 0.5
    assert (column[changed] > 128).all()


def test_an_unsure_point_is_paler():
    where = np.array([[100.0, 100.0]])
    sure, unsure, nothing = (
        viz.overlay(grey(), None, where, DOT, scores=np.array([score]))[201, 201] for score in (1.0, 0.5, np.nan)
    )
    assert sure.tolist() == list(viz.POINT)
    assert sure[1] < unsure[1] < nothing[1]


def test_small_crops_are_enlarged_and_large_photos_only_as_told():
    def shape(height, width, scale):
        return viz.overlay(grey(height, width), None, np.zeros((1, 2)), DOT, scale=scale).shape[:2]

    assert shape(32, 64, 2) == (viz.SMALLEST // 2, viz.SMALLEST)
    assert shape(600, 900, 1) == (600, 900)


def test_points_off_the_picture_or_missing_are_not_an_error():
    points = np.random.default_rng(0).uniform(50, 150, (68, 2))
    keypoints = points.copy()
    points[:4] = [[-40, 20], [1e30, -1e30], [np.nan, 3], [np.inf, -np.inf]]
    keypoints[4:6] = [[np.nan, np.nan], [-1e9, 300]]
    assert viz.overlay(grey(), keypoints, points, MARKUP_68).shape == (400, 512, 3)
    nothing = viz.overlay(grey(), None, np.full((68, 2), np.nan), MARKUP_68)
    assert (nothing == 128).all()


def test_the_image_given_is_left_alone():
    image = grey()
    viz.overlay(image, None, np.full((1, 2), 90.0), DOT, scale=1)
    viz.overlay(np.repeat(image, 3, 0), None, np.full((1, 2), 90.0), DOT, scale=1)
    assert (image == 128).all()


def test_a_sheet_holds_every_picture_unchanged_in_rows():
    colours = np.random.default_rng(0).integers(0, 200, (5, 3))
    shapes = [(40, 30), (20, 50), (60, 10), (30, 30), (5, 5)]
    images = [np.full((*shape, 3), c, np.uint8) for shape, c in zip(shapes, colours, strict=True)]
    sheet = viz.sheet(images, columns=3, pad=4)
    assert sheet.shape == (2 * (60 + 4) + 4, 3 * (50 + 4) + 4, 3)
    for i, (shape, colour) in enumerate(zip(shapes, colours, strict=True)):
        y, x = np.nonzero((sheet == colour).all(-1))
        assert (np.ptp(y) + 1, np.ptp(x) + 1, len(y)) == (*shape, shape[0] * shape[1])
        assert (y.mean() // 66, x.mean() // 56) == (i // 3, i % 3)


def test_a_caption_stands_below_its_picture_and_fits():
    images = [np.zeros((50, 120, 3), np.uint8)] * 2
    sheet = viz.sheet(images, columns=2, captions=["multilateration, NME 6.3 %, $σ$ = 2, and so on and on", ""])
    strip = sheet[4 + 50 : -4]
    ink = np.flatnonzero((strip < 128).all(-1).any(0))
    assert ink.min() > 4
    assert ink.max() < 4 + 120
    assert ink.max() - ink.min() > 60


@pytest.mark.parametrize("count", [1, 4, 5])
def test_the_tiles_of_a_sheet_are_its_pictures_with_their_captions(count):
    images = list(np.random.default_rng(0).integers(0, 256, (count, 40, 40, 3), dtype=np.uint8))
    sheet = viz.sheet(images, columns=4, captions=["a"] * count)
    tiles = viz.tiles(sheet, count, columns=4)
    assert [tile.shape for tile in tiles] == [(40 + 18, 40, 3)] * count
    assert all((tile[:40] == image).all() for tile, image in zip(tiles, images, strict=True))


@pytest.mark.parametrize(
    ("images", "columns", "captions", "message"),
    [
        (0, 2, None, "a picture and a column at least, not 0 and 2"),
        (1, 0, None, "a picture and a column at least, not 1 and 0"),
        (2, 2, ["one"], "1 captions for 2 pictures"),
    ],
)
def test_a_sheet_of_nothing_is_refused(images, columns, captions, message):
    with pytest.raises(ValueError, match=message):
        viz.sheet([grey()] * images, columns=columns, captions=captions)


def test_a_saved_picture_comes_back_with_its_colours(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    viz.save(tmp_path / "a" / "b.png", image)
    assert (cv2.imread(str(tmp_path / "a" / "b.png"))[:, :, ::-1] == image).all()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.png"]


def gaussian(point, size, *, sigma=2.0, amplitude=1.0):
    y, x = np.mgrid[:size, :size]
    return amplitude * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("size", [64, 8, 4])
def test_the_ranges_of_an_exact_map_meet_in_the_point(size, kernel):
    rng = np.random.default_rng(size)
    for point in rng.uniform(-0.5, size - 0.5, (20, 2)):
        heatmap = gaussian(point, size)
        anchors, radii = viz.ranges(heatmap, sigma=2.0, kernel=kernel)
        np.testing.assert_allclose(np.linalg.norm(anchors - point, axis=-1), radii, atol=1e-9)
        assert len(set(map(tuple, anchors))) == kernel**2
        assert (np.ptp(anchors, axis=0) == kernel - 1).all()
        assert np.unravel_index(heatmap.argmax(), heatmap.shape)[::-1] in set(map(tuple, anchors))


def test_ranges_follow_the_amplitude_and_end_at_zero():
    point, sigma = np.array([3.3, 4.6]), 1.5
    exact = np.linalg.norm(viz.ranges(gaussian(point, 9, sigma=sigma), sigma=sigma, kernel=2)[0] - point, axis=-1)
    for amplitude in (0.5, 1.5):
        _, radii = viz.ranges(gaussian(point, 9, sigma=sigma, amplitude=amplitude), sigma=sigma, kernel=2)
        squared = exact**2 - 2 * sigma**2 * np.log(amplitude)
        np.testing.assert_allclose(radii, np.sqrt(np.maximum(0, squared)), atol=1e-9)
    assert radii.min() == 0


def picture_of_map(heatmap, keypoint, point, **more):
    size = 256
    image = np.tile(np.linspace(0, 255, size).astype(np.uint8)[:, None], (1, size, 3)).reshape(size, size, 3)
    grid = Grid(size, len(heatmap))
    return viz.distance_map(
        image, heatmap, grid, sigma=2.0, kernel=2, keypoint=np.array(keypoint), point=np.array(point), **more
    )


def test_the_circles_drawn_pass_through_the_point_in_crop_pixels(monkeypatch):
    figures, draw = [], viz.draw
    monkeypatch.setattr(viz, "draw", lambda figure: figures.append(figure) or draw(figure))
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
