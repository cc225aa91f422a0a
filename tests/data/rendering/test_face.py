import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from keyposs.data.rendering.face import expose, paint_face, render_face
from keyposs.data.rendering.features import eye_lids, iris_centre, lip_lines, paint_features
from keyposs.data.rendering.look import draw_look
from keyposs.data.rendering.paint import ellipse, fill, inside, shade, stroke
from keyposs.data.rendering.scene import SIZE, Scene, draw_scene
from keyposs.data.rendering.shape import Expression, Person, shape_head, smooth
from keyposs.data.rendering.skin import paint_head
from keyposs.markup import MARKUP_68


def frontal(expression=Expression(), yaw=0.0, scale=100.3):  # noqa: B008 - immutable
    head = shape_head(Person(), expression)
    return Scene(head, yaw, 0.0, 0.0, scale, np.array([171.37, 190.61]), "", np.zeros(4))


def plain(key=(0, 0, 0), **changes):
    look = draw_look(key)
    return replace(look, style="bald", beard=0.0, moustache=0.0, glasses="", gaze=np.zeros(2), **changes)


def grey(canvas):
    return canvas.mean(-1)


def centroid(weight):
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


# --- the brush


@pytest.mark.parametrize("blur", [0.0, 1.0, 3.0, 6.0, 10.0])
@pytest.mark.parametrize("middle", [(100.0, 90.0), (100.5, 90.25), (99.13, 91.77)])
def test_a_filled_disc_lies_where_it_was_asked_for(middle, blur):
    canvas = np.zeros((200, 200, 3), np.float32)
    fill(canvas, [ellipse(np.array(middle), 12.0, 9.0, 0.4, 200)], np.ones(3), blur=blur)
    # coarse stencils serve strong blurs, where an eighth of the blur is not seen
    assert np.abs(centroid(grey(canvas)) - middle).max() < 0.03 + 0.12 * (blur > 2) * blur
    assert grey(canvas).sum() == pytest.approx(np.pi * 12 * 9, rel=0.03 + 0.04 * blur)


def test_a_stroke_is_as_wide_as_asked():
    canvas = np.zeros((60, 60, 3), np.float32)
    stroke(canvas, [np.array([[10.0, 30.3], [50.0, 30.3]])], np.ones(3), width=4.0)
    profile = grey(canvas)[:, 30]
    assert profile.sum() == pytest.approx(4.0, abs=0.3)
    assert (profile * np.arange(60)).sum() / profile.sum() == pytest.approx(30.3, abs=0.15)


def test_shade_multiplies_and_inside_confines():
    canvas = np.full((50, 50, 3), 0.5, np.float32)
    square = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]])
    shade(canvas, [square], np.array([0.5, 1.0, 2.0]))
    assert canvas[20, 20] == pytest.approx([0.25, 0.5, 1.0])
    inside(canvas, [square], lambda c: c.fill(0))
    assert canvas[20, 20].max() == 0
    assert canvas[40, 40] == pytest.approx(0.5)


def test_paint_beyond_the_canvas_is_lost_quietly():
    canvas = np.zeros((20, 20, 3), np.float32)
    fill(canvas, [ellipse(np.array([-50.0, -50.0]), 5, 5)], np.ones(3))
    fill(canvas, [ellipse(np.array([0.0, 0.0]), 5, 5)], np.ones(3))
    assert grey(canvas).sum() == pytest.approx(np.pi * 25 / 4 + 5 + 0.25, abs=2)


# --- the head


def test_smooth_meets_its_knots():
    knots = np.random.default_rng(0).normal(size=(7, 3))
    assert smooth(knots, np.arange(7.0)) == pytest.approx(knots)


def test_the_neutral_face_is_symmetric():
    points = shape_head(Person(), Expression()).points(0.0)
    assert points == pytest.approx(points[list(MARKUP_68.flip)] * [-1, 1, 1], abs=1e-5)


@pytest.mark.parametrize("yaw", [-0.6, -0.2, 0.0, 0.35, 0.6])
def test_jaw_points_lie_on_the_outline_of_the_head(yaw):
    """Against a dense search: nothing of a slice's front reaches farther out than its point."""
    scene = frontal(yaw=yaw)
    rows = np.arange(6.0, 14.0)
    front = scene.project(scene.head.grid(np.linspace(-np.pi / 2, np.pi / 2, 2001), rows))[..., 0]
    assert scene.keypoints[:8, 0] == pytest.approx(front.min(1), abs=0.6)
    assert scene.keypoints[16:8:-1, 0] == pytest.approx(front.max(1), abs=0.6)


def test_expressions_move_what_they_name():
    rest, wide = (frontal(Expression(open=o)).keypoints for o in (0.0, 1.0))
    assert wide[66, 1] - wide[62, 1] > rest[66, 1] - rest[62, 1] + 30
    assert wide[8, 1] > rest[8, 1] + 30
    assert wide[:3] == pytest.approx(rest[:3], abs=2)
    smile = frontal(Expression(smile=1.0)).keypoints
    assert smile[54, 0] - smile[48, 0] > rest[54, 0] - rest[48, 0] + 5
    assert smile[48, 1] < rest[48, 1] - 3
    shut = frontal(Expression(closed=(1.0, 0.0))).keypoints
    assert np.abs(shut[[37, 38], 1] - shut[[41, 40], 1]).max() < 2
    assert shut[43:] == pytest.approx(rest[43:])
    assert frontal(Expression(brows=1.0)).keypoints[19, 1] < rest[19, 1] - 5


# --- landmarks on the painting


def painted(scene, look):
    canvas = np.full((SIZE, SIZE, 3), 0.3, np.float32)
    paint_features(canvas, scene, look, np.random.default_rng(0))
    return canvas


def test_the_pupil_lies_between_the_eye_points():
    scene = frontal()
    look = plain(light=np.array([0.0, 0.0, 1.0]))
    canvas = painted(scene, look)
    for eye in (slice(36, 42), slice(42, 48)):
        points = scene.keypoints[eye]
        x, y = iris_centre(scene, look, points)
        assert x == pytest.approx(points[[0, 3], 0].mean())
        for row in (round(y), round(y) + 1):
            left, right = round(x) - 9, round(x) + 10  # an iris is 13 pixels wide
            line = grey(canvas)[row, left:right]
            rims = left + edge_crossings(line, (line[[0, -1]].mean() + line.min()) / 2)
            assert (rims[0] + rims[-1]) / 2 == pytest.approx(x, abs=0.3)


def edge_crossings(line, level):
    """Sub-pixel places at which a line of values crosses a level."""
    at = np.flatnonzero(np.diff(np.sign(line - level)))
    return at + (level - line[at]) / (line[at + 1] - line[at])


def test_the_lips_end_where_their_points_lie():
    """The reddened rows of the picture, measured against the points above, below and between."""
    scene = frontal(Expression(open=0.6))
    before = np.full((SIZE, SIZE, 3), 0.3, np.float32)
    canvas = painted(scene, plain(age=0.0))
    redness = 1 - (canvas[..., 1] / canvas[..., 0]) / (before[..., 1] / before[..., 0])
    for top, bottom in ((51, 62), (50, 61), (52, 63)):
        (x, y0), (_, y1) = scene.keypoints[top], scene.keypoints[bottom]
        column = redness[:, round(x)]
        rows = np.arange(int(y0) - 6, int(y1) + 1)
        plateau = np.median(column[int(y0) + 2 : int(y1) - 1])
        found = rows[0] + edge_crossings(column[rows], plateau / 2)
        assert np.abs(found - y0).min() < 0.5
    for point in (57, 56, 58):
        x, y = scene.keypoints[point]
        column = redness[:, round(x)]
        rows = np.arange(int(y) - 3, int(y) + 7)
        found = rows[0] + edge_crossings(column[rows], np.median(column[int(y) - 5 : int(y) - 1]) / 2)
        assert np.abs(found - y).min() < 0.5


def test_curves_pass_through_their_points():
    keypoints = frontal(Expression(smile=0.5, open=0.4)).keypoints
    upper, lower = eye_lids(keypoints[36:42])
    lips = np.vstack(lip_lines(keypoints[48:68]))
    for points, line in ((keypoints[36:42], np.vstack([upper, lower])), (keypoints[48:68], lips)):
        steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
        near = np.linalg.norm(points[:, None] - line[None], axis=-1).min(1)
        assert near.max() < np.median(steps)


def test_the_far_cheek_ends_where_the_jaw_points_lie():
    """The head painted alone: its left edge, row by row, against the polyline of points 1 to 6."""
    scene = frontal(yaw=-0.4)
    canvas = np.full((SIZE, SIZE, 3), 5.0, np.float32)
    paint_head(canvas, scene, plain(light=np.array([0.0, 0.0, 1.0])), np.random.default_rng(0))
    outline = smooth(scene.keypoints[:9], np.linspace(0, 8 - 1e-9, 400))
    for row in range(int(scene.keypoints[1, 1]), int(scene.keypoints[5, 1]), 7):
        found = np.flatnonzero(grey(canvas)[row] < 2.5)[0]
        truth = np.interp(row, outline[:, 1], outline[:, 0])
        assert found - 0.5 == pytest.approx(truth, abs=1.0)


# --- the whole photo


def test_another_process_paints_the_same_photo():
    code = "from hashlib import sha1; from keyposs.data.rendering.face import render_face as render;"
    code += "print(sha1(render((3, 1, 4)).tobytes()).hexdigest())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    other = run.stdout.strip()
    assert other == hashlib.sha1(render_face((3, 1, 4)).tobytes()).hexdigest()


def test_every_key_has_a_photo_of_its_own_with_light_and_contrast():
    photos = [render_face((0, 2, i)) for i in range(12)]
    for i, photo in enumerate(photos):
        assert photo.shape == (SIZE, SIZE, 3)
        face = photo[100:250, 100:250].astype(float)
        assert 15 < face.mean() < 240
        assert face.std() > 10
        assert all(np.abs(photo.astype(float) - other).mean() > 5 for other in photos[:i])


def test_all_covers_hide_some_points_and_styles_paint_without_a_fault():
    seen = set()
    for i in range(120):
        scene = draw_scene((0, 0, i))
        seen.add(scene.cover)
        assert bool(scene.cover_contours) == bool(scene.cover)
        assert scene.cover or not scene.occluded.any()
    assert seen == {"", "mask", "scarf", "hand", "phone"}


def test_masks_hide_mouths_and_no_eyes():
    masked = [s for s in (draw_scene((0, 0, i)) for i in range(150)) if s.cover == "mask"]
    assert masked
    for scene in masked:
        assert scene.occluded[48:68].all()
        assert not scene.occluded[36:48].any()


def test_exposure_keeps_the_picture_in_place():
    """A camera blurs and adds noise, but moves nothing."""
    canvas = np.zeros((SIZE, SIZE, 3), np.float32)
    fill(canvas, [ellipse(np.array([170.3, 181.8]), 20, 20, 0, 100)], np.full(3, 0.5))
    photo = expose(canvas, np.random.default_rng(1))
    bright = np.clip(grey(photo.astype(float)) - 60, 0, None)
    assert centroid(bright) == pytest.approx([170.3, 181.8], abs=0.15)


def test_paint_is_finite_and_positive():
    canvas = paint_face((5, 0, 0), np.random.default_rng(0))
    assert np.isfinite(canvas).all()
    assert canvas.min() >= 0
