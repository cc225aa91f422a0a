import importlib
import os
import pickle
import shutil
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest

from keyposs.data import Ibug300W, cache
from keyposs.data.cache import cache_crops, canonical_crop
from keyposs.errors import KeyposError
from writers import write_300w

FRAME = {"image_size": 32, "padding": 1.25}


@pytest.fixture
def root(tmp_path):
    write_300w(tmp_path / "300w", {"lfpw/testset": 5})
    return tmp_path / "300w"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "crops of mine"


def faces(root):
    return Ibug300W(root).annotations("test")


def unreadable(annotations):
    """The same faces, where a look at a photo fails the test."""
    return [face._replace(read=Unread(face.read)) for face in annotations]


class Unread:
    """Pickles as the read function it stands for, so that the digest stays, and cannot be called."""

    def __init__(self, read):
        self.read, self.args, self.func = read, read.args, read.func

    def __reduce__(self):
        return self.read.__reduce__()

    def __call__(self):
        pytest.fail("a photo was read")


def test_cached_pixels_are_the_fresh_ones(root, folder):
    crops = cache_crops(folder, "test", faces(root), **FRAME)
    for i, face in enumerate(faces(root)):
        np.testing.assert_array_equal(crops(i), canonical_crop(face, **FRAME))
        assert crops(i).shape == (48, 48, 3)


def test_second_run_reads_no_photo(root, folder):
    first = cache_crops(folder, "test", faces(root), **FRAME)
    second = cache_crops(folder, "test", unreadable(faces(root)), **FRAME)
    assert [path.name for path in folder.iterdir()] == [first.path.name]
    np.testing.assert_array_equal(first(4), second(4))


@pytest.mark.parametrize("changed", [{"image_size": 36}, {"padding": 1.5}])
def test_other_settings_are_another_cache(root, folder, changed):
    cache_crops(folder, "test", faces(root), **FRAME)
    crops = cache_crops(folder, "test", faces(root), **(FRAME | changed))
    assert len(list(folder.iterdir())) == 2
    np.testing.assert_array_equal(crops(0), canonical_crop(faces(root)[0], **(FRAME | changed)))


def test_changed_photo_is_never_served_stale(root, folder):
    old = cache_crops(folder, "test", faces(root), **FRAME)(0)
    path = root / "lfpw/testset/image_0001.png"
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    new = cache_crops(folder, "test", faces(root), **FRAME)(0)
    assert not np.array_equal(old, new)
    np.testing.assert_array_equal(new, canonical_crop(faces(root)[0], **FRAME))


def test_changed_box_and_fewer_faces_are_never_served_stale(root, folder):
    cache_crops(folder, "test", faces(root), **FRAME)
    moved = [face._replace(box=face.box + 3) for face in faces(root)]
    np.testing.assert_array_equal(cache_crops(folder, "test", moved, **FRAME)(2), canonical_crop(moved[2], **FRAME))
    fewer = faces(root)[1:]
    np.testing.assert_array_equal(cache_crops(folder, "test", fewer, **FRAME)(0), canonical_crop(fewer[0], **FRAME))


def test_cut_file_is_made_again(root, folder):
    path = cache_crops(folder, "test", faces(root), **FRAME).path
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(
        cache_crops(folder, "test", faces(root), **FRAME)(4), canonical_crop(faces(root)[4], **FRAME)
    )


def test_travels_to_workers_as_a_path(root, folder):
    crops = cache_crops(folder, "test", faces(root), **FRAME)
    content = pickle.dumps(crops)
    assert len(content) < 1000
    np.testing.assert_array_equal(pickle.loads(content)(3), crops(3))


def test_runs_that_start_at_once(root, folder):
    with ThreadPoolExecutor(4) as pool:
        make = partial(cache_crops, folder, "test", faces(root), **FRAME)
        results = [future.result() for future in [pool.submit(make) for _ in range(4)]]
    assert len(list(folder.iterdir())) == 1
    for crops in results:
        np.testing.assert_array_equal(crops(1), canonical_crop(faces(root)[1], **FRAME))


def test_bad_photo_is_named_and_leaves_no_half_file(root, folder):
    annotations = faces(root)
    (root / "lfpw/testset/image_0003.png").write_bytes(b"no image")
    with pytest.raises(KeyposError, match=r"image_0003\.png: cannot be read"):
        cache_crops(folder, "test", annotations, **FRAME)
    assert list(folder.iterdir()) == []


def test_full_disk(root, folder, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000))
    with pytest.raises(KeyposError, match=r"crops of mine: the crop cache of 0\.0 GB.*datamodule\.cache"):
        cache_crops(folder, "test", faces(root), **FRAME)


def test_disk_that_fills_up_on_the_way(root, folder, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", fail)
    with pytest.raises(KeyposError, match=r"No space left on device.*free space"):
        cache_crops(folder, "test", faces(root), **FRAME)
    assert list(folder.iterdir()) == []


def test_folder_that_is_a_file(root, folder):
    folder.write_text("")
    with pytest.raises(KeyposError, match="cannot be kept there"):
        cache_crops(folder, "test", faces(root), **FRAME)
    assert os.path.getsize(folder) == 0


def test_a_file_of_photos_counts_and_so_does_the_code_that_reads_it(root, folder, tmp_path, monkeypatch):
    """As in COFW: all photos lie in one file, and a function of a module of its own takes them out."""
    stack, code = tmp_path / "photos.npy", tmp_path / "mine.py"
    np.save(stack, np.zeros((5, 120, 150, 3), np.uint8))
    code.write_text("import numpy as np\ndef take(file, index):\n    return np.load(file)[index]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    take = importlib.import_module("mine").take
    listed = [face._replace(file=stack, read=partial(take, stack, i)) for i, face in enumerate(faces(root))]
    assert cache_crops(folder, "test", listed, **FRAME)(0).max() == 0
    np.save(stack, np.full((5, 120, 150, 3), 9, np.uint8))
    assert cache_crops(folder, "test", listed, **FRAME)(0).max() == 9
    before = set(folder.iterdir())
    code.write_text(code.read_text() + "# another way\n")
    assert cache_crops(folder, "test", listed, **FRAME).path not in before


def test_a_photo_replaced_by_one_of_the_same_size_and_time_is_not_served_stale(root, folder):
    path = root / "lfpw/testset/image_0001.png"
    old, stat = cache_crops(folder, "test", faces(root), **FRAME), path.stat()
    other = path.with_name("other")
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    other.write_bytes(content)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    shutil.move(other, path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert cache._digest(faces(root), 32, 1.25) not in old.path.name


@pytest.mark.parametrize("library", ["cv2", "np", "PIL"])
def test_another_version_of_a_library_is_another_cache(root, monkeypatch, library):
    before = cache._digest(faces(root), 32, 1.25)
    monkeypatch.setattr(getattr(cache, library), "__version__", "0.0")
    assert cache._digest(faces(root), 32, 1.25) != before


def test_folders_behind_symbolic_links(root, folder, tmp_path):
    (tmp_path / "real").mkdir()
    folder.symlink_to(tmp_path / "real")
    (tmp_path / "linked").symlink_to(root)
    crops = cache_crops(folder, "test", faces(tmp_path / "linked"), **FRAME)
    np.testing.assert_array_equal(crops(2), canonical_crop(faces(root)[2], **FRAME))
    assert crops.path.name in os.listdir(tmp_path / "real")


def test_a_link_that_leads_elsewhere_now_is_not_served_stale(root, folder, tmp_path):
    other = tmp_path / "other"
    write_300w(other, {"lfpw/testset": 5})
    for path in other.rglob("*.png"):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    link = tmp_path / "link"
    link.symlink_to(root)
    cache_crops(folder, "test", faces(link), **FRAME)
    link.unlink()
    link.symlink_to(other)
    crops = cache_crops(folder, "test", faces(link), **FRAME)
    np.testing.assert_array_equal(crops(0), canonical_crop(faces(other)[0], **FRAME))


def test_a_read_only_folder_serves_what_it_holds_and_refuses_the_rest(root, folder, monkeypatch):
    cache_crops(folder, "test", faces(root), **FRAME)

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cache, "atomic", refuse)
    np.testing.assert_array_equal(
        cache_crops(folder, "test", faces(root), **FRAME)(1), canonical_crop(faces(root)[1], **FRAME)
    )
    with pytest.raises(KeyposError, match=r"Permission denied.*datamodule\.cache to another folder"):
        cache_crops(folder, "test", faces(root)[1:], **FRAME)


@pytest.mark.parametrize("kept", [None, 1000])
def test_a_cache_that_is_taken_away_while_in_use(root, folder, kept):
    crops = cache_crops(folder, "test", faces(root), **FRAME)
    np.testing.assert_array_equal(crops(-1), crops(4))
    if kept is None:
        crops.path.unlink()
    else:
        os.truncate(crops.path, kept)
    with pytest.raises(KeyposError, match=r"\.crops: the crop cache was removed or cut while in use"):
        crops(3)
