import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from keyposs.errors import KeyposError, cause
from keyposs.trainer import AtomicCheckpoints, build_trainer


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "trainer.precision=bf16-true",
            r"trainer.precision=bf16-true: rounds keypoints .* use trainer.precision=bf16-mixed",
        ),
        ("trainer.precision=16-true", "use trainer.precision=16-mixed"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0: trains nothing"),
        ("++trainer.fast_dev_run=true", "leaves no checkpoint to evaluate. Remedy: use trainer=debug"),
        ("++trainer.sync_batchnorm=true", "trainer.sync_batchnorm: needs GPUs. Remedy: leave it out"),
    ],
)
def test_what_would_spoil_or_lose_work(small: Callable[..., DictConfig], override: str, words: str) -> None:
    with pytest.raises(KeyposError, match=words):
        build_trainer(small(override), [], logger=False)


@pytest.mark.parametrize(("epochs", "wanted", "every"), [(12, 5, 4), (1, 10, 1), (60, 10, 10), (7, 2, 1)])
def test_the_last_epoch_validates(small: Callable[..., DictConfig], epochs: int, wanted: int, every: int) -> None:
    config = small(f"trainer.max_epochs={epochs}", f"++trainer.check_val_every_n_epoch={wanted}")
    assert build_trainer(config, [], logger=False).check_val_every_n_epoch == every


def test_synchronised_batchnorm_where_there_are_gpus(
    small: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        with pytest.raises(KeyposError, match="trainer.sync_batchnorm: needs GPUs"):
            build_trainer(small("++trainer.sync_batchnorm=true"), [], logger=False)
        config = small("trainer=ddp", "trainer.sync_batchnorm=true", "trainer.devices=1")
        del config.trainer.accelerator
        trainer = build_trainer(config, [], logger=False)
    layers = trainer.strategy._layer_sync.apply(torch.nn.Sequential(torch.nn.BatchNorm2d(3)))
    assert isinstance(layers[0], torch.nn.SyncBatchNorm)


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from keyposs.trainer import AtomicCheckpoints
AtomicCheckpoints().save_checkpoint({"epoch": 1}, sys.argv[1])
write = Path.write_bytes
def half(path, data):
    write(path, bytes(data)[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
Path.write_bytes = half
AtomicCheckpoints().save_checkpoint({"epoch": 2}, sys.argv[1])
"""


def test_a_process_killed_while_it_saves_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 2  # and the half that was written


def test_a_full_disk_leaves_the_previous_checkpoint_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint({"epoch": 1}, path)

    def full(file: Path, data: object) -> None:
        file.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as raised:
        AtomicCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    mistake = cause(raised.value)
    assert isinstance(mistake, KeyposError)
    assert f"{path}: no space is left. Remedy: free some; a training goes on with resume=<its folder>" in str(mistake)


def test_lightning_saves_through_it(small: Callable[..., DictConfig]) -> None:
    assert isinstance(build_trainer(small(), [], logger=False).strategy.checkpoint_io, AtomicCheckpoints)
