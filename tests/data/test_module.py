import logging
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from keyposs.augment import Augment
from keyposs.crop import apply, crop_matrix, invert
from keyposs.data import Boxes, FaceDataModule, Ibug300W, Wflw, module
from keyposs.data.boxes import jittered
from keyposs.data.module import collate
from keyposs.errors import KeyposError
from writers import centroid, draw_dots, write_300w, write_points, write_wflw

SIZE = 32
STRONG = {"rotation": 30, "scale": (0.75, 1.25), "shift": 0.08, "flip": 0.5, "colour": 0.5, "noise": 0.3}


def make(root, *, augment=None, data=Ibug300W, **settings):
    settings = {"image_size": SIZE, "batch_size": 4, "workers": 0} | settings
    return FaceDataModule(data(root), augment=augment or Augment(SIZE, **STRONG), **settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("300w")
    write_300w(folder)
    return folder


def same(a, b):
    for left, right in zip(a, b, strict=True):
        equal = torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
        if not equal:
            return False
    return True


def test_a_batch_is_what_the_house_speaks_of(root):
    data = make(root)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch.image.shape == (4, 3, SIZE, SIZE)
    assert batch.image.dtype == torch.uint8
    assert batch.keypoints.shape == (4, 68, 2)
    assert batch.visible.shape == batch.occluded.shape == (4, 68)
    assert batch.visible.dtype == batch.occluded.dtype == torch.bool
    assert batch.box.shape == (4, 4)
    assert batch.norm.shape == (4,)
    assert batch.crop_to_image.shape == (4, 2, 3)
    floats = {getattr(batch, field).dtype for field in ("keypoints", "box", "norm", "crop_to_image")}
    assert floats == {torch.float32}
    assert batch.name[0] == "helen/testset/100_1"
    assert batch.name[3] == "lfpw/testset/image_0001"
    assert batch.subsets == [("common", "full")] * 4


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_points_lead_back_to_the_photo(root, split):
    data = make(root)
    data.setup()
    truth = {face.name: face for face in data.annotations(split)}
    for batch in getattr(data, f"{split}_dataloader")():
        for points, matrix, name in zip(batch.keypoints, batch.crop_to_image, batch.name, strict=True):
            mirrored = np.linalg.det(matrix[:, :2]) < 0
            order = list(data.dataset.markup.flip) if mirrored else slice(None)
            back = apply(matrix.double().numpy(), points.double().numpy())
            np.testing.assert_allclose(back, truth[name].keypoints[order], atol=1e-3)


def test_pixels_lie_under_the_points(tmp_path):
    """From file to batch: a dot in the photo is where the batch says it is."""
    write_300w(tmp_path, {"afw": 2, "lfpw/trainset": 10})
    box = np.array([[30.0, 20.0], [110.0, 100.0]])
    for path in (tmp_path / "lfpw/trainset").glob("*.pts"):
        dot = np.random.default_rng(int(path.stem[-2:])).uniform(55, 85, (1, 2))
        points = np.concatenate([np.repeat(box, [33, 34], axis=0), dot])
        points[36], points[45] = box[0], box[1]
        write_points(path, points)
        cv2.imwrite(str(path.with_suffix(".png")), draw_dots(dot))
    place = {key: STRONG[key] for key in ("rotation", "scale", "shift")}
    data = make(tmp_path, augment=Augment(64, **place), image_size=64)
    data.setup("fit")
    checked = 0
    for epoch in range(3):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            for image, points, name in zip(batch.image, batch.keypoints, batch.name, strict=True):
                if "lfpw" in name:
                    found = centroid(image.numpy().transpose(1, 2, 0))
                    assert np.abs(found - points[-1].numpy()).max() < 0.1
                    checked += 1
    assert checked > 15


def test_cache_changes_no_pixel(root, tmp_path):
    for split in ("train", "test"):
        fresh, cached, again = make(root), make(root, cache=tmp_path), make(root, cache=str(tmp_path))
        for data in (fresh, cached, again):
            data.setup("fit" if split == "train" else "test")
        loaders = [getattr(data, f"{split}_dataloader")() for data in (fresh, cached, again)]
        for batches in zip(*loaders, strict=True):
            assert same(batches[0], batches[1])
            assert same(batches[0], batches[2])


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(root, tmp_path, workers):
    alone, helped = make(root, cache=tmp_path), make(root, cache=tmp_path, workers=workers)
    for data in (alone, helped):
        data.setup("fit")
    loaders = alone.train_dataloader(), helped.train_dataloader()
    for epoch in range(2):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        for a, b in zip(*loaders, strict=True):
            assert same(a, b)


def test_global_random_state_is_left_alone(root):
    data = make(root)
    data.setup("fit")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    list(data.train_dataloader())
    assert torch.equal(torch.rand(3), expected)


def test_train_drops_its_ragged_end_only_if_a_batch_remains(root):
    for batch_size, batches in ((4, 3), (14, 1), (15, 1), (100, 1)):
        data = make(root, batch_size=batch_size)
        data.setup("fit")
        sizes = [len(batch.norm) for batch in data.train_dataloader()]
        assert len(sizes) == batches, batch_size
        assert sum(sizes) == min(15, batches * batch_size)
        assert sum(len(batch.norm) for batch in data.val_dataloader()) == 5


def test_stages_read_what_they_need(root):
    data = make(root)
    data.setup("validate")
    assert len(data.val_dataloader().dataset) == 5
    with pytest.raises(KeyError):
        data.test_dataloader()


def test_subsets_in_their_order(root, tmp_path):
    assert make(root).subsets("test") == ("common", "challenging", "full")
    assert make(root).subsets("val") == ("all",)
    write_wflw(tmp_path)
    assert make(tmp_path, data=Wflw).subsets("test") == ("all", "pose", "expression")


@pytest.mark.parametrize(("stage", "split"), [("fit", "train"), ("test", "test")])
def test_empty_split(tmp_path, stage, split):
    write_300w(tmp_path, {"lfpw/testset" if stage == "fit" else "afw": 2})
    with pytest.raises(KeyposError, match=f"data=300w: holds no faces for the split '{split}'"):
        make(tmp_path).setup(stage)


def test_train_without_val(tmp_path):
    write_300w(tmp_path, {"afw": 2})  # two faces of one photo: none can be held out
    with pytest.raises(KeyposError, match="holds no faces for the split 'val'"):
        make(tmp_path).setup("fit")


def test_sizes_that_disagree(root):
    with pytest.raises(KeyposError, match=r"augment\.image_size=32: is not image_size=64"):
        make(root, image_size=64)


@pytest.mark.parametrize("workers", [0, 2])
def test_photo_that_breaks_during_training_is_named(tmp_path, workers):
    write_300w(tmp_path, {"afw": 8})
    data = make(tmp_path, workers=workers)
    data.setup("fit")
    for path in tmp_path.glob("afw/*.png"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(KeyposError, match=r"^\S+afw/10\d_\d\.png: cannot be read") as caught:
        list(data.train_dataloader())
    assert caught.value.subject.endswith(".png")
    assert caught.value.remedy


def test_collate_stacks_tensors_and_lists_the_rest(root):
    data = make(root)
    data.setup("test")
    faces = [data.test_dataloader().dataset[i, None] for i in (0, 4)]
    batch = collate(faces)
    assert same(batch[:2], [torch.stack([f.image for f in faces]), torch.stack([f.keypoints for f in faces])])
    assert batch.name == [face.name for face in faces]


class Recorder(pl.LightningModule):
    """Learns nothing; remembers what it saw in each epoch."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(1, 1), {}

    def training_step(self, batch, index):
        entry = Counter(zip(batch.name, batch.keypoints.sum((1, 2)).tolist(), strict=True))
        self.seen.setdefault(self.current_epoch, []).append(entry)
        return self.layer(batch.norm[:, None]).sum() * 0

    def validation_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_sees_what_an_uninterrupted_one_sees(root, tmp_path, workers):
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    def fit(epochs, folder, checkpoint=None):
        recorder, saver = Recorder(), pl.callbacks.ModelCheckpoint(folder, save_last=True)
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            callbacks=[saver],
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        data = make(root, cache=tmp_path / "crops", workers=workers)
        trainer.fit(recorder, datamodule=data, ckpt_path=checkpoint)
        return recorder.seen

    whole = fit(4, tmp_path / "whole")
    first = fit(2, tmp_path / "first")
    rest = fit(4, tmp_path / "rest", tmp_path / "first/last.ckpt")
    assert first | rest == whole
    assert len({str(epoch) for epoch in whole.values()}) == 4


def test_ranks_wait_for_the_cache(root, tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(torch.distributed, "barrier", lambda: events.append("barrier"))
    original = module.cache_crops
    monkeypatch.setattr(module, "cache_crops", lambda *a, **k: events.append("cache") or original(*a, **k))
    for rank, order in ((0, ["cache", "barrier"]), (1, ["barrier", "cache"])):
        monkeypatch.setattr(module, "rank_and_world", lambda rank=rank: (rank, 2))
        events.clear()
        make(root, cache=tmp_path).setup("test")
        assert events == order


def test_the_others_do_not_wait_for_a_rank_that_fails(root, tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(torch.distributed, "barrier", lambda: events.append("barrier"))
    monkeypatch.setattr(module, "rank_and_world", lambda: (0, 2))
    (tmp_path / "file").touch()
    with pytest.raises(KeyposError, match="the crop cache .* cannot be kept there"):
        make(root, cache=tmp_path / "file").setup("test")
    assert events == ["barrier"]


def test_without_photos_nothing_starts(tmp_path):
    write_wflw(tmp_path)
    shutil.rmtree(tmp_path / "WFLW_images")
    data = FaceDataModule(Wflw(tmp_path), augment=Augment(64), image_size=64, batch_size=2)
    for split in ("train", "val", "test"):
        with pytest.raises(KeyposError, match=r"WFLW_images.*: the photo is missing\. Remedy: put the folder"):
            data.annotations(split)


def train_faces(data, epoch=0):
    data.setup("fit")
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return {name: faces for faces in loader for name, *faces in zip(faces.name, *faces[:-1], strict=True)}


def test_a_jittered_crop_is_that_of_the_jittered_box(root):
    """One warp out of the crop of the exact box does what two would: jitter the box, then cut and augment."""
    data = make(root, box=Boxes(jitter=[0.3, 0.2]))
    data.setup("fit")
    faces = data._faces["train"]
    for index, seed in ((0, 1), (3, 77), (3, 78)):
        face = data.annotations("train")[index]
        moved = face._replace(box=jittered(face.box, 0.3, 0.2, np.random.default_rng((seed, 1))))
        alone = module.FaceCrops([moved], image_size=SIZE, padding=1.25, augment=data.augment, flip=faces.flip)
        one, two = faces[index, seed], alone[0, seed]
        np.testing.assert_allclose(one.keypoints, two.keypoints, atol=1e-4)
        np.testing.assert_allclose(one.crop_to_image, two.crop_to_image, atol=1e-4)
        assert torch.equal(one.box, torch.from_numpy(face.box).float())
        exact = make(root)
        exact.setup("fit")
        assert (one.keypoints - exact._faces["train"][index, seed].keypoints).abs().max() > 0.1


def test_jitter_is_of_training_alone_and_new_in_each_epoch(root):
    exact, off = make(root), make(root, box=Boxes(jitter=0.2))
    first, second = (train_faces(off, epoch) for epoch in (0, 1))
    assert not any(torch.equal(first[name][1], second[name][1]) for name in first.keys() & second.keys())
    again = train_faces(make(root, box=Boxes(jitter=0.2), workers=2))
    assert all(same(first[name], again[name]) for name in first)
    for data in (exact, off):
        data.setup("validate")
    for a, b in zip(exact.val_dataloader(), off.val_dataloader(), strict=True):
        assert same(a, b)
    plain = train_faces(make(root, box=Boxes(jitter=0)))
    assert all(same(faces, plain[name]) for name, faces in train_faces(exact).items())


def test_everything_follows_the_chosen_box(tmp_path):
    write_wflw(tmp_path)
    tight, own = make(tmp_path, data=Wflw), make(tmp_path, data=Wflw, box=Boxes("dataset"), cache=tmp_path / "crops")
    for data in (tight, own):
        data.setup("test")
    for a, b in zip(tight.test_dataloader(), own.test_dataloader(), strict=True):
        assert torch.equal(a.norm, b.norm)
        assert b.box.tolist() == [[0, 0, 150, 120]] * 4
        matrix = crop_matrix(np.array([0.0, 0, 150, 120]), size=SIZE, padding=1.25)
        np.testing.assert_allclose(b.crop_to_image[0], invert(matrix), atol=1e-4)
        assert not torch.equal(a.crop_to_image, b.crop_to_image)
    tight_again = make(tmp_path, data=Wflw, cache=tmp_path / "crops")  # beside the cache of the other boxes
    tight_again.setup("test")
    assert same(next(iter(tight.test_dataloader())), next(iter(tight_again.test_dataloader())))


def test_evaluation_boxes_that_err(root):
    exact, off = make(root), make(root, box_error=(0.2, 0.1), seed=4)
    for split in ("val", "test"):
        for a, b in zip(exact.annotations(split), off.annotations(split), strict=True):
            side = (a.box[2:] - a.box[:2]).max()
            assert 0 < np.abs(a.box - b.box).max() <= (0.2 + 0.05) * side
            assert a.norm == b.norm
    assert all(
        (a.box == b.box).all() for a, b in zip(exact.annotations("train"), off.annotations("train"), strict=True)
    )
