"""Predictions of a network that really looks: it finds the centres of three coloured dots in its crops."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from keyposs import predict as command
from keyposs.checkpoint import Checkpoint, adopt, load, save_safetensors
from keyposs.codecs import Coordinates, DistanceMap, Regression
from keyposs.data.photo import read_photo
from keyposs.decoders import multilateration
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.markup import MARKUP_68, Contour, Markup
from keyposs.module import LandmarkModule
from keyposs.networks import Read, choose_device, of_module, to_photo
from keyposs.predict import build, plan, predict

Compose = Callable[..., DictConfig]
DOTS = Markup("3", (Contour("dots", (0, 1, 2)),), (), (0, 1), ((0,), (1,)))
TRUTH = np.array([[61.3, 40.8], [92.7, 47.1], [75.2, 71.9]])  # in a picture of 160 x 120
SIZE = 64


class Looks(nn.Module):
    """Draws the distance maps of the centroids of red, green and blue."""

    def __init__(self, codec: DistanceMap) -> None:
        super().__init__()
        self.codec = [codec]

    def forward(self, image: Tensor) -> Tensor:
        weight = image.double()
        cells = torch.arange(image.shape[-1], dtype=torch.float64)
        x, y = ((weight * across).sum((-2, -1)) / weight.sum((-2, -1)) for across in (cells, cells[:, None]))
        return self.codec[0].encode(torch.stack([x, y], -1))


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch, composed: Compose) -> Callable[..., DictConfig]:
    """Puts the looking network where a trained one would be; gives a config for a source."""
    codec = DistanceMap(Grid(SIZE, 8), {"multilateration": multilateration})
    schedule = lambda step, steps, per_epoch: 1.0  # noqa: E731
    module = LandmarkModule(Looks(codec), codec, torch.optim.Adam, schedule, {}, DOTS).eval()
    monkeypatch.setattr(command, "build", lambda config, checkpoint: (module, "multilateration"))

    def configure(source: Path, *overrides: str, boxes: Path | None = None) -> DictConfig:
        config = composed("checkpoint=none", "source=none", "passes=1", *overrides, name="predict")
        config.source, config.boxes = str(source), "whole" if boxes is None else str(boxes)
        return config

    return configure


CHECKPOINT = Checkpoint(
    Path("none"),
    {
        **{"image_size": SIZE, "heatmap_size": 8, "backbone": {}, "head": {}, "codec": {}},
        "datamodule": {"padding": 1.25, "seed": 0},
    },
    DOTS,
    {},
)


def paint(points: np.ndarray = TRUTH, *, scale: float = 1.0) -> np.ndarray:
    """A picture of 160 x 120, or `scale` times that, with a soft dot of a colour of its own at each point."""
    y, x = np.mgrid[: round(120 * scale), : round(160 * scale)]
    squared = [(x - px) ** 2 + (y - py) ** 2 for px, py in (points + 0.5) * scale - 0.5]
    return np.stack([np.rint(255 * np.exp(-d / (2 * (4 * scale) ** 2))) for d in squared], -1).astype(np.uint8)


def boxes_of(file: Path, *rows: Sequence[object]) -> Path:
    file.write_text("file,x0,y0,x1,y1\n" + "\n".join(",".join(map(str, row)) for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "box",
    [
        (25, 7, 130, 112),
        (48.6, 20.3, 139.1, 90.2),
        (-20, -40, 110, 90),  # the picture ends inside the crop
        (40, 30, 190, 170),
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_points_are_in_pixels_of_the_picture(
    looking: Callable[..., DictConfig], tmp_path: Path, box: tuple[float, ...] | None, scale: float
) -> None:
    Image.fromarray(paint(scale=scale)).save(tmp_path / "a.png")
    boxes = None
    if box is not None:
        boxes = boxes_of(tmp_path / "boxes.csv", ["a.png", *((v + 0.5) * scale - 0.5 for v in box)])
    (found,) = predict(looking(tmp_path / "a.png", boxes=boxes), CHECKPOINT).values()
    # a crop's pixel is up to 3 of the picture at scale 1
    np.testing.assert_allclose((found.points[0] + 0.5) / scale - 0.5, TRUTH, atol=0.1)
    np.testing.assert_allclose(found.scores[0], 1, atol=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_has_boxes_and_points_in_the_upright_one(
    looking: Callable[..., DictConfig], tmp_path: Path, orientation: int
) -> None:
    upright = paint()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    boxes = boxes_of(tmp_path / "boxes.csv", ["a.png", 30, 15, 125, 100])
    (found,) = predict(looking(tmp_path, boxes=boxes), CHECKPOINT).values()
    np.testing.assert_allclose(found.points[0], TRUTH, atol=0.1)


def test_every_face_of_a_picture_has_its_rows_and_all_are_on_one_overlay(
    looking: Callable[..., DictConfig], tmp_path: Path
) -> None:
    pair = np.concatenate([paint(), paint(TRUTH - 9)], axis=1)
    Image.fromarray(pair).save(tmp_path / "pair.png")
    rows = [["pair.png", 162, 0, 317, 119], ["pair.png", 2, 2, 150, 110]]
    (found,) = predict(looking(tmp_path / "pair.png", boxes=boxes_of(tmp_path / "b.csv", *rows)), CHECKPOINT).values()
    np.testing.assert_allclose(found.points, [TRUTH - 9 + [160, 0], TRUTH], atol=0.1)

    written = json.loads((tmp_path / "run/predictions.json").read_text(encoding="utf-8"))
    assert (written["markup"], written["point_names"], written["failed"]) == ("3", ["dots 0", "dots 1", "dots 2"], [])
    assert "upright" in written["unit"]
    assert [(f["file"], f["face"], f["box"]) for f in written["faces"]] == [
        ("pair.png", i, row[1:]) for i, row in enumerate(rows)
    ]
    np.testing.assert_allclose([f["points"] for f in written["faces"]], found.points, atol=1e-3)
    np.testing.assert_allclose([f["scores"] for f in written["faces"]], found.scores, atol=1e-4)

    with (tmp_path / "run/predictions.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(row["file"], row["face"]) for row in table] == [("pair.png", "0"), ("pair.png", "1")]
    for i, row in enumerate(table):
        points = [[float(row[f"{axis}{k}"]) for axis in "xy"] for k in range(3)]
        np.testing.assert_allclose(points, found.points[i], atol=1e-3)
        assert [float(row[f"box_{c}"]) for c in ("x0", "y0", "x1", "y1")] == rows[i][1:]
        np.testing.assert_allclose([float(row[f"s{k}"]) for k in range(3)], found.scores[i], atol=1e-4)

    overlay = read_photo(tmp_path / "run/overlays/pair.png").astype(int)
    assert overlay.shape == (180, 480, 3)  # one and a half times as large
    for x, y in (found.points.reshape(-1, 2) + 0.5) * 1.5 - 0.5:
        red, green, blue = overlay[round(y), round(x)]
        assert red - max(green, blue) > 100


def test_a_folder_is_read_through_and_what_is_broken_is_counted(
    looking: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos [1]"
    (folder / "sub").mkdir(parents=True)
    whole = ["a.jpg", "a.png", "sub/a.png", "sub/größe 你.png", "z.tif"]
    for name in whole:
        Image.fromarray(paint()).save(folder / name)
    (folder / "broken [x].jpg").write_bytes((folder / "a.jpg").read_bytes()[:900])
    (folder / "sub" / "text.png").write_text("no picture")
    found = predict(looking(folder, "batch_size=2"), CHECKPOINT)
    assert list(found) == whole
    for name in whole[1:]:  # JPEG stains the dark ground of the first
        np.testing.assert_allclose(found[name].points[0], TRUTH, atol=0.1)
    overlays = {p.relative_to(tmp_path / "run/overlays").as_posix() for p in (tmp_path / "run").rglob("*.png")}
    assert overlays == {"a.jpg.png", "a.png.png", "sub/größe 你.png", "sub/a.png", "z.png"}
    failed = json.loads((tmp_path / "run/predictions.json").read_text(encoding="utf-8"))["failed"]
    assert [face["file"] for face in failed] == ["broken [x].jpg", "sub/text.png"]
    assert "cut short" in failed[0]["error"]
    said = capsys.readouterr().out
    assert "faces: 5, pictures: 5, left out: 2, " in said
    assert said.count("left out: /") == 2
    assert f"{folder}/broken [x].jpg: cannot be read" in said


def test_boxes_choose_among_the_pictures_of_the_source(tmp_path: Path) -> None:
    for name in ("one/a.png", "one/b.png", "two/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    boxes = boxes_of(tmp_path / "boxes.csv", ["two/a.png", 0, 0, 1, 1], ["one/b.png", 0, 0, 2, 2])
    assert list(plan(tmp_path, boxes)) == [tmp_path / "two/a.png", tmp_path / "one/b.png"]
    assert list(plan(tmp_path / "one", boxes)) == [tmp_path / "one/b.png"]
    assert list(plan(tmp_path / "two/a.png", boxes)) == [tmp_path / "two/a.png"]
    with pytest.raises(KeyposError, match=r"boxes\.csv: has no box of source=.*a\.png\. Remedy: give the source that"):
        plan(tmp_path / "one/a.png", boxes)


def test_a_source_without_pictures_is_an_error(looking: Callable[..., DictConfig], tmp_path: Path) -> None:
    with pytest.raises(KeyposError, match=r"nowhere: there is no such picture or folder\. Remedy: check source="):
        predict(looking(tmp_path / "nowhere"), CHECKPOINT)
    with pytest.raises(KeyposError, match=r"holds no picture\. Remedy: give a folder of JPEG"):
        predict(looking(tmp_path), CHECKPOINT)
    for i in range(2):
        (tmp_path / f"{i}.jpg").write_text("no picture")
    with pytest.raises(KeyposError, match=r"/0.jpg: cannot be read as an image.*Remedy: fetch or export"):
        predict(looking(tmp_path / "0.jpg"), CHECKPOINT)
    with pytest.raises(KeyposError, match=r"none of its pictures can be read \(2 tried; .*0.jpg: cannot be read"):
        predict(looking(tmp_path), CHECKPOINT)
    with pytest.raises(KeyposError, match="batch_size=0: is less than one"):
        predict(looking(tmp_path, "batch_size=0"), CHECKPOINT)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def saved(small: Compose, tmp_path: Path) -> LandmarkModule:
    """An untrained network, and its weights in `tmp_path / "net.safetensors"`."""
    torch.manual_seed(0)
    module = LandmarkModule.from_config(small("datamodule.padding=1.5"), MARKUP_68).eval()
    checkpoint = Checkpoint(tmp_path, dict(module.config), MARKUP_68, module.landmarker.state_dict())
    save_safetensors(checkpoint, tmp_path / "net.safetensors")
    return module


def test_the_checkpoint_brings_its_network_and_padding_and_the_decoder_is_chosen(
    saved: LandmarkModule, composed: Compose, tmp_path: Path
) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png")
    checkpoint = load(tmp_path / "net.safetensors")
    with torch.inference_mode():
        expected = saved.codec.decode(saved(torch.from_numpy(photo.transpose(2, 0, 1)[None].copy())))
    for name, overrides in {
        "multilateration": [],
        "dark": ["decoder=[dark]"],
        "quarter": ["decoder=[dark,quarter]", "monitor=quarter"],
    }.items():
        given = (f"checkpoint={checkpoint.file}", f"source={tmp_path}/a.png", "device=cpu", "boxes=whole", "passes=1")
        (found,) = predict(composed(*given, *overrides, name="predict"), checkpoint).values()
        points, scores = (reading[0].numpy() for reading in expected[name])  # the crop is the picture
        np.testing.assert_allclose(found.points[0], points, atol=1e-3)
        np.testing.assert_allclose(found.scores[0], scores, atol=1e-5)
        np.testing.assert_allclose(found.boxes[0], 31.5 + np.array([-1, -1, 1, 1]) * 32 / 1.5)
        assert json.loads((tmp_path / "run/predictions.json").read_text())["decoder"] == name


def test_what_does_not_fit_the_checkpoint_or_the_machine_is_an_error(
    saved: LandmarkModule, composed: Compose, tmp_path: Path
) -> None:
    checkpoint = load(tmp_path / "net.safetensors")

    def config(*overrides: str) -> DictConfig:
        return composed("checkpoint=a", "source=b", *overrides, name="predict")

    with pytest.raises(KeyposError, match=r"monitor=dim: is none of the readings one_hot, two_hot"):
        build(adopt(config("monitor=dim"), checkpoint), checkpoint)
    with pytest.raises(KeyposError, match="was trained at heatmap_size=8, not 16"):
        adopt(config("heatmap_size=16"), checkpoint)
    with pytest.raises(KeyposError, match=r"device=abacus: cannot be used here .*Remedy: use device=auto or cpu"):
        build(adopt(config("device=abacus"), checkpoint), checkpoint)
    assert choose_device("auto").type in ("cuda", "mps", "cpu")


def test_the_command_takes_a_quoted_path_and_says_where_the_points_are(saved: LandmarkModule, tmp_path: Path) -> None:
    photo = tmp_path / "my photo (1), a=b.jpg"
    Image.fromarray(paint()).save(photo)
    asked = [f"checkpoint={tmp_path}/net.safetensors", f'source="{photo}"', "boxes=whole"]
    run = [sys.executable, "-m", "keyposs.predict", *asked]
    said = subprocess.run([*run, "hydra.run.dir=out"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "faces: 1, pictures: 1, " in said.stdout
    assert len(json.loads((tmp_path / "out/predictions.json").read_text())["faces"][0]["points"]) == 68
    assert (tmp_path / "out/overlays/my photo (1), a=b.png").is_file()


class Unsure(nn.Module):
    """Gives each face's points scales of its own, other ones along x than along y."""

    scale = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 0.02])

    def forward(self, image: Tensor) -> Regression:
        return Regression(torch.full((1, 2, 3, 2), 0.5), self.scale[None])


def test_covariances_are_turned_and_scaled_with_their_crop() -> None:
    """A turned crop has its x along `across`, where the variance is that of a Laplace distribution, `2 b^2`."""
    module = LandmarkModule(Unsure(), Coordinates(SIZE), None, None, {}, DOTS).eval()
    angles, sides = np.array([0.7, 2.9]), np.array([3.0, 0.4])  # pixels of the picture in one of the crop
    across = np.stack([np.cos(angles), np.sin(angles)], -1)
    down = np.stack([-np.sin(angles), np.cos(angles)], -1)
    matrices = np.stack([sides[:, None] * across, sides[:, None] * down, np.array([[5.0, 6.0], [-70.0, 80.0]])], -1)
    network = of_module(module, "coordinates", SIZE, 1.25)
    points, _, covariances = to_photo(Read(*network.run(np.zeros((2, 3, SIZE, SIZE), np.uint8))), matrices)
    assert covariances is not None
    expected = 2 * (Unsure.scale.double().numpy() * SIZE * sides[:, None, None]) ** 2
    for face in range(2):
        x, y = across[face], down[face]
        np.testing.assert_allclose(x @ covariances[face] @ x, expected[face, :, 0], rtol=1e-5)
        np.testing.assert_allclose(y @ covariances[face] @ y, expected[face, :, 1], rtol=1e-5)
        np.testing.assert_allclose(x @ covariances[face] @ y, 0, atol=1e-5 * expected[face].max())
        np.testing.assert_allclose(points[face], np.tile(matrices[face] @ [31.5, 31.5, 1], (3, 1)), rtol=1e-6)
