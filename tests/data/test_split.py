import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keyposs.data.split import hold_out
from keyposs.types import Annotation


def face(photo, number):
    points, seen = np.zeros((2, 2)), np.ones(2, bool)
    return Annotation(f"{photo}_{number}", photo, None, ("all",), points, seen, ~seen, np.ones(4), None, 1.0, np.zeros)


photos = st.tuples(st.sampled_from(["a", "b/c", "b/d"]), st.integers(0, 60)).map(lambda t: f"{t[0]}/{t[1]}")
faces = st.lists(photos, max_size=120).map(lambda names: [face(name, i) for i, name in enumerate(names)])


def names(annotations):
    return [annotation.name for annotation in annotations]


@given(faces, st.floats(0.05, 0.5))
def test_every_face_on_one_side_and_every_photo_too(annotations, fraction):
    train, val = hold_out(annotations, fraction)
    assert sorted(names(train) + names(val)) == sorted(names(annotations))
    assert not {a.photo for a in train} & {a.photo for a in val}
    for part in ("a", "b/c", "b/d"):
        sides = [len({a.photo for a in side if a.photo.rpartition("/")[0] == part}) for side in (train, val)]
        total = sum(sides)
        assert sides[1] == (max(round(fraction * total), 1) if total > 1 else 0)


@given(faces, st.randoms(use_true_random=False))
def test_order_does_not_matter(annotations, random):
    shuffled = list(annotations)
    random.shuffle(shuffled)
    assert sorted(names(hold_out(annotations)[1])) == sorted(names(hold_out(shuffled)[1]))


def test_rule_is_committed():
    _, val = hold_out([face(f"afw/{i}", 1) for i in range(30)])
    assert [annotation.photo for annotation in val] == [
        "afw/7",
        "afw/23",
        "afw/29",
    ]  # in every release, or results stop being comparable
