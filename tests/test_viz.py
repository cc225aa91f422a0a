import cv2
import numpy as np
import pytest

from keyposs import viz
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


@pytest.mark.parametrize("turn", [0.0, 0.6, 2.0])
def test_an_ellipse_of_two_standard_deviations_stands_around_its_point(turn):
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    covariance = axes @ np.diag([20.0**2, 8.0**2]) @ axes.T
    point = np.array([[130.25, 99.5]])
    plain = viz.overlay(grey(), None, point, DOT)
    drawn = viz.overlay(grey(), None, point, DOT, covariances=covariance[None])
    y, x = np.nonzero((drawn != plain).any(-1))
    rim = (np.stack([x, y], -1) + 0.5) / 2 - 0.5 - point
    reach = np.sqrt(np.einsum("ni,ij,nj->n", rim, np.linalg.inv(covariance), rim))
    assert 1.8 < reach.min() <= reach.max() < 2.2
    np.testing.assert_allclose(np.cov((drawn != plain).any(-1).nonzero())[::-1, ::-1] > 0, covariance > 0)


def test_covariances_that_are_no_number_or_immense_draw_nothing_wild():
    points = np.full((3, 2), 90.0)
    covariances = np.array([np.full((2, 2), np.nan), 1e30 * np.eye(2), np.zeros((2, 2))])
    drawn = viz.overlay(grey(), None, points, Markup("3", (), (), size=3), covariances=covariances)
    assert drawn.shape == (400, 512, 3)
