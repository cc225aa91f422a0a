"""What `keyposs predict` says to, or makes of, files that are broken or odd."""

import io
import json
import os
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

import keyposs
from keyposs import sheet
from keyposs.cli import main
from keyposs.data import Synthetic
from keyposs.data.photo import read_photo
from keyposs.errors import KeyposError
from keyposs.files import readable
from keyposs.finder import Finder

WHOLE = Synthetic(test=1).annotations("test")[0]
X0, Y0, X1, Y1 = (int(v) for v in np.rint(WHOLE.box + np.array([-20, -20, 20, 20])).clip(0))
FACE = Image.fromarray(WHOLE.read()[Y0:Y1, X0:X1])


def code(kind: str, picture: Image.Image = FACE, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def huge_png(side: int) -> bytes:
    """A PNG that says it is large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as track:
        track.setnchannels(1)
        track.setsampwidth(2)
        track.setframerate(8000)
        track.writeframes(bytes(16000))
    return file.getvalue()


def film(file: Path, frames: int) -> bytes:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 25, (352, 352))
    for _ in range(frames):
        writer.write(np.ascontiguousarray(WHOLE.read()[:, :, ::-1]))
    writer.release()
    return file.read_bytes()


MOVING = {"save_all": True, "append_images": [Image.new("RGB", FACE.size)], "duration": 100}
SIXTEEN = Image.fromarray(np.asarray(FACE.convert("L")).astype(np.uint16) * 257)
NO_IMAGE = "cannot be read as an image, it is none, or of a kind that is not read"
CUT = "cannot be read as an image, it is broken or cut short (image file is truncated"

BROKEN = {
    "zero.jpg": (b"", "cannot be read as an image, it is empty"),
    "cut.jpg": (code("JPEG")[:2000], CUT),
    "cut.png": (code("PNG")[:20000], CUT),
    "huge.png": (huge_png(60000), "cannot be read as an image, it claims more than 178956970 pixels"),
    "text.jpg": (b"no picture", NO_IMAGE),
    "float.tif": (code("TIFF", Image.new("F", (9, 9))), "it holds floating-point values"),
}
ALIKE = {
    "moving.gif": code("GIF", **MOVING),
    "moving.webp": code("WEBP", lossless=True, **MOVING),
    "moving.png": code("PNG", **MOVING),
    "cmyk.jpg": code("JPEG", FACE.convert("CMYK")),
    "sixteen.png": code("PNG", SIXTEEN),
    "palette.png": code("PNG", FACE.quantize(128), transparency=0),
    "grey.jpg": code("JPEG", FACE.convert("L")),
    "turned.jpg": code("JPEG", FACE.transpose(Image.Transpose.ROTATE_90), exif=orientation(6)),
    "odd orientation.jpg": code("JPEG", exif=orientation(99)),
    "two words\nin lines.jpg": code("JPEG"),
    os.fsdecode(b"Zo\xeb.jpg"): code("JPEG"),
    os.fsdecode(b"Zo\xec.jpg"): code("JPEG"),
}
SMALL = {"thin.png": (1, 300), "flat.png": (300, 1), "dot.png": (1, 1)}


@pytest.fixture(scope="module")
def finder() -> Finder:
    return keyposs.load("keyposs-4", device="cpu", boxes="whole")


@pytest.fixture
def run(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(keyposs, "load", lambda **_: finder)
    return lambda *words: CliRunner().invoke(main, ["predict", *map(str, words)])


@pytest.fixture(scope="module")
def read(finder: Finder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    """What a folder with all of them gives: the command's result, and the journal's entries."""
    folder = tmp_path_factory.mktemp("odd")
    for name, content in {**{n: c for n, (c, _) in BROKEN.items()}, **ALIKE, "face.png": code("PNG")}.items():
        (folder / "in" / name).parent.mkdir(exist_ok=True)
        (folder / "in" / name).write_bytes(content)
    for name, size in SMALL.items():
        Image.new("RGB", size).save(folder / "in" / name)
    (folder / "in/folder.jpg").mkdir()
    (folder / "in/link.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "in/pipe.jpg")
    words = ["predict", str(folder / "in"), "--out", str(folder / "out"), "--network", "keyposs-4", "--boxes", "whole"]
    done = CliRunner().invoke(main, words)
    lines = (folder / "out/faces.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    return done, {entry["file"].removeprefix("in/"): entry for entry in map(json.loads, lines)}


def test_all_are_read_or_named(read: tuple[Any, dict[str, Any]]) -> None:
    done, entries = read
    assert done.exit_code == 3
    assert len(entries) == len(BROKEN) + len(ALIKE) + len(SMALL) + 3
    assert f"pictures: {len(ALIKE) + len(SMALL) + 1}, left out: {len(BROKEN) + 2}" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(("name", "cause"), [(name, cause) for name, (_, cause) in BROKEN.items()])
def test_what_is_broken_is_named_with_cause_and_remedy(read: tuple[Any, dict[str, Any]], name: str, cause: str) -> None:
    done, entries = read
    assert cause in entries[name]["error"]
    assert f"left out: in/{name}: {entries[name]['error']}. Remedy: {entries[name]['remedy']}." in done.output


@pytest.mark.parametrize(
    ("name", "cause"), [("link.jpg", "it is a link to nowhere.jpg, which is not there"), ("pipe.jpg", "is not a file")]
)
def test_what_is_no_file_is_named(read: tuple[Any, dict[str, Any]], name: str, cause: str) -> None:
    assert cause in read[1][name]["error"]


@pytest.mark.parametrize("name", ALIKE)
def test_a_face_is_the_same_in_every_kind_of_file(read: tuple[Any, dict[str, Any]], name: str) -> None:
    entries = read[1]
    known = readable(name) + " (2)" * (os.fsencode(name) == b"Zo\xec.jpg")
    points, right = (np.array(entries[key]["faces"][0]["points"]) for key in (known, "face.png"))
    assert (entries[known]["width"], entries[known]["height"]) == FACE.size
    assert np.linalg.norm(points - right, axis=-1).mean() < 0.03 * max(FACE.size)


@pytest.mark.parametrize("name", SMALL)
def test_a_picture_of_a_pixel_is_a_picture(read: tuple[Any, dict[str, Any]], name: str) -> None:
    entry = read[1][name]
    assert (entry["width"], entry["height"]) == SMALL[name]
    assert np.isfinite(entry["faces"][0]["points"]).all()


def test_no_face_half_a_face_and_no_room_for_a_face_are_no_mistake(tmp_path: Path) -> None:
    scanning = keyposs.load("keyposs-4", device="cpu")
    edge = (X0 + X1) // 2
    half, small = WHOLE.read()[:, edge:], np.asarray(FACE.resize((60, 60)))[:, 30:]
    blank, dot = np.full((40, 40, 3), 90, np.uint8), np.zeros((1, 1, 3), np.uint8)
    assert [len(found) for found in scanning([blank, dot])] == [0, 0]
    assert np.isfinite(scanning(small).points).all()
    (face,) = scanning(half, boxes=[WHOLE.box - [edge, 0, edge, 0]]).points
    shown = face[:, 0] > 10
    assert np.linalg.norm(face - (WHOLE.keypoints - [edge, 0]), axis=-1)[shown].mean() < 0.15 * WHOLE.norm


def test_what_may_not_be_read_is_named(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.jpg").write_bytes(code("JPEG"))
    (tmp_path / "mine.jpg").chmod(0)
    if os.access(tmp_path / "mine.jpg", os.R_OK):  # root may
        monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    done = run(tmp_path / "mine.jpg", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "mine.jpg: cannot be read as an image, you may not read it. Remedy: change its permissions" in done.output


def test_whatever_pillow_raises_is_a_broken_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def transpose(image: Image.Image) -> None:
        raise struct.error("required argument is not an integer")  # as of some EXIF

    (tmp_path / "a.jpg").write_bytes(code("JPEG"))
    monkeypatch.setattr(ImageOps, "exif_transpose", transpose)
    with pytest.raises(KeyposError, match=r"a\.jpg: cannot be .* broken or cut short \(required argument"):
        read_photo(tmp_path / "a.jpg", exif=True)


def test_a_folder_that_may_not_be_read_is_named(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in/mine").mkdir(parents=True)
    (tmp_path / "in/a.png").write_bytes(code("PNG"))

    def walk(folder: Path, onerror: Callable[[OSError], None]) -> None:
        onerror(PermissionError(13, "Permission denied", str(folder / "mine")))

    monkeypatch.setattr(os, "walk", walk)
    done = run(tmp_path / "in", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "mine: cannot be read (Permission denied). Remedy: change its permissions" in done.output


VIDEOS = {
    "text.mp4": (b"no video", "is no video, or a broken one. Remedy: convert it to MP4, H.264"),
    "zero.mp4": (b"", "is empty. Remedy: fetch or export it again"),
    "sound.mp4": (sound(), "is no video, or a broken one. Remedy: convert it"),
    os.fsdecode(b"Zo\xeb.mp4"): (b"video", "that is not UTF-8. Remedy: rename it"),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_what_is_no_video_is_named(run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    content, said = VIDEOS[name]
    (tmp_path / name).write_bytes(content)
    done = run(tmp_path / name, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert said in done.output
    assert not list((tmp_path / "out").iterdir())


def test_videos_without_frames_and_cut_short(run: Callable[..., Any], tmp_path: Path) -> None:
    film(tmp_path / "none.avi", 0)
    whole = film(tmp_path / "cut.avi", 12)
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    done = run(tmp_path / "none.avi", tmp_path / "cut.avi", "--out", tmp_path / "out", "--no-overlays")
    assert done.exit_code == 3
    assert "none.avi: holds no frame that can be read. Remedy: convert it" in done.output
    assert "of 6 frames (it says that it has 12)" in done.output


def test_a_camera_that_is_not_there(run: Callable[..., Any], tmp_path: Path) -> None:
    done = run("--camera", 99, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "camera 99: cannot be opened. Remedy: check that it is plugged in, free and yours to use" in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.jpg"], "gone.jpg: there is no such picture, video or folder. Remedy: check its spelling"),
        (["gone.mp4"], "gone.mp4: there is no such picture, video or folder. Remedy: check its spelling"),
        (["link.jpg"], "link.jpg: is a link to gone.jpg, which is not there. Remedy: mend it, or leave it out"),
        (["empty"], "empty: holds no picture. Remedy: give a folder of JPEG"),
        (["empty.jpg"], "empty.jpg: holds no picture. Remedy: give a folder of JPEG"),
        (["a.png", "--out", "file"], "file: is not to be written to (File exists). Remedy: choose another --out"),
        (["a.avi", "--out", "file"], "file: is not to be written to (File exists). Remedy: choose another --out"),
        (["a.png", "--out", "file/sub"], "file/sub: is not to be written to (Not a directory). Remedy: choose another"),
        (
            ["a.png", "--out", "closed"],
            "closed/overlays: cannot be written or read (File exists). Remedy: see that the",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_paths(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "empty.jpg", "closed"):
        Path(folder).mkdir()
    for file in ("file", "a.avi", "closed/overlays"):
        Path(file).touch()
    Path("a.png").write_bytes(code("PNG"))
    Path("link.jpg").symlink_to("gone.jpg")
    done = run(*words)
    assert done.exit_code == 1
    assert said in done.output
    assert "Traceback" not in done.output


def test_parquet_without_its_package_is_refused_before_any_work(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(sheet, "import_module", missing)
    done = run(tmp_path, "--table", "parquet", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert 'table=parquet: needs the package pyarrow. Remedy: pip install "keyposs[parquet]"' in done.output
    assert not (tmp_path / "out").exists()
