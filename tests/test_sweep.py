"""Sweeps: each job in a folder of its own, done once, and its failure nobody else's."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from keyposs import sweep
from keyposs.distributed import locked
from keyposs.errors import KeyposError
from keyposs.module import LandmarkModule
from keyposs.train import sweep_job, train
from quick import QUICK, SMALL
from writers import write_300w

Small = Callable[..., DictConfig]


def write_multirun(folder: Path, *overrides: str) -> Path:
    OmegaConf.save({"hydra": {"overrides": {"task": list(overrides)}}}, folder / "multirun.yaml")
    return folder


@given(st.permutations(["+data=300w", "heatmap_size=8", "decoder=[dark,one_hot]", "seed=1"]))
def test_a_folder_does_not_depend_on_the_order_of_overrides(overrides: list[str]) -> None:
    assert sweep.run_name(overrides, "nowhere") == "data-300w__decoder-dark+one_hot__heatmap_size-8__seed-1"


def test_a_folder_names_what_the_sweep_varies_and_the_size(tmp_path: Path) -> None:
    write_multirun(tmp_path, "heatmap_size=8", "codec.unbiased=true,false", "flip_test=true", "data.root=/photos")
    job = ["heatmap_size=8", "codec.unbiased=True", "flip_test=True", "data.root=/photos"]
    assert sweep.run_name(job, tmp_path) == "codec.unbiased-True__heatmap_size-8"
    assert sweep.run_name(["batch_size=16"], write_multirun(tmp_path, "batch_size=16")) == "batch_size-16"


@given(st.lists(st.from_regex(r"[a-z.]{1,20}=[^\n]{0,80}", fullmatch=True), max_size=12))
def test_a_folder_has_nothing_that_hydra_or_a_disk_chokes_on(overrides: list[str]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.+-]{1,120}", sweep.run_name(overrides, "nowhere"))


WORD = st.from_regex(r"[a-z.]{1,8}=[a-z0-9,/ _\[\]-]{0,9}", fullmatch=True)


@given(st.sets(st.frozensets(WORD, min_size=1, max_size=3), min_size=2, max_size=8))
def test_different_overrides_have_different_folders(jobs: set[frozenset[str]]) -> None:
    assert len({sweep.run_name(sorted(job), "nowhere") for job in jobs}) == len(jobs)


def test_long_names_that_differ_at_their_end_differ() -> None:
    names = {sweep.run_name([f"backbone.name={'x' * 200}{i}"], "nowhere") for i in range(3)}
    assert len(names) == 3
    assert max(map(len, names)) == sweep.LONGEST


@pytest.mark.parametrize("where", ["logger=csv", "logger.wandb.offline=false", "data.root=/x", "trainer.devices=2"])
def test_where_a_job_runs_is_not_in_its_name(where: str) -> None:
    assert sweep.run_name(["seed=1", where], "nowhere") == "seed-1"


def test_but_it_is_where_the_sweep_varies_it(tmp_path: Path) -> None:
    write_multirun(tmp_path, "trainer.devices=1,2", "seed=1")
    assert sweep.run_name(["trainer.devices=2", "seed=1"], tmp_path) == "trainer.devices-2"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("outputs/sweeps/2026-11-25/10-00-00", "2026-11-25-10-00-00"), ("outputs/sweeps/a", "a"), ("b", "b")],
)
def test_dashboards_group_the_runs_of_a_sweep(tmp_path: Path, folder: str, name: str) -> None:
    assert sweep.sweep_of(tmp_path / folder / "seed-1") is None
    (tmp_path / folder).mkdir(parents=True)
    write_multirun(tmp_path / folder, "seed=1,2")
    assert sweep.sweep_of(tmp_path / folder / "seed-1") == name


def cut_power(module: LandmarkModule) -> None:
    if module.current_epoch == 1:
        raise RuntimeError("power cut")


def test_a_broken_job_goes_on_and_a_finished_one_is_left_alone(
    small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = "trainer.max_epochs=2"
    rows = train(small(epochs, run="whole"))
    with monkeypatch.context() as patch:
        patch.setattr(LandmarkModule, "on_train_epoch_start", cut_power)
        with pytest.raises(RuntimeError, match="power cut"):
            sweep_job(small(epochs))
    again = small(epochs)
    assert not sweep.finished(again)
    assert sweep_job(again) == rows
    run = Path(again.run_dir)
    whole, resumed = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (run.parent / "whole", run)
    )
    assert all(torch.equal(resumed["state_dict"][name], value) for name, value in whole["state_dict"].items())
    assert len(json.loads((run / "environment.json").read_text())) == 2
    monkeypatch.setattr(pl.Trainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    capsys.readouterr()
    assert sweep_job(small(epochs)) == rows
    assert f"done already: {run}" in capsys.readouterr().out
    with pytest.raises(KeyposError, match=r"holds a run of other settings \(optim.lr: 0.002, not 0.1\).*sweep.dir"):
        sweep_job(small(epochs, "optim.lr=0.1"))
    with pytest.raises(KeyposError, match=r"trainer.max_epochs: 2, not 3"):
        sweep_job(small("trainer.max_epochs=3"))
    assert sweep.finished(small(epochs, "logger=[]", "datamodule.workers=1"))  # which change no result


def test_a_job_whose_data_has_moved_is_still_done(composed: Small, tmp_path: Path) -> None:
    few = [*QUICK, "backbone.name=mobilenetv3_small_050", "logger=csv", "data=300w"]
    for folder in ("here", "there"):
        write_300w(tmp_path / folder)
    rows = sweep_job(composed(*few, f"data.root={tmp_path / 'here'}"))
    assert sweep_job(composed(*few, f"data.root={tmp_path / 'there'}")) == rows
    with pytest.raises(KeyposError, match=r"data.norm: inter-ocular, not box"):
        sweep_job(composed(*few, f"data.root={tmp_path / 'there'}", "data.norm=box"))


def test_a_run_that_goes_on_is_not_done(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    train(small())
    more = small("trainer.max_epochs=2")
    monkeypatch.setattr(LandmarkModule, "on_train_epoch_start", cut_power)
    with pytest.raises(RuntimeError, match="power cut"):
        train(more, sweep.last_checkpoint(more))
    assert not sweep.finished(more)


def test_no_two_processes_train_one_job(small: Small) -> None:
    config = small()
    with locked(Path(config.run_dir)), pytest.raises(KeyposError, match="is being trained by another process"):
        train(config)
    train(config)


def test_torchrun_and_sweeps_do_not_mix(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(KeyposError, match=r"torchrun: would run each job .* start -m with trainer=ddp"):
        sweep.job(lambda _: None, small())


@pytest.mark.parametrize("mistake", [KeyposError("a.pts", "is empty", "fetch it"), ZeroDivisionError("oops")])
def test_a_job_that_fails_is_noted_and_forgotten_when_it_is_done(
    small: Small, mistake: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: DictConfig) -> None:
        raise mistake

    config = small()
    note = Path(config.run_dir) / sweep.FAILURE
    assert sweep.job(fail, config) is None
    assert str(mistake) in note.read_text()
    assert str(mistake) in capsys.readouterr().err
    assert sweep.job(lambda _: 4.5, config) == 4.5
    assert not note.exists()


def start(tmp_path: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keyposs.train", "-m", *SMALL, *overrides, "hydra.sweep.dir=sweep"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)


def runs(tmp_path: Path) -> dict[str, set[str]]:
    return {
        folder.name: {path.name for path in folder.iterdir()}
        for folder in (tmp_path / "sweep").iterdir()
        if folder.is_dir()
    }


def test_a_bad_job_costs_a_sweep_nothing_but_its_status(tmp_path: Path) -> None:
    said = start(tmp_path, "heatmap_size=8,99,4", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert said.returncode == 1
    assert "heatmap_size=99: does not fit a crop" in said.stderr
    assert "1 of the sweep's jobs failed: heatmap_size-99; the same command tries them again" in said.stderr
    assert "Traceback" not in said.stderr
    found = runs(tmp_path)
    for size in (4, 8):
        assert {"results.json", "metrics.csv", "report.html"} <= found[f"heatmap_size-{size}"]
    assert "failure.txt" in found["heatmap_size-99"]
    assert (tmp_path / "sweep" / "report.html").exists()


def test_ranks_of_a_sweep_do_not_start_it_again(tmp_path: Path) -> None:
    """Each job's ranks are started by a process of its own, also where only `devices` says that there are several."""
    command = ("seed=0,-1", "trainer=ddp", "trainer.devices=2", "batch_size=2", "decoder=[multilateration]")
    said = start(tmp_path, *command)
    assert said.returncode == 1
    assert "1 of the sweep's jobs failed: heatmap_size-8__seed-1-" in said.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"sweep"}
    good, bad = sorted((tmp_path / "sweep").glob("*seed-*"))
    rows = json.loads((good / "results.json").read_text())
    assert [(row["split"], row["faces"], row["seed"]) for row in rows] == [("val", 4, 0), ("test", 5, 0)]
    assert (bad / "failure.txt").read_text().startswith("keyposs: seed=-1: is not a whole number of at least 0")


def test_a_sweep_ends_badly_for_its_own_failures_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of an earlier command stays; that of a finished run, whose folder was refused, goes."""
    monkeypatch.setattr(sweep.report, "write_report", lambda runs, folder: folder / "report.html")
    old, new, done = (tmp_path / name / "failure.txt" for name in ("old", "new", "done"))
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    summary = sweep.Summary()
    summary.on_multirun_start(config)
    for note in (old, new, done):
        note.parent.mkdir()
        note.write_text("keyposs: a.pts: is empty. Remedy: fetch it.")
    os.utime(old, (0, 0))
    (done.parent / "results.json").write_text("[]")
    with pytest.raises(SystemExit) as ended:
        summary.on_multirun_end(config)
    assert ended.value.code == 1
    assert "2 of the sweep's jobs failed: done, new;" in capsys.readouterr().err
    assert [note.exists() for note in (old, new, done)] == [True, True, False]
    new.unlink()
    summary.on_multirun_end(config)


@pytest.mark.parametrize(("overrides", "apart"), [([], False), (["trainer.devices=2"], True), (["trainer=ddp"], False)])
def test_only_jobs_of_several_ranks_are_done_apart(small: Small, overrides: list[str], apart: bool) -> None:
    one = ["trainer.devices=1"] if overrides == ["trainer=ddp"] else []
    assert sweep._starts_processes(small(*overrides, *one)) == apart


def test_a_command_without_a_trainer_has_no_ranks() -> None:
    assert not sweep._starts_processes(OmegaConf.create({"source": "photos"}))
