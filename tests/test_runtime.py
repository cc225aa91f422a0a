"""Exported networks behind the same calls: ONNX Runtime, 8-bit integers and whole photos beside torch."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from omegaconf import DictConfig
from PIL import Image

import keyposs
from keyposs import int8, runtime
from keyposs.checkpoint import load
from keyposs.cli import main
from keyposs.data import Synthetic
from keyposs.errors import KeyposError
from keyposs.export import export
from keyposs.finder import Finder
from keyposs.predict import predict
from keyposs.runtime import open_exported

Compose = Callable[..., DictConfig]

NETWORK = "keyposs-8"
FACES, VIEWS = 200, 5
QUICK = "decoder=[one_hot]"  # quick to export
RENDERED = ("data=synthetic", "data.train=32", "data.val=24", "datamodule.workers=0")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, composed_once: Compose) -> Callable[..., Path]:
    """Exports the packaged network; each way once."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def write(*overrides: str) -> Path:
        if overrides not in made:
            file = folder / f"{len(made)}.onnx"
            config = composed_once(f"checkpoint={NETWORK}", f"file={file}", *overrides, name="export")
            made[overrides] = export(config, load(NETWORK))
        return made[overrides]

    return write


@pytest.fixture(scope="module")
def faces() -> list[tuple[np.ndarray, np.ndarray]]:
    """Rendered photos, each several times, in more and more noise, in boxes that are a little off."""
    draws = np.random.default_rng(0)
    photos = []
    for face in Synthetic(test=FACES // VIEWS).annotations("test"):
        photo, size = face.read(), np.ptp(face.box.reshape(2, 2), axis=0).max()
        for view in range(VIEWS):
            noisy = (photo + draws.normal(0, 8 * view, photo.shape)).clip(0, 255).astype(np.uint8)
            photos.append((noisy, (face.box + draws.uniform(-0.05, 0.05, 4) * size)[None]))
    return photos


def points(network: str | Path, faces: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    finder = keyposs.load(network, device="cpu", boxes="whole", passes=1)
    return np.concatenate([found.points for found in finder.stream(faces)])


@pytest.fixture(scope="module")
def in_torch(faces: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return points(NETWORK, faces)


def test_onnxruntime_finds_the_points_of_torch_on_200_faces(
    exported: Callable[..., Path], faces: list[tuple[np.ndarray, np.ndarray]], in_torch: np.ndarray
) -> None:
    assert in_torch.shape == (FACES, 68, 2)
    assert np.abs(points(exported(), faces) - in_torch).max() < 0.01


def test_a_graph_that_cuts_faces_finds_the_points_of_torch_on_200_faces(
    exported: Callable[..., Path], faces: list[tuple[np.ndarray, np.ndarray]], in_torch: np.ndarray
) -> None:
    graph = open_exported(exported("input=photo"))
    assert graph.inputs == ("photo", "boxes")
    found = np.concatenate([graph.run(photo, box.astype(np.float32))[0] for photo, box in faces])
    apart = np.linalg.norm(found - in_torch, axis=-1)
    assert apart.max() < 0.15  # where a grey level is rounded otherwise
    assert apart.mean() < 0.002


def test_integers_move_points_on_200_faces_by_no_more_than_is_said(
    exported: Callable[..., Path], faces: list[tuple[np.ndarray, np.ndarray]], in_torch: np.ndarray
) -> None:
    file = exported("int8=true", "worse=0.3", *RENDERED)
    assert file.stat().st_size < 0.35 * exported().stat().st_size
    apart = np.linalg.norm(points(file, faces) - in_torch, axis=-1)
    assert 0.01 < apart.mean() < 1.0
    assert apart.max() < 10.0
    graph = onnx.load(file)
    assert {entry.key: entry.value for entry in graph.metadata_props}["precision"] == "int8"
    assert {node.op_type for node in graph.graph.node} >= {"QuantizeLinear", "DequantizeLinear"}


def test_a_whole_photo_in_integers(exported: Callable[..., Path]) -> None:
    graph = open_exported(exported("input=photo", "int8=true", "worse=1", QUICK, *RENDERED))
    (face,) = Synthetic(test=1).annotations("test")
    points, _ = graph.run(face.read(), face.box[None].astype(np.float32))
    assert np.linalg.norm(points[0] - face.keypoints, axis=-1).mean() < 0.15 * face.norm  # by the largest cell alone


def test_the_gate(tmp_path: Path, composed: Compose) -> None:
    file = tmp_path / "a.onnx"
    file.write_text("an earlier one")
    wanted = (QUICK, *RENDERED)
    asked = composed(f"checkpoint={NETWORK}", f"file={file}", "int8=true", "worse=-5", *wanted, name="export")
    with pytest.raises(KeyposError, match=r"a.onnx: was not written: in 8 bits NME on val is .*, .* before; worse=-5"):
        export(asked, load(NETWORK))
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["a.onnx"]
    assert file.read_text() == "an earlier one"


@pytest.mark.parametrize(("after", "passes"), [(4.1, True), (3.0, True), (4.2, False), (float("nan"), False)])
def test_what_integers_may_cost(after: float, passes: bool) -> None:
    cost = int8.Cost(10, 4.0, after, 1.0, 0.1)
    if passes:
        int8.check_cost(Path("a"), cost, 0.11)
    else:
        with pytest.raises(KeyposError, match="export without int8=true, or allow more with worse="):
            int8.check_cost(Path("a"), cost, 0.11)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((), "int8=true: needs faces: .* Remedy: add the data that the network was trained on"),
        (
            ("data=wflw", "data.root=nowhere"),
            "data=wflw: marks 98, the network finds 68. Remedy: give data of the network's own landmarks",
        ),
    ],
)
def test_faces_to_calibrate_on(overrides: tuple[str, ...], words: str, tmp_path: Path, composed: Compose) -> None:
    asked = composed(f"checkpoint={NETWORK}", f"file={tmp_path}/a.onnx", "int8=true", *overrides, name="export")
    with pytest.raises(KeyposError, match=words):
        export(asked, load(NETWORK))


def test_an_unknown_input(composed: Compose) -> None:
    with pytest.raises(KeyposError, match="input=video: is unknown. Remedy: choose from crop, photo"):
        export(composed(f"checkpoint={NETWORK}", "input=video", name="export"), load(NETWORK))


@pytest.fixture(scope="module")
def finder(exported: Callable[..., Path]) -> Finder:
    return keyposs.load(exported("maps=true"))


def test_the_finder_of_an_exported_network_is_that_of_its_checkpoint(finder: Finder, faces: list) -> None:
    ours = keyposs.load(NETWORK, device="cpu")
    assert finder.network.markup == ours.network.markup
    assert finder.network.facts["decoder"] == ours.network.facts["decoder"]
    for photo, box in faces[:2]:
        one, other = finder(photo, box), ours(photo, box)
        np.testing.assert_allclose(one.points, other.points, atol=0.05)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
        np.testing.assert_allclose(one.covariances, other.covariances, rtol=0.01, atol=0.01)
    (alone,) = finder(faces[0][0]).boxes  # it looks for faces
    np.testing.assert_allclose(alone, faces[0][1][0], atol=0.15 * np.ptp(alone.reshape(2, 2), axis=0).max())


def test_the_shell_and_the_command_take_an_exported_network(
    exported: Callable[..., Path], faces: list, tmp_path: Path, composed: Compose
) -> None:
    photo = tmp_path / "a.png"
    Image.fromarray(faces[0][0]).save(photo)
    options = ["--network", str(exported()), "--boxes", "whole", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["predict", str(photo), *options])
    assert done.exit_code == 0, done.output
    _, line = (tmp_path / "out" / "faces.jsonl").read_text().splitlines()
    config = composed(f"checkpoint={exported()}", f"source={photo}", "boxes=whole", name="predict")
    (found,) = predict(config, None).values()
    np.testing.assert_allclose(json.loads(line)["faces"][0]["points"], found.points[0], atol=2e-3)
    config.padding = 1.5
    with pytest.raises(KeyposError, match=r"padding=1.5: is fixed in .*.onnx. Remedy: leave it out, or export"):
        predict(config, None)


def test_a_graph_of_whole_photos_is_no_network_of_crops(exported: Callable[..., Path]) -> None:
    with pytest.raises(
        KeyposError, match=r"takes photo and boxes, and cuts faces itself. Remedy: export it with input"
    ):
        keyposs.load(exported("input=photo"))


class Payload:
    """Runs a command where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"touch {self.file}",)


def test_what_is_no_exported_network(exported: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    with pytest.raises(
        KeyposError, match=r"a.onnx: does not exist. Remedy: give a file that keyposs.export has written"
    ):
        keyposs.load(file)
    whole = exported().read_bytes()
    for content in (b"", b"no graph", whole[: len(whole) // 2], pickle.dumps(Payload(tmp_path / "ran"))):
        file.write_bytes(content)
        with pytest.raises(KeyposError, match=r"a.onnx: (cannot be read|is not a network of keyposs)"):
            keyposs.load(file)
    assert not (tmp_path / "ran").exists()
    foreign = onnx.load(exported())
    del foreign.metadata_props[:]
    onnx.save(foreign, file)
    with pytest.raises(KeyposError, match=r"a.onnx: is not a network of keyposs \(no 'image_size'\)"):
        keyposs.load(file)


def test_devices(exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyposError, match="device=mps: is not among those of this ONNX Runtime"):
        keyposs.load(exported(), device="mps")
    asked: list[object] = []
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(runtime.PROVIDERS.values()))
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda file, options, providers: asked.append(providers) or 1 / 0
    )
    for device in ("auto", "cuda:1", "cpu"):
        with pytest.raises(KeyposError, match="division by zero"):
            open_exported(exported(), device)
    cuda = "CUDAExecutionProvider"
    assert asked == [[(cuda, {"device_id": "0"})], [(cuda, {"device_id": "1"})], [("CPUExecutionProvider", {})]]


def test_without_onnxruntime(exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(KeyposError, match=r'needs onnxruntime. Remedy: pip install "keyposs\[export\]"'):
        open_exported(exported())


def test_threads_are_those_of_torch(exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    crop = np.zeros((1, 3, 256, 256), np.uint8)
    assert [part.shape for part in open_exported(exported()).run(crop)] == [(1, 68, 2), (1, 68), (1, 68, 2, 2)]
