"""`keyposs predict` on folders: what it writes, how it goes on, what it says of broken pictures."""

import csv
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from keyposs.cli import main
from keyposs.data import CocoJson, Synthetic
from keyposs.errors import KeyposError
from keyposs.journal import Journal
from keyposs.markup import MARKUP_68
from keyposs.shell import pictures_of

FACE = Synthetic(test=1).annotations("test")[0]
QUICK = ("--network", "keyposs-4", "--device", "cpu", "--boxes", "whole")


def run(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "faces.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three pictures of a face."""
    x0, y0, x1, y1 = np.rint(FACE.box + np.array([-20, -20, 20, 20])).astype(int)
    face = FACE.read()[max(y0, 0) : y1, max(x0, 0) : x1]
    for name in ("a.png", "sub/b.jpg", "sub/c, d=(1).png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_faces_are_looked_for_found_written_and_drawn(photos: Path, tmp_path: Path) -> None:
    Image.fromarray(FACE.read()).save(photos / "whole.png")
    done = run("predict", photos / "whole.png", "--out", tmp_path / "out", "--network", "keyposs-4", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert f"faces: 1, pictures: 1, left out: 0: {tmp_path}/out" in done.output.replace("\n", "")
    head, entry = lines(tmp_path / "out")
    assert (head["network"], head["boxes"], len(head["point_names"])) == ("keyposs-4", "scan", 68)
    points = np.array(entry["faces"][0]["points"])
    assert np.linalg.norm(points - FACE.keypoints, axis=-1).mean() < 0.1 * FACE.norm
    with (tmp_path / "out/faces.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["face"]) == ("whole.png", "0")
    np.testing.assert_allclose([[float(row[f"{a}{i}"]) for a in "xy"] for i in range(68)], points)
    assert (tmp_path / "out/overlays/whole.png").is_file()


def test_the_same_command_goes_on_where_it_was_interrupted(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("predict", photos, "--out", out, *QUICK).exit_code == 0
    whole = lines(out)
    assert [entry["file"] for entry in whole[1:]] == ["photos/a.png", "photos/sub/b.jpg", "photos/sub/c, d=(1).png"]
    text = (out / "faces.jsonl").read_bytes()
    cut = text.index(b"\n", text.index(b"\n") + 1) + 40  # amidst the second picture's line
    (out / "faces.jsonl").write_bytes(text[:cut])
    (out / "faces.csv").unlink()
    again = run("predict", photos, "--out", out, *QUICK)
    assert "1 pictures are done, 2 are left" in again.output
    assert [entry["file"] for entry in lines(out)[1:]] == [entry["file"] for entry in whole[1:]]
    for one, other in zip(whole[1:], lines(out)[1:], strict=True):
        np.testing.assert_allclose(one["faces"][0]["points"], other["faces"][0]["points"], atol=0.02)
    assert len((out / "faces.csv").read_text().splitlines()) == 4
    before = (out / "faces.jsonl").read_bytes()
    assert run("predict", photos, "--out", out, *QUICK).exit_code == 0
    assert (out / "faces.jsonl").read_bytes() == before
    other = run("predict", photos, "--out", out, "--network", "keyposs-8", "--boxes", "whole")
    assert other.exit_code == 1
    assert "was" not in other.output
    assert "read with other options (network)" in other.output.replace("\n", " ")


def test_what_is_found_can_be_trained_on(photos: Path, tmp_path: Path) -> None:
    """The COCO file is read to the same points; a picture without a face is not in it."""
    Image.new("RGB", (50, 50)).save(photos / "empty.png")
    done = run("predict", photos, "--out", tmp_path / "out", "--network", "keyposs-4", "--device", "cpu")
    assert done.exit_code == 0, done.output
    data = CocoJson(
        photos.parent, markup=MARKUP_68.to_dict(), test=str(tmp_path / "out/coco.json"), offset=-0.5, exif=True
    )
    read = data.annotations("test")
    entries = [entry for entry in lines(tmp_path / "out")[1:] if entry["faces"]]
    assert len(read) == len(entries) == 3
    for annotation, entry in zip(sorted(read, key=lambda a: a.name), entries, strict=True):
        np.testing.assert_allclose(annotation.keypoints, entry["faces"][0]["points"], atol=2e-3)
        assert annotation.visible.all()


def huge_png(side: int) -> bytes:
    """A PNG that says it is large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_broken_pictures_are_named_and_the_others_read(photos: Path, tmp_path: Path) -> None:
    whole = (photos / "sub/b.jpg").read_bytes()
    broken = {
        "zero.jpg": b"",
        "cut.jpg": whole[: len(whole) // 2],
        "text.png": b"no picture",
        "huge.png": huge_png(99999),
    }
    for name, content in broken.items():
        (photos / name).write_bytes(content)
    (photos / "folder.jpg").mkdir()
    Image.new("RGB", (1, 300)).save(photos / "thin.png")
    Image.new("CMYK", (60, 60)).save(photos / "cmyk.jpg")
    Image.new("P", (40, 40)).save(photos / "moving.gif", save_all=True, append_images=[Image.new("P", (40, 40), 1)])
    done = run("predict", photos, "--out", tmp_path / "out", "--no-overlays", *QUICK)
    assert done.exit_code == 3
    said = done.output.replace("\n", " ")
    assert all(f"left out: photos/{name}: cannot be read as an image" in said for name in broken)
    assert "faces: 6, pictures: 6, left out: 4:" in said
    assert {entry["file"] for entry in lines(tmp_path / "out") if "error" in entry} == {f"photos/{n}" for n in broken}
    assert not (tmp_path / "out/overlays").exists()
    alone = run("predict", photos / "text.png", "--out", tmp_path / "none", *QUICK)
    assert alone.exit_code == 1
    assert "none of 1 pictures can be read" in alone.output


def test_sources_of_one_name_are_told_apart(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "other" / "a.png")
    found = pictures_of([photos, photos / "a.png", tmp_path / "other" / "a.png"])
    assert list(found)[3:] == ["a.png", "a.png (2)"]
    assert len(set(found.values())) == 4
    with pytest.raises(KeyposError, match="gone: there is no such picture or folder"):
        pictures_of([tmp_path / "gone"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyposError, match="empty: holds no picture"):
        pictures_of([tmp_path / "empty"])


def test_a_folder_that_is_not_to_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyposError, match=r"file: is not to be written to .*Remedy: choose another --out"):
        Journal(tmp_path / "file", {})


def test_commands_of_hydra_are_reached(tmp_path: Path) -> None:
    assert "give pictures, videos, folders or --camera 0" in run("predict").output
    assert run("--version").output.startswith("keyposs, version ")
    words = [sys.executable, "-m", "keyposs.cli", "export", "checkpoint=nothing", "hydra.run.dir=out"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing: does not exist. Remedy:" in done.stderr
