import gc
import multiprocessing
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from keyposs.data.packed import PackedFaces
from keyposs.data.photo import read_photo
from keyposs.types import Annotation


def annotate(count):
    rng = np.random.default_rng(0)
    for i in range(count):
        path, seen = Path(f"/photos of mine/{i % 97}/{i}.jpg"), rng.random(68) < 0.9
        points, box = rng.uniform(0, 500, (68, 2)), rng.uniform(0, 500, 4)
        name = f"{i % 97}/{i}"
        yield Annotation(name, name, path, ("all",), points, seen, ~seen, box, None, 1.0 + i, partial(read_photo, path))


def test_a_face_comes_out_as_it_went_in():
    faces = list(annotate(5))
    packed = PackedFaces(faces)
    assert len(packed) == 5
    for i in (0, 3, 4, -1):
        for key, value in faces[i]._replace(file=None)._asdict().items():
            if key != "read":
                np.testing.assert_array_equal(getattr(packed[i], key), value)
        assert packed[i].read.args == (str(faces[i].file),)
    assert len(PackedFaces([])) == 0
    with pytest.raises(IndexError):
        packed[5]


def test_other_ways_to_read_a_photo_stay_as_they_are():
    (face,) = annotate(1)
    read = partial(np.full, (1, 1, 3), 7, dtype=np.uint8)
    assert PackedFaces([face._replace(read=read)])[0].read() == pytest.approx(7)


def test_packed_faces_travel_to_spawned_workers():
    again = pickle.loads(pickle.dumps(PackedFaces(annotate(3))))
    assert [face.name for face in again] == ["0/0", "1/1", "2/2"]


def private():
    """Memory that this process shares with none, in MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def look(faces, results):
    """What a worker does with each face, twice over; and what that costs."""
    gc.freeze()
    start = private()
    for epoch in range(2):
        for i in np.random.default_rng(epoch).permutation(len(faces)):
            face = faces[int(i)]
            (face.keypoints + face.box[:2]).sum()
            face.read.func, face.subsets, face.name  # noqa: B018
    results.put(private() - start)


if Path("/proc/self/smaps_rollup").exists():  # Linux tells what a process has for itself

    def cost(faces):
        results = multiprocessing.get_context("fork").SimpleQueue()
        worker = multiprocessing.get_context("fork").Process(target=look, args=(faces, results))
        worker.start()
        worker.join()
        return results.get()

    def test_memory_of_a_worker_grows_neither_with_faces_nor_with_epochs():
        few, faces = PackedFaces(annotate(200)), list(annotate(20_000))
        many = PackedFaces(faces)
        assert cost(many) - cost(few) < 4
        assert cost(faces) > 15  # a list is copied
