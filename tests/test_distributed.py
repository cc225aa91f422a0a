"""Whole commands in several processes: the same rows as in one, one folder, one log."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig

from keyposs import checkpoint
from keyposs.evaluate import evaluate
from quick import QUICK

Compose = Callable[..., DictConfig]
TINY = (*QUICK, "backbone.name=mobilenetv3_small_050", "logger=csv", "batch_size=2")
HOSTS = ("data.train=8", "data.val=1", "data.test=5")  # of two ranks, one has no face of val


def start(folder: Path, *command: str) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=env, text=True, **pipes)


def end(process: "subprocess.Popen[str]") -> None:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with those of two hosts, as torchrun sees them, which have trained together and share no disk."""
    folder = tmp_path_factory.mktemp("hosts")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = ["--master-addr=127.0.0.1", f"--master-port={free.getsockname()[1]}"]
    ranks = ["trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2"]
    command = ["-m", "keyposs.train", *TINY, *HOSTS, *ranks]
    agents = [
        start(folder / f"host {node}", "torch.distributed.run", "--nnodes=2", f"--node-rank={node}", *address, *command)
        for node in range(2)
    ]
    for agent in agents:
        end(agent)
    return folder


def in_one_process(composed: Compose, run: Path, *overrides: str) -> tuple[list[dict[str, Any]], str]:
    """Rows and predictions of a run's checkpoint, read in this process."""
    alone = ("datamodule.workers=0", "++trainer.enable_progress_bar=false", "~callbacks.progress")
    config = composed(*alone, "callbacks.pictures.faces=0", *overrides, name="evaluate")
    saved = checkpoint.load(run)
    config = checkpoint.adopt(config, saved)
    rows = evaluate(config, saved, instantiate(config.datamodule))
    return rows, (Path(config.run_dir) / "predictions.csv").read_text()


def same(run: Path, rows: list[dict[str, Any]], predictions: str) -> None:
    """Asserts that a run's rows are these within 1e-4 points, of the same faces in the same order."""
    ours = json.loads((run / "results.json").read_text())
    blank = {"nme": 0, "auc": 0}
    assert [row | blank for row in ours] == [row | blank for row in rows]
    for a, b in zip(ours, rows, strict=True):
        assert a["nme"] == pytest.approx(b["nme"], abs=1e-4)
        assert a["auc"] == pytest.approx(b["auc"], abs=1e-6)
    lines = [text.splitlines() for text in ((run / "predictions.csv").read_text(), predictions)]
    assert [line.split(",")[:4] for line in lines[0]] == [line.split(",")[:4] for line in lines[1]]


def test_two_hosts_train_into_one_folder_and_measure_as_one_process(hosts: Path, composed: Compose) -> None:
    run, other = sorted(hosts.glob("host */outputs/*/*"))
    assert run.name == other.name
    assert {path.name for path in other.iterdir()} == {".hydra"}
    names = [path.name for path in run.rglob("*") if path.is_file() and path.parent.name != "tables"]
    assert sorted(name for name in names if name.endswith((".csv", ".log", ".ckpt"))) == sorted(
        ["best.ckpt", "last.ckpt", "keypoints.csv", "metrics.csv", "predictions.csv", "train.log"]
    )
    same(run, *in_one_process(composed, run, *HOSTS))


def test_two_processes_evaluate_225_and_3_faces_as_one(hosts: Path, composed: Compose, tmp_path: Path) -> None:
    (run,) = hosts.glob("host 0/outputs/*/*")
    faces = ("data.val=3", "data.test=225", f"datamodule.cache={tmp_path / 'cache'}", "batch_size=16")
    ranks = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "hydra.run.dir=two")
    end(start(tmp_path, "keyposs.evaluate", f"checkpoint={run}", *faces, *ranks, "datamodule.workers=0"))
    rows, predictions = in_one_process(composed, run, *faces)
    assert [row["faces"] for row in rows if row["decoder"] == "multilateration"] == [3, 225]
    same(tmp_path / "two", rows, predictions)
