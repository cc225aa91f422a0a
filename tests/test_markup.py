import numpy as np
import pytest

from keyposs.markup import MARKUP_68, MARKUP_98, Markup

MARKUPS = pytest.mark.parametrize("markup", [MARKUP_68, MARKUP_98], ids=lambda markup: markup.name)

PUBLISHED_68 = {(0, 16), (7, 9), (17, 26), (21, 22), (31, 35), (36, 45), (39, 42), (40, 47), (41, 46)}
PUBLISHED_68 |= {(48, 54), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)}
PUBLISHED_98 = {(0, 32), (15, 17), (33, 46), (37, 42), (38, 50), (41, 47), (55, 59), (56, 58), (60, 72)}
PUBLISHED_98 |= {(64, 68), (65, 75), (67, 73), (76, 82), (78, 80), (83, 87), (84, 86), (88, 92), (89, 91)}
PUBLISHED_98 |= {(93, 95), (96, 97)}


@MARKUPS
def test_flip_is_an_involution(markup: Markup) -> None:
    assert [markup.flip[i] for i in markup.flip] == list(range(markup.size))


@pytest.mark.parametrize(
    ("markup", "pairs", "middle", "published"),
    [
        (MARKUP_68, 29, [8, 27, 28, 29, 30, 33, 51, 57, 62, 66], PUBLISHED_68),
        (MARKUP_98, 44, [16, 51, 52, 53, 54, 57, 79, 85, 90, 94], PUBLISHED_98),
    ],
    ids=["68", "98"],
)
def test_flip_agrees_with_the_published_pairs(
    markup: Markup, pairs: int, middle: list[int], published: set[tuple[int, int]]
) -> None:
    assert len(markup.mirrored) == pairs
    assert [i for i, j in enumerate(markup.flip) if i == j] == middle
    assert published <= set(markup.mirrored)


@MARKUPS
def test_a_mirrored_contour_is_a_contour(markup: Markup) -> None:
    contours = {frozenset(contour.points) for contour in markup.contours}
    assert {frozenset(markup.flip[point] for point in contour) for contour in contours} == contours


@MARKUPS
def test_every_point_has_a_name_of_its_own(markup: Markup) -> None:
    assert len(set(markup.names)) == markup.size


@MARKUPS
def test_norms(markup: Markup) -> None:
    keypoints = np.zeros((markup.size, 2))
    keypoints[markup.inter_ocular[1]] = (3, 4)
    for side, x in zip(markup.inter_pupil, (0.0, 10.0), strict=True):
        if markup is MARKUP_98:
            keypoints[list(side)] = (x, 0)
    visible, box = np.ones(markup.size, bool), np.array([0.0, 0, 16, 9])
    assert markup.norm("inter-ocular", keypoints, visible, box) == 5
    assert markup.norm("box", keypoints, visible, box) == 12
    assert markup.norm("diagonal", keypoints, visible, box) == pytest.approx(337**0.5)
    expected = 10 if markup is MARKUP_98 else 5 / 6  # of 68, one point of six is away from 0
    assert markup.norm("inter-pupil", keypoints, visible, box) == pytest.approx(expected)


def test_norm_of_invisible_points_is_nan() -> None:
    visible = np.ones(68, bool)
    visible[36] = False
    assert np.isnan(MARKUP_68.norm("inter-ocular", np.ones((68, 2)), visible, np.zeros(4)))


def test_unknown_norm() -> None:
    with pytest.raises(ValueError, match="norm='eyes' is unknown; choose one of inter-ocular"):
        MARKUP_68.norm("eyes", np.ones((68, 2)), np.ones(68, bool), np.zeros(4))
