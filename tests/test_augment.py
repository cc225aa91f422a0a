import cv2
import numpy as np
import pytest

from keyposs.augment import A, Augment
from keyposs.crop import apply, canonical_size, invert
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68
from writers import centroid, draw_dots

SIZE = 64
WIDE = canonical_size(SIZE)
PLACE = {"rotation": 30, "scale": (0.75, 1.25), "shift": 0.08, "flip": 0.5}
LOOKS = {"colour": 0.5, "blur": 0.2, "noise": 0.15, "grey": 0.1, "jpeg": 0.2, "occlusion": 0.3}


def run(augment, image, keypoints, seed, flip=None):
    seen = np.ones(len(keypoints), bool)
    return augment(image, keypoints, seen, ~seen, flip=flip or range(len(keypoints)), seed=seed)


def photo(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (WIDE, WIDE, 3), dtype=np.uint8)


def test_nothing_asked_for_is_the_exact_centre():
    image, point, margin = photo(), np.array([[40.0, 50.0]]), SIZE // 4
    result = run(Augment(SIZE), image, point, seed=3)
    np.testing.assert_array_equal(result.image, image[margin:-margin, margin:-margin])
    np.testing.assert_array_equal(result.keypoints, point - margin)
    np.testing.assert_array_equal(result.matrix, [[1, 0, -margin], [0, 1, -margin]])


def test_points_stay_on_their_pixels_to_a_twentieth_of_one():
    augment, rng, checked = Augment(SIZE, **PLACE), np.random.default_rng(0), 0
    for seed in range(300):
        point = rng.uniform(0.35 * WIDE, 0.65 * WIDE, (1, 2))
        result = run(augment, draw_dots(point, (WIDE, WIDE)), point, seed)
        if np.abs(result.keypoints - (SIZE - 1) / 2).max() < SIZE / 2 - 10:
            assert np.abs(centroid(result.image) - result.keypoints[0]).max() < 0.05
            checked += 1
    assert checked > 250


def test_matrix_is_what_happened_to_the_points():
    augment, rng = Augment(SIZE, **PLACE), np.random.default_rng(1)
    points = rng.uniform(-WIDE, 2 * WIDE, (68, 2))  # most lie off the crop: all stay, and stay true
    linear = []
    for seed in range(200):
        result = run(augment, photo(), points, seed)
        np.testing.assert_allclose(result.keypoints, apply(result.matrix, points), atol=1e-9)
        linear.append(result.matrix[:, :2])
    scales = np.sqrt(np.abs(np.linalg.det(linear)))
    assert 1 / scales.max() == pytest.approx(0.75, abs=0.02)
    assert 1 / scales.min() == pytest.approx(1.25, abs=0.02)
    similar = np.einsum("nij,nik->njk", linear, linear) / scales[:, None, None] ** 2
    np.testing.assert_allclose(similar, np.broadcast_to(np.eye(2), similar.shape), atol=1e-4)
    mirrored = np.mean(np.linalg.det(linear) < 0)
    assert 0.4 < mirrored < 0.6


def test_rotation_and_shift_keep_their_bounds():
    augment = Augment(SIZE, rotation=30, shift=0.1)
    matrices = np.stack([run(augment, photo(), np.zeros((1, 2)), seed).matrix for seed in range(200)])
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    shown = [apply(invert(matrix), np.full(2, (SIZE - 1) / 2)) for matrix in matrices]
    assert 28 < np.abs(angles).max() <= 30
    assert 0.09 * SIZE < np.abs(np.stack(shown) - (WIDE - 1) / 2).max() <= 0.1 * SIZE


def test_some_crops_are_shifted():
    augment, middle = Augment(SIZE, shift=0.16, shifted=0.3), np.full(2, (SIZE - 1) / 2)
    shown = [apply(invert(augment.draw(np.random.default_rng(seed))), middle) for seed in range(4000)]
    shifts = np.stack(shown) - (WIDE - 1) / 2
    moved = np.abs(shifts).max(1) > 1e-6
    assert moved.mean() == pytest.approx(0.3, abs=0.03)
    assert np.abs(shifts).max() == pytest.approx(0.16 * SIZE, rel=0.01)
    assert shifts[moved].std() == pytest.approx(0.16 * SIZE / np.sqrt(3), rel=0.05)


def test_the_papers_recipe_is_normal_and_clipped():
    augment = Augment(SIZE, spread="normal", rotation=30, rotated=0.6, scale=(0.75, 1.25), flip=0.5)
    draws = np.stack([augment.draw(np.random.default_rng(seed))[:, :2] for seed in range(4000)])
    mirrored = np.linalg.det(draws) < 0
    assert mirrored.mean() == pytest.approx(0.5, abs=0.03)
    turns = np.degrees(np.arctan2(draws[:, 1, 0], draws[:, 1, 1]))
    turned = np.abs(turns) > 1e-9
    assert turned.mean() == pytest.approx(0.6, abs=0.03)
    normal = np.clip(30 * np.random.default_rng(0).standard_normal(100_000), -60, 60)
    assert np.abs(turns).max() == pytest.approx(60)
    assert turns[turned].std() == pytest.approx(normal.std(), rel=0.05)
    scales = 1 / np.sqrt(np.abs(np.linalg.det(draws)))
    assert scales.min() == pytest.approx(0.75)
    assert scales.max() == pytest.approx(1.25)
    assert np.mean(scales > 1.249) == pytest.approx(0.159, abs=0.02)  # the normal's tail beyond one deviation


def test_albumentations_agrees():
    """Its affine and its mirror, given our numbers, move points and pixels as we do."""
    points = np.random.default_rng(5).uniform(-20, WIDE + 20, (68, 2))
    image = cv2.GaussianBlur(photo(), (0, 0), 2)
    augment = Augment(SIZE, rotation=30, scale=(0.75, 1.25), flip=0.5)
    for seed in range(40):
        ours = run(augment, image, points, seed)
        (a, b), (c, d) = ours.matrix[:, :2]
        mirrored, scale = a * d - b * c < 0, np.hypot(c, d)
        turn = -np.degrees(np.arctan2(c, d))  # theirs is from y towards x
        affine = A.Affine(rotate=(turn, turn), scale=(scale, scale), keep_ratio=True, p=1)
        pipeline = [affine, A.CenterCrop(SIZE, SIZE), A.HorizontalFlip(p=float(mirrored))]
        theirs = A.Compose(pipeline, keypoint_params=A.KeypointParams("xy", remove_invisible=False))(
            image=image, keypoints=points
        )
        np.testing.assert_allclose(ours.keypoints, theirs["keypoints"], atol=1e-3)
        assert np.abs(ours.image.astype(int) - theirs["image"]).max() <= 2
        back = apply(invert(ours.matrix), theirs["keypoints"])
        np.testing.assert_allclose(back, points, atol=1e-3)


def test_mirrored_face_swaps_left_and_right():
    rng, flip = np.random.default_rng(2), MARKUP_68.flip
    points, seen, hidden = rng.uniform(20, 70, (68, 2)), rng.random(68) < 0.5, rng.random(68) < 0.5
    result = Augment(SIZE, flip=1)(photo(), points, seen, hidden, flip=flip, seed=0)
    for i, j in enumerate(flip):
        x, y = points[j] - SIZE // 4
        np.testing.assert_allclose(result.keypoints[i], (SIZE - 1 - x, y), atol=1e-4)
        assert result.visible[i] == seen[j]
        assert result.occluded[i] == hidden[j]
    margin = SIZE // 4
    np.testing.assert_array_equal(result.image, photo()[margin:-margin, margin:-margin][:, ::-1])


def test_a_seed_says_it_all():
    first, second = Augment(SIZE, **PLACE, **LOOKS), Augment(SIZE, **PLACE, **LOOKS)
    points = np.random.default_rng(3).uniform(0, WIDE, (5, 2))
    run(second, photo(), points, seed=99)  # what ran before leaves no trace
    results = [run(augment, photo(), points, seed=7) for augment in (first, second, second)]
    for result in results[1:]:
        np.testing.assert_array_equal(result.image, results[0].image)
        np.testing.assert_array_equal(result.keypoints, results[0].keypoints)
    assert not np.array_equal(run(first, photo(), points, seed=8).image, results[0].image)


def test_transforms_draw_independently():
    augment, image = Augment(SIZE, flip=0.5, grey=0.5), photo()
    both = [run(augment, image, np.zeros((1, 2)), seed) for seed in range(200)]
    flipped = np.array([np.linalg.det(r.matrix[:, :2]) < 0 for r in both])
    grey = np.array([bool((r.image.max(2) == r.image.min(2)).all()) for r in both])
    assert abs(np.corrcoef(flipped, grey)[0, 1]) < 0.25
    assert 0.35 < grey.mean() < 0.65


@pytest.mark.parametrize("look", LOOKS)
def test_looks_change_pixels_and_no_point(look):
    image = draw_dots(np.random.default_rng(4).uniform(0, WIDE, (300, 2)), (WIDE, WIDE))
    image[..., 0] //= 2  # some colour
    points = np.array([[50.0, 50.0], [-20.0, 300.0]])
    plain = run(Augment(SIZE), image, points, seed=0)
    for seed in range(20):
        changed = run(Augment(SIZE, **{look: 1}), image, points, seed)
        assert changed.image.shape == plain.image.shape
        assert changed.image.dtype == np.uint8
        assert (changed.image != plain.image).any()
        np.testing.assert_array_equal(changed.keypoints, plain.keypoints)
        np.testing.assert_array_equal(changed.visible, plain.visible)


def test_unknown_spread():
    with pytest.raises(KeyposError, match=r"augment\.spread=cauchy: is unknown. Remedy: choose one of uniform, normal"):
        Augment(SIZE, spread="cauchy")
