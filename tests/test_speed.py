"""What reading costs: against known sleeps and allocations, and torch's own count of a network's memory."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from keyposs import environment, speed
from keyposs.checkpoint import Checkpoint, save_safetensors
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule

CPU = torch.device("cpu")
MB = 1_000_000


@pytest.fixture
def trained(small, tmp_path):
    """`trained("flip_test=true")`: the path of a small network's checkpoint."""

    def write(*overrides):
        torch.manual_seed(0)
        module = LandmarkModule.from_config(small(*overrides), MARKUP_68)
        file = tmp_path / "best.safetensors"
        save_safetensors(Checkpoint(file, dict(module.config), MARKUP_68, module.landmarker.state_dict()), file)
        return str(file)

    return write


class Pair(NamedTuple):
    points: torch.Tensor
    scales: torch.Tensor


class Gives(nn.Module):
    """A network of one weight that gives anything."""

    def __init__(self, output):
        super().__init__()
        self.weight, self.output, self.images = nn.Parameter(torch.zeros(1)), output, []

    def forward(self, image):
        self.images.append((tuple(image.shape), self.training, torch.is_inference_mode_enabled()))
        time.sleep(0.002)
        return self.output


@pytest.mark.parametrize("output", [torch.zeros(2), Pair(torch.zeros(1), torch.ones(1)), {"maps": []}], ids=repr)
@pytest.mark.parametrize("training", [True, False])
def test_latency_takes_any_output_and_leaves_the_network_as_it_was(output, training):
    net = Gives(output).train(training)
    assert 2 <= environment.latency(net, 16, repeats=4) < 20
    assert net.images == [((1, 3, 16, 16), False, True)] * 7  # three are warm-up
    assert net.training is training


def test_the_median_counts_neither_the_warm_up_nor_one_slow_call():
    sleeps = iter([0.2, 0.2, 0.2, 0.003, 0.003, 0.1, 0.003, 0.003])
    taken = environment.milliseconds(lambda: time.sleep(next(sleeps)), CPU, repeats=5)
    assert 3 <= taken < 20
    assert next(sleeps, None) is None


def test_quick_calls_are_timed_for_a_while():
    calls = []
    start = time.perf_counter()
    environment.milliseconds(lambda: calls.append(0), CPU, repeats=5, seconds=0.05)
    assert time.perf_counter() - start >= 0.05
    assert len(calls) > 100


GROWTHS = """
import torch
from keyposs.speed import growth

torch.ones(100_000_000 // 4)  # gone, but the process had it
for megabytes in (5, 50, 90, 40):
    run = lambda: [torch.ones(megabytes * 1_000_000 // 4).sum() for _ in range(3)]  # one after the other
    print(growth(run, torch.device("cpu")) / 1_000_000)
"""


def test_growth_is_what_a_call_holds_at_once_whatever_the_peak_before():
    command = [sys.executable, "-c", GROWTHS]  # apart: what the C library kept for other tests would be used again
    done = subprocess.run(command, env={**os.environ, **speed.GIVE_BACK}, capture_output=True, text=True, check=True)
    assert [float(line) for line in done.stdout.split()] == pytest.approx([5, 50, 90, 40], abs=4)


def test_a_call_that_holds_nothing_grows_nothing():
    assert speed.growth(lambda: None, CPU) < 1 * MB


def test_the_peak_is_that_of_the_process_alone(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t 9000 kB\nVmHWM:\t  1234 kB\nVmRSS:\t 1000 kB\n")
    monkeypatch.setattr(speed, "STATUS", status)
    assert speed.peak_of(CPU) == 1234 * 1024


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_elsewhere_the_peak_has_the_unit_of_the_system(monkeypatch, tmp_path, platform, unit):
    monkeypatch.setattr(speed, "STATUS", tmp_path / "no such file")
    monkeypatch.setattr(speed.sys, "platform", platform)
    monkeypatch.setattr(speed.resource, "getrusage", lambda _: type("Usage", (), {"ru_maxrss": 5000}))
    assert speed.peak_of(CPU) == 5000 * unit


def test_only_the_decoder_that_picked_the_checkpoint_is_timed(trained):
    module = speed.open_module(trained("monitor=pseudorange"), "cpu")
    assert module.codec.names == ("pseudorange",)
    assert not module.training
    (name, (points, scores)), *others = speed.reading(module, 3)().items()
    assert (name, points.shape, scores.shape, others) == ("pseudorange", (3, 68, 2), (3, 68), [])


@pytest.mark.parametrize(("flip", "passes"), [("false", 1), ("true", 2)])
def test_with_a_flip_test_the_network_runs_twice(trained, flip, passes):
    module, seen = speed.open_module(trained(f"flip_test={flip}"), "cpu"), []
    module.landmarker.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        speed.reading(module, 2)()
    assert len(seen) == passes
    assert (seen[0].dtype, seen[0].shape) == (torch.uint8, (2, 3, 64, 64))
    torch.testing.assert_close(seen[-1], seen[0].flip(-1) if passes == 2 else seen[0])


def allocated(run):
    """The most that torch's allocator held for a call, in bytes: an independent count of its memory."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run()
    with tempfile.TemporaryDirectory() as folder:
        watched.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
    steps = sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"])
    return max(itertools.accumulate(event["args"]["Bytes"] for event in steps))


def test_a_run_is_measured_in_processes_of_its_own(trained, monkeypatch, capsys):
    monkeypatch.setattr(speed, "SECONDS", 0.2)
    path = trained()
    speed.main([path, "--batch", "64", "1"])
    found = json.loads(capsys.readouterr().out)
    assert found["reading"] == "multilateration"
    assert found["hardware"].endswith("1 CPU threads")
    large, one = found["batches"]
    assert (large["batch"], one["batch"]) == (64, 1)
    for cost in found["batches"]:
        assert cost["ms_per_face"] == pytest.approx(cost["ms"] / cost["batch"], rel=1e-2)
        assert cost["fps"] == pytest.approx(1000 / cost["ms_per_face"], rel=1e-2)
    module = speed.open_module(path, "cpu")
    weights = sum(value.numel() * value.element_size() for value in module.landmarker.state_dict().values()) / MB
    with torch.inference_mode():
        held = {cost["batch"]: allocated(speed.reading(module, cost["batch"])) / MB for cost in found["batches"]}
    for cost in found["batches"]:
        beside = cost["memory_mb"] - weights
        assert 0.9 * held[cost["batch"]] - 0.5 < beside < 1.6 * held[cost["batch"]] + 1


def test_a_run_that_cannot_be_read_is_named(tmp_path, trained, capsys):
    with pytest.raises(SystemExit, match="^1$"):
        speed.main([str(tmp_path / "nowhere")])
    assert "nowhere: does not exist. Remedy: give a .ckpt" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="^1$"):
        speed.main([trained(), "--device", "abacus"])
    assert "device=abacus: cannot be used here" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        speed.main([trained(), "--batch", "0"])
    assert "'0' is no whole number of at least 1" in capsys.readouterr().err


def test_a_process_that_fails_says_why(monkeypatch):
    said = "Traceback\nkeyposs: best.ckpt: is no checkpoint. Remedy: train.\n"
    failed = type("Done", (), {"returncode": 1, "stdout": "", "stderr": said})
    monkeypatch.setattr(speed.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(
        KeyposError, match=r"^a run: its speed cannot be measured \(best\.ckpt: is no checkpoint\)"
    ) as error:
        speed.run_apart("a run", "--batch", "1")
    assert str(error.value).count("Remedy:") == 1
    assert error.value.remedy == "try python -m keyposs.speed 'a run' --batch 1"


@pytest.mark.parametrize(
    ("given", "batches"),
    [([], [1, 32]), (["--batch", "8"], [8]), (["--batch", "1", "--batch", "2", "4"], [1, 2, 4])],
)
def test_batch_sizes_add_up_and_replace_the_usual_ones(monkeypatch, capsys, given, batches):
    monkeypatch.setattr(speed, "measure", lambda run, batches, device: list(batches))
    speed.main(["run", *given])
    assert json.loads(capsys.readouterr().out) == batches


def test_a_cascade_is_measured_with_all_its_stages(composed, tmp_path):
    small = ("image_size=64", "head.every=4", "head.width=4", "head.hidden=16")
    config = composed("codec=cascade", *small, "head.exit=compact", "head.threshold=1e9", "codec.failure=0.5")
    module, file = LandmarkModule.from_config(config, MARKUP_68).eval(), tmp_path / "calibrated.safetensors"
    assert module(torch.zeros(2, 3, 64, 64)).stages.tolist() == [1, 1]
    save_safetensors(Checkpoint(file, dict(module.config), MARKUP_68, module.landmarker.state_dict()), file)
    opened = speed.open_module(str(file), "cpu")
    assert opened.landmarker.head.exit == opened.config["head"]["exit"] == "none"
    assert opened(torch.zeros(2, 3, 64, 64)).stages.tolist() == [3, 3]
