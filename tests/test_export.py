"""Graphs in onnxruntime against torch: every decoder, every codec, any number of faces, and the command."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

import keyposs.decoders
from keyposs import export as command
from keyposs import runtime
from keyposs.checkpoint import Checkpoint, load, save_safetensors
from keyposs.decoders import pseudorange, uncertainty
from keyposs.errors import KeyposError
from keyposs.export import check, export, target
from keyposs.graph import Graph, differences, open_graph, samples, write
from keyposs.markup import Markup
from keyposs.module import LandmarkModule
from keyposs.runtime import check_packages

Compose = Callable[..., DictConfig]

MARKUP = Markup.from_dict({"name": "corners", "mirrored": [[0, 1], [2, 3]]})
SMALL = ("image_size=64", "heatmap_size=8", "backbone=mobilenetv3", "backbone.name=mobilenetv3_small_050")
WITHOUT_MAPS = ("codec=cascade", "heatmap_size=null", "image_size=64", "head.hidden=32", "head.width=4")

DECODERS = {
    **{name: getattr(keyposs.decoders, name) for name in keyposs.decoders.__all__},
    "pseudorange of all cells": partial(pseudorange, kernel=None),
    "uncertainty": lambda heatmaps: (uncertainty(heatmaps),),
    "uncertainty of all cells": lambda heatmaps: (uncertainty(heatmaps, kernel=None, noise=1.0),),
}


class Reads(nn.Module):
    """A decoder as a module."""

    def __init__(self, decoder: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, heatmaps: Tensor) -> tuple[Tensor, ...]:
        return self.decoder(heatmaps)


def heatmaps(faces: int) -> Tensor:
    """Noisy distance maps of 12 x 16 cells, in and off the map; of the last face broken ones."""
    generator = torch.Generator().manual_seed(faces)
    x, y = (torch.rand(2, faces, 5, generator=generator) * torch.tensor([16, 12])[:, None, None] - 0.5)[..., None, None]
    across, down = torch.arange(16), torch.arange(12)[:, None]
    maps = 0.9 * torch.exp(-((across - x) ** 2 + (down - y) ** 2) / 8)
    maps += 0.01 * torch.randn(maps.shape, generator=generator)
    maps[-1, 0, 3], maps[-1, 1, 2, 2], maps[-1, 2], maps[-1, 3] = torch.nan, torch.inf, 0.0, -maps[-1, 3].abs()
    return maps


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_reads_maps_as_in_torch(name: str, tmp_path: Path) -> None:
    model = Reads(DECODERS[name])
    outputs = ("points", "scores") if "uncertainty" not in name else ("covariance",)
    write(model, (heatmaps(2),), outputs, {}, tmp_path / "a.onnx")
    written = open_graph(tmp_path / "a.onnx")
    for faces in (1, 3):
        for one, other in zip(written(heatmaps(faces)), model(heatmaps(faces)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)  # cells: 1e-3 pixels where a cell has 10


@pytest.fixture
def built(composed: Compose) -> Callable[..., LandmarkModule]:
    """A network whose points differ from face to face: layers that start near zero are drawn."""

    def build(*overrides: str) -> LandmarkModule:
        torch.manual_seed(0)
        module = LandmarkModule.from_config(composed(*overrides), MARKUP).eval().requires_grad_(False)
        for weight in module.landmarker.parameters():
            if weight.ndim > 1 and weight.std() < 0.01:
                nn.init.normal_(weight, std=0.2)
        return module

    return build


CODECS = {
    "distance_map": ((*SMALL, "decoder=[multilateration]"), "multilateration"),
    "of logarithms": ((*SMALL, "decoder=[pseudorange]", "+codec.activation=exp", "monitor=pseudorange"), "pseudorange"),
    "softmax": ((*SMALL, "decoder=[centroid]", "+codec.activation=softmax", "monitor=centroid"), "centroid"),
    "hih": ((*SMALL, "codec=hih"), "hih_expectation"),
    "coordinates": ((*SMALL, "codec=coordinates", "head.dim=64", "head.refine=2"), "coordinates"),
    "cascade": (WITHOUT_MAPS, "cascade"),
    "cascade that stops": ((*WITHOUT_MAPS, "head.exit=mask", "head.threshold=0.12"), "cascade"),
}


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_is_read_as_in_torch(name: str, built: Callable[..., LandmarkModule], tmp_path: Path) -> None:
    overrides, reading = CODECS[name]
    module, faces = built(*overrides), samples(64, 1.25, count=4)
    if name == "of logarithms":
        module.codec.spread.fill_(3.0)  # calibrated
    graph = Graph(module, reading, faces).eval()
    assert ("covariance" in graph.outputs) == (name in ("of logarithms", "coordinates"))
    write(graph, (faces[:2],), graph.outputs, {}, tmp_path / "a.onnx")
    assert max(differences(graph, open_graph(tmp_path / "a.onnx"), [(faces[:1],), (faces[1:],)]).values()) < 1e-3
    points, *_ = graph(faces)
    assert points.std(0).max() > 1e-2  # pixels: it did look at the faces
    if name == "cascade that stops":
        assert len(module(faces).stages.unique()) > 1


def test_covariances_are_those_of_the_codec(built: Callable[..., LandmarkModule]) -> None:
    module, faces = built(*CODECS["distance_map"][0]), samples(64, 1.25, count=2)
    module.codec.spread.fill_(3.0)
    assert torch.equal(Graph(module, "multilateration", faces)(faces)[2], module.codec.covariance(module(faces)))


@pytest.mark.parametrize("activation", ["identity", "exp"])
def test_maps_come_out_as_the_decoder_reads_them(
    activation: str, built: Callable[..., LandmarkModule], tmp_path: Path
) -> None:
    module, faces = built(*CODECS["distance_map"][0], f"+codec.activation={activation}"), samples(64, 1.25, count=4)
    module.codec.spread.fill_(3.0)
    graph = Graph(module, "multilateration", faces, maps=True).eval()
    assert graph.outputs == ("points", "scores", "covariance", "maps")
    write(graph, (faces[:2],), graph.outputs, {}, tmp_path / "a.onnx")
    written = open_graph(tmp_path / "a.onnx")
    apart = differences(graph, written, [(faces[:1],), (faces[1:],)])
    assert list(apart) == list(graph.outputs)
    assert max(apart.values()) < 1e-3
    points, _, _, maps = written(faces)
    assert maps.shape == (4, 4, 8, 8)
    cells, _ = module.codec.decoders["multilateration"](maps)
    torch.testing.assert_close(module.codec.grid.to_pixels(cells), points, rtol=0, atol=1e-2)


def test_without_calibrated_covariances_maps_are_the_third_output(built: Callable[..., LandmarkModule]) -> None:
    module, faces = built(*CODECS["distance_map"][0]), samples(64, 1.25, count=2)
    graph = Graph(module, "multilateration", faces, maps=True)
    assert graph.outputs == ("points", "scores", "maps")
    assert torch.equal(graph(faces)[2], module(faces))


@pytest.fixture
def saved(built: Callable[..., LandmarkModule], tmp_path: Path) -> Checkpoint:
    """A cascade that leaves out faces that are done."""
    module = built(*WITHOUT_MAPS, "head.exit=compact", "head.threshold=0.12", "padding=1.5")
    checkpoint = Checkpoint(tmp_path, dict(module.config), MARKUP, module.landmarker.state_dict())
    save_safetensors(checkpoint, tmp_path / "net.safetensors")
    return load(tmp_path / "net.safetensors")


def test_the_command_writes_a_file_that_says_how_to_use_it(
    saved: Checkpoint, composed: Compose, capsys: pytest.CaptureFixture[str]
) -> None:
    file = export(composed(f"checkpoint={saved.file}", "monitor=stage_2", name="export"), saved)
    said = capsys.readouterr().out
    assert "points read by stage_2" in said
    assert "largest difference from torch: points" in said
    assert "ms in onnxruntime" in said
    assert [path.name for path in file.parent.iterdir()] == ["model.onnx"]
    graph = onnx.load(file)
    onnx.checker.check_model(graph)
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    assert (facts["image_size"], facts["padding"], facts["decoder"]) == ("64", "1.5", "stage_2")
    assert Markup.from_dict(json.loads(facts["markup"])) == MARKUP
    assert json.loads(facts["config"])["head"]["exit"] == "compact"
    assert facts["norm"] == "inter-ocular"
    assert str(Path(keyposs.__file__).parent).encode() not in file.read_bytes()
    (image,) = graph.graph.input
    shape = [size.dim_value or size.dim_param for size in image.type.tensor_type.shape.dim]
    assert (image.name, image.type.tensor_type.elem_type, shape) == (
        "image",
        onnx.TensorProto.UINT8,
        ["faces", 3, 64, 64],
    )
    assert [output.name for output in graph.graph.output] == ["points", "scores"]


def test_maps_of_a_method_that_has_none_are_refused(saved: Checkpoint, composed: Compose, tmp_path: Path) -> None:
    with pytest.raises(KeyposError, match="maps=true: codec=cascade has no distance maps. Remedy: leave maps= out"):
        export(composed(f"checkpoint={saved.file}", "maps=true", f"file={tmp_path}/a.onnx", name="export"), saved)
    assert not (tmp_path / "a.onnx").exists()


def test_a_file_that_differs_is_not_kept(
    saved: Checkpoint, composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "TOLERANCE", -1.0)
    file = tmp_path / "face.onnx"
    file.write_text("an earlier one")
    with pytest.raises(KeyposError, match=r"face.onnx: was not written: its points are up to .* away from torch's"):
        export(composed(f"checkpoint={saved.file}", f"file={file}", name="export"), saved)
    assert {path.name for path in tmp_path.iterdir()} == {"face.onnx", "net.safetensors"}
    assert file.read_text() == "an earlier one"


@pytest.mark.parametrize("difference", [2e-3, float("nan")])
def test_what_differs_too_much(difference: float) -> None:
    check(Path("a"), {"points": 1e-4, "scores": 1e-3})
    with pytest.raises(KeyposError, match=r"its scores are up to .* away from torch's, above 0.001. Remedy: choose"):
        check(Path("a"), {"points": 1e-4, "scores": difference})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["format=tflite"], "format=tflite: is unknown. Remedy: choose from onnx"),
        (["file=face.pt"], r"file=face.pt: does not end in .onnx. Remedy: call it face.onnx"),
        (["file=nowhere/face.onnx"], "file=nowhere/face.onnx: there is no folder nowhere. Remedy: make it"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    composed: Compose, overrides: list[str], words: str
) -> None:
    with pytest.raises(KeyposError, match=words):
        target(composed("checkpoint=a", *overrides, name="export"))


def test_a_folder_that_may_not_be_written_to(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed("checkpoint=a", f"file={tmp_path}/face.onnx", name="export")
    assert target(config) == tmp_path / "face.onnx"
    monkeypatch.setattr(command.os, "access", lambda folder, mode: False)  # root may write anywhere
    with pytest.raises(KeyposError, match=r"face.onnx: cannot be written. Remedy: choose a file in a folder of your"):
        target(config)
    monkeypatch.undo()
    (tmp_path / "face.onnx").mkdir()
    with pytest.raises(KeyposError, match=r"face.onnx: cannot be written"):
        target(config)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages("format=onnx")
    monkeypatch.setattr(runtime, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    with pytest.raises(KeyposError, match=r'format=onnx: needs onnxruntime. Remedy: pip install "keyposs\[export\]"'):
        check_packages("format=onnx")


def test_a_mistake_is_printed_without_a_traceback(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "keyposs.export", "checkpoint=nowhere"]
    said = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 1
    assert "keyposs: nowhere: does not exist. Remedy: give a .ckpt" in said.stderr
    assert "Traceback" not in said.stderr
