import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyposs.checks.duplicates import SAME, Pair, candidates, describe, find_duplicates, groups, likeness
from keyposs.checks.survey import view
from keyposs.data import Synthetic

BOX_EDGES = st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4)


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    """Photos and boxes."""
    return [(face.read(), face.box) for face in Synthetic(test=12).annotations("test")]


def thumbs_of(pictures: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.stack([view(photo, box).thumb for photo, box in pictures])


def resaved(photo: np.ndarray, box: np.ndarray, *, scale: float, quality: int) -> tuple[np.ndarray, np.ndarray]:
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, code = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    ratio = np.tile(np.array(small.shape[1::-1]) / photo.shape[1::-1], 2)
    return cv2.imdecode(code, cv2.IMREAD_COLOR), (box + 0.5) * ratio - 0.5


def test_different_faces_are_no_duplicates(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    assert find_duplicates(thumbs_of(pictures)) == []


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_is_found_whatever_its_size_quality_and_light(
    pictures: list[tuple[np.ndarray, np.ndarray]], mirrored: bool
) -> None:
    photo, box = resaved(*pictures[3], scale=0.6, quality=40)
    photo = np.clip(0.6 * photo + 20, 0, 255).astype(np.uint8)
    if mirrored:
        photo, x = photo[:, ::-1], photo.shape[1] - 1
        box = np.array([x - box[2], box[1], x - box[0], box[3]])
    (pair,) = find_duplicates(thumbs_of([*pictures, (np.ascontiguousarray(photo), box)]))
    assert (pair.first, pair.second, pair.mirrored) == (3, len(pictures), mirrored)
    assert SAME < pair.likeness < 1


@settings(max_examples=40, deadline=None)
@given(index=st.integers(0, 11), edges=BOX_EDGES, scale=st.floats(0.4, 1.0), quality=st.integers(40, 95))
def test_a_copy_whose_box_errs_is_like_its_original(
    pictures: list[tuple[np.ndarray, np.ndarray]], index: int, edges: list[float], scale: float, quality: int
) -> None:
    photo, box = pictures[index]
    moved = box + np.array(edges) * np.tile(box[2:] - box[:2], 2)
    copy = resaved(photo, moved, scale=scale, quality=quality)
    assert likeness(*thumbs_of([pictures[index], copy])) > 0.88
    if max(map(abs, edges)) < 0.02:
        assert len(find_duplicates(thumbs_of([pictures[index], copy]))) == 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 40), least=st.floats(0.1, 0.9), most=st.integers(1, 50))
def test_candidates_are_those_of_brute_force(seed: int, rows: int, least: float, most: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = {
        (i, j)
        for i in range(rows)
        for j in sorted(
            (j for j in range(i) if vectors[i] @ vectors[j] >= least), key=lambda j: -vectors[i] @ vectors[j]
        )[:most]
    }
    assert set(candidates(vectors, vectors, least=least, most=most)) == expected


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    whole = list(candidates(vectors, vectors))
    monkeypatch.setattr("keyposs.checks.duplicates._CHUNK", 7)
    assert list(candidates(vectors, vectors)) == whole
    assert whole


def test_many_equal_pictures_are_one_group_of_few_pairs(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    thumbs = np.repeat(thumbs_of(pictures[:1]), 60, axis=0)
    pairs = find_duplicates(thumbs)
    assert groups(pairs, 60) == [list(range(60))]
    assert len(pairs) < 60 * 9


def test_pictures_without_contrast_are_like_none() -> None:
    flat = np.full((3, 64, 64), 90, np.uint8)
    assert not describe(flat).any()
    assert find_duplicates(flat) == []
    assert find_duplicates(flat[:0]) == []


def test_groups_are_linked_by_way_of_others() -> None:
    pairs = [Pair(0, 5, 1.0, False), Pair(2, 3, 1.0, False), Pair(5, 7, 1.0, True)]
    assert groups(pairs, 9) == [[0, 5, 7], [2, 3]]
    assert groups([], 0) == []
