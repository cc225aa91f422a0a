"""Whole runs, small: what they leave, how they stop, and how they go on."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from keyposs import checkpoint, resume
from keyposs.codecs import distance_map
from keyposs.errors import KeyposError
from keyposs.module import LandmarkModule
from keyposs.train import train
from quick import QUICK
from writers import write_300w

Small = Callable[..., DictConfig]
TABLES = ("decoders_test", "landmarks_test", "nme_test_all", "nme_val_all", "runs", "subsets_test", "subsets_val")
DECODERS = {"one_hot", "two_hot", "quarter", "dark", "soft_argmax", "multilateration", "gauss_newton", "pseudorange"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that has ended."""
    from hydra import compose, initialize_config_dir

    from keyposs.config import CONF
    from quick import SMALL

    run = tmp_path_factory.mktemp("run")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        train(compose("train", [f"run_dir={run}", *SMALL, "seed=3", "trainer.max_epochs=2"]))
    return run


def test_a_finished_run_leaves_these_files(finished: Path) -> None:
    files = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert files == {
        ".lock",
        "config.yaml",
        "environment.json",
        "keypoints.csv",
        "metrics.csv",
        "results.json",
        "run.json",
        "predictions.csv",
        "report.html",
        "report.md",
        "checkpoints/best.ckpt",
        "checkpoints/best.safetensors",
        "checkpoints/last.ckpt",
        "pictures/overlays_val.png",
        "pictures/overlays_test.png",
        "pictures/distance_maps_test.png",
        *(f"pictures/{rank}_{split}.png" for rank in ("worst", "median") for split in ("val", "test")),
        *(f"plots/{name}.{suffix}" for name in ("ced", "landmarks", "training") for suffix in ("png", "svg")),
        *(f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "tex")),
    }


def test_results_have_a_row_per_split_and_decoder(finished: Path) -> None:
    rows = json.loads((finished / "results.json").read_text())
    assert {(row["split"], row["subset"], row["decoder"]) for row in rows} == {
        (split, "all", decoder) for split in ("val", "test") for decoder in DECODERS
    }
    for row in rows:
        assert row["faces"] == {"val": 4, "test": 5}[row["split"]]
        assert (row["data"], row["heatmap_size"], row["method"]) == ("synthetic", 8, "distance_map")
        assert (row["encoding"], row["norm"], row["threshold"], row["seed"]) == ("unbiased", "inter-ocular", 0.10, 3)


def test_predictions_give_the_results_again(finished: Path) -> None:
    """The table is recomputed from the points that were written and the annotations: no number is on its own."""
    from keyposs.data import Synthetic

    data = Synthetic(train=8, val=4, test=5)
    truth = {face.name: face for split in ("val", "test") for face in data.annotations(split)}
    results = {(row["split"], row["decoder"]): row for row in json.loads((finished / "results.json").read_text())}
    with (finished / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 * len(DECODERS)
    sums: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        face = truth[row["name"]]
        points = torch.tensor([[float(row[f"x{k}"]), float(row[f"y{k}"])] for k in range(68)])
        error = 100 * (points - torch.from_numpy(face.keypoints)).norm(dim=-1).mean().item() / face.norm
        assert error == pytest.approx(float(row["nme"]), abs=2e-3)
        sums.setdefault((row["split"], row["decoder"]), []).append(error)
    for key, errors in sums.items():
        assert sum(errors) / len(errors) == pytest.approx(results[key]["nme"], abs=2e-3)


def test_run_json_says_what_ran(finished: Path) -> None:
    facts = json.loads((finished / "run.json").read_text())
    assert facts["parameters"] > 100_000
    assert facts["macs"] > 100_000
    assert facts["latency_ms"] > 0
    assert facts["epochs"] == 2
    assert facts["config"]["heatmap_size"] == 8
    assert {"version", "commit", "command", "hardware", "torch", "seconds"} <= set(facts)


def test_the_log_has_every_decoder(finished: Path) -> None:
    with (finished / "metrics.csv").open() as file:
        columns = set(next(csv.reader(file)))
    assert {f"val/{measure}/{decoder}" for measure in ("nme", "fr", "auc") for decoder in DECODERS} <= columns
    assert {"train/loss", "val/loss", "epoch", "step"} <= columns


def test_every_form_of_a_checkpoint_holds_the_same_weights(finished: Path) -> None:
    folder = finished / "checkpoints"
    first, *others = [checkpoint.load(path) for path in (finished, folder / "best.ckpt", folder / "best.safetensors")]
    for other in others:
        assert other.config == first.config
        assert other.markup == first.markup
        assert all(torch.equal(other.weights[name], value) for name, value in first.weights.items())


class Stop(pl.Callback):
    """Ends the process, as it were, in the middle of an epoch."""

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: object, index: int) -> None:
        if trainer.current_epoch == 2 and index == 1:
            raise RuntimeError("power cut")


def test_a_resumed_run_ends_with_the_same_weights(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = "trainer.max_epochs=4"
    train(small(epochs, run="whole"))
    broken = small(epochs, run="broken")
    with monkeypatch.context() as patch:
        patch.setattr(pl.Trainer, "__init__", with_callback(pl.Trainer.__init__, Stop()))
        with pytest.raises(RuntimeError, match="power cut"):
            train(broken)
    run = Path(broken.run_dir)
    assert not (run / "results.json").exists()
    again = resume.recompose(small(f"resume={run}"), [f"resume={run}"])
    train(again, checkpoint.find(run, "last.ckpt"))
    whole, resumed = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (run.parent / "whole", run)
    )
    for state in ("state_dict", "current_model_state"):
        torch.testing.assert_close(resumed[state], whole[state], rtol=0, atol=0, equal_nan=True)  # not calibrated: NaN
    assert (run / "results.json").read_text() == (run.parent / "whole" / "results.json").read_text()
    with (run / "metrics.csv").open() as file, (run.parent / "whole" / "metrics.csv").open() as other:
        column = [[row["val/loss"] for row in csv.DictReader(f) if row["val/loss"]] for f in (file, other)]
    assert column[0] == column[1]
    assert len(column[0]) == 4


def with_callback(init: Callable[..., None], callback: pl.Callback) -> Callable[..., None]:
    def wrapped(self: pl.Trainer, *args: object, callbacks: list[pl.Callback], **options: object) -> None:
        init(self, *args, callbacks=[*callbacks, callback], **options)

    return wrapped


def test_a_run_that_was_moved_knows_its_best_epoch(small: Small) -> None:
    """An error that grows counts as better here: after the move, no epoch is better than the first."""
    config = small("optim.lr=0", "trainer.max_epochs=1", "++callbacks.best.mode=max")
    train(config)
    moved = Path(config.run_dir).rename(Path(config.run_dir).parent / "moved")
    best = (moved / "checkpoints" / "best.ckpt").read_bytes()
    again = resume.recompose(small(f"resume={moved}"), ["trainer.max_epochs=3"])
    train(again, checkpoint.find(moved, "last.ckpt"))
    assert torch.load(moved / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
    assert (moved / "checkpoints" / "best.ckpt").read_bytes() == best


def test_resume_refuses_what_is_no_run(small: Small, tmp_path: Path) -> None:
    with pytest.raises(KeyposError, match=r"is not a run directory \(no config.yaml\)"):
        resume.recompose(small(f"resume={tmp_path}"), [])


@pytest.mark.parametrize(
    ("override", "cause"),
    [
        ("heatmap_size=4", "would change what is being trained"),
        ("optim.lr=1e-4", "would change what is being trained"),
        ("callbacks.best.mode=max", "would change what is being trained"),
        ("codec.sigma=1.5", "would change what is being trained"),
        ("backbone=resnet18", "would change what is being trained"),
        ("logger.tensorboard.name=a", "names nothing"),
    ],
)
def test_resume_keeps_what_is_being_trained(small: Small, finished: Path, override: str, cause: str) -> None:
    with pytest.raises(KeyposError, match=f"{override}: {cause}"):
        resume.recompose(small(f"resume={finished}"), [f"resume={finished}", override])


def test_resume_takes_the_checkpoint_of_a_run_too(small: Small, finished: Path) -> None:
    last = finished / "checkpoints" / "last.ckpt"
    assert resume.recompose(small(f"resume={last}"), []).run_dir == str(finished)


def test_resume_from_a_checkpoint_cut_short(small: Small, finished: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes((finished / "checkpoints" / "last.ckpt").read_bytes()[:5000])
    with pytest.raises(KeyposError, match="cut.ckpt: cannot be read"):
        train(small(), cut)


def test_resume_takes_new_values(small: Small, finished: Path) -> None:
    config = resume.recompose(small(f"resume={finished}"), ["trainer.max_epochs=9", "datamodule.workers=1"])
    assert (config.trainer.max_epochs, config.datamodule.workers) == (9, 1)
    assert config.run_dir == str(finished)


def test_a_nan_loss_stops_the_run_and_keeps_the_last_checkpoint(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(100))
    real = distance_map.visible_mean  # called for two batches of training and one of validation in each epoch
    monkeypatch.setattr(
        distance_map, "visible_mean", lambda *args: real(*args) * (1 if next(calls) < 4 else float("nan"))
    )
    config = small("trainer.max_epochs=3")
    with pytest.raises(KeyposError, match=r"train/loss: is not a number by step 4 \(epoch 1\).*lower optim.lr"):
        train(config)
    last = torch.load(Path(config.run_dir) / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 0
    assert all(value.isfinite().all() for value in last["state_dict"].values())


def test_weights_that_broke_in_the_last_step_are_not_saved(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    class Break(pl.Callback):
        def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: object) -> None:
            if trainer.global_step == 3:  # the last of the second epoch; its loss was finite
                next(module.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]

    config = small("trainer.max_epochs=2")
    monkeypatch.setattr(pl.Trainer, "__init__", with_callback(pl.Trainer.__init__, Break()))
    with pytest.raises(KeyposError, match="train/loss: is not a number by step 4"):
        train(config)
    for name in ("best", "last"):
        weights = checkpoint.load(Path(config.run_dir) / "checkpoints" / f"{name}.ckpt").weights.values()
        assert all(value.isfinite().all() for value in weights)


def test_a_bad_test_face_stops_the_run_before_it_trains(composed: Small, tmp_path: Path) -> None:
    write_300w(tmp_path / "data")
    (tmp_path / "data" / "ibug" / "image_0001.pts").write_text("")
    config = composed(*QUICK, "backbone.name=mobilenetv3_small_050", "data=300w", f"data.root={tmp_path / 'data'}")
    with pytest.raises(KeyposError, match=r"image_0001.pts: holds no points"):
        train(config)
    assert not (Path(config.run_dir) / "checkpoints").exists()


def test_training_can_start_from_a_checkpoint(small: Small, finished: Path) -> None:
    config = small(f"checkpoint={finished}", "trainer.max_epochs=1", "optim.lr=0")
    train(config)
    start, end = checkpoint.load(finished).weights, checkpoint.load(config.run_dir).weights
    learnt = [name for name in start if "conv" in name]
    assert learnt
    assert all(torch.equal(end[name], start[name]) for name in learnt)
    with pytest.raises(KeyposError, match="was trained at heatmap_size=8, not 4"):
        train(small(f"checkpoint={finished}", "heatmap_size=4", run="other"))


def test_a_run_is_not_overwritten(small: Small, finished: Path) -> None:
    config = small()
    config.run_dir = str(finished)
    before = (finished / "checkpoints" / "best.ckpt").read_bytes()
    with pytest.raises(KeyposError, match=r"holds a run already. Remedy: go on with it, resume="):
        train(config)
    assert (finished / "checkpoints" / "best.ckpt").read_bytes() == before


def test_the_last_epoch_is_kept_where_val_does_not_improve(small: Small) -> None:
    # An error that shrinks counts as worse here: the first epoch stays the best.
    config = small("optim.lr=0", "trainer.max_epochs=3", "++callbacks.best.mode=max")
    train(config)
    epochs = {
        name: torch.load(Path(config.run_dir) / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    }
    assert epochs["last"] == 2
    assert epochs["best"] < 2


def test_resuming_to_fewer_epochs_is_refused_and_changes_nothing(small: Small, finished: Path) -> None:
    before = {name: (finished / name).read_text() for name in ("config.yaml", "metrics.csv")}
    config = resume.recompose(small(f"resume={finished}"), ["trainer.max_epochs=1"])
    with pytest.raises(KeyposError, match=r"trainer.max_epochs=1: .*last.ckpt has done 2 already"):
        train(config, finished / "checkpoints" / "last.ckpt")
    assert {name: (finished / name).read_text() for name in before} == before


def test_the_environment_is_in_the_run(finished: Path) -> None:
    (start,) = json.loads((finished / "environment.json").read_text())
    assert {"started", "version", "commit", "command", "hardware", "python", "torch"} <= set(start)
    assert start["packages"]["torch"] == torch.__version__.partition("+")[0]


def test_keypoints_are_the_truth_of_the_faces_that_were_read(finished: Path) -> None:
    from keyposs.data import Synthetic

    data = Synthetic(train=8, val=4, test=5)
    with (finished / "keypoints.csv").open() as file:
        rows = {(row["split"], row["name"]): row for row in csv.DictReader(file)}
    truth = {(split, face.name): face for split in ("val", "test") for face in data.annotations(split)}
    assert list(rows) == list(truth)
    for key, face in truth.items():
        points = [[float(rows[key][f"{axis}{k}"]) for axis in "xy"] for k in range(68)]
        assert abs(face.keypoints - points).max() < 6e-4
        assert float(rows[key]["norm"]) == pytest.approx(face.norm, abs=6e-5)


def test_deterministic_runs_are_the_same_bit_for_bit(small: Small) -> None:
    weights = []
    try:
        for run in ("first", "second"):
            torch.rand(1)  # whatever ran before
            config = small("deterministic=true", "augment=strong", run=run)
            train(config)
            assert torch.are_deterministic_algorithms_enabled()
            weights.append(checkpoint.load(Path(config.run_dir) / "checkpoints" / "last.ckpt").weights)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_flip_test_is_the_same_for_an_image_and_its_mirror_image(small: Small) -> None:
    config = small("flip_test=true")
    datamodule = instantiate(config.datamodule)
    module = LandmarkModule.from_config(config, datamodule.dataset.markup).eval()
    datamodule.setup("test")
    batch = next(iter(datamodule.test_dataloader()))
    flip = list(datamodule.dataset.markup.flip)
    mirrored = batch._replace(image=batch.image.flip(-1))
    with torch.no_grad():
        one, other = module.validation_step(batch, 0), module.validation_step(mirrored, 0)
    assert torch.allclose(other.output.flip(-1)[:, flip], one.output, atol=1e-6)
    assert not torch.allclose(module(batch.image), one.output, atol=1e-6)
