"""`keyposs predict` on folders: what it writes, how it goes on, what it says of broken pictures."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pyarrow.parquet import read_table

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


def test_a_broken_picture_is_read_once_it_is_mended(photos: Path, tmp_path: Path) -> None:
    whole = (photos / "a.png").read_bytes()
    (photos / "a.png").write_bytes(b"")
    words = ("predict", photos, "--out", tmp_path / "out", "--no-overlays", *QUICK)
    assert run(*words).exit_code == 3
    assert not (tmp_path / "out/overlays").exists()
    (photos / "a.png").write_bytes(whole)
    done = run(*words)
    assert done.exit_code == 0
    assert "2 pictures are done, 1 are left" in done.output
    assert [entry["file"] for entry in lines(tmp_path / "out")[1:]].count("photos/a.png") == 1


def test_where_no_picture_can_be_read_videos_still_are_and_the_last_word_is_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.mp4"):
        (tmp_path / name).write_bytes(b"neither")
    words = [tmp_path / name for name in ("a.png", "b.png", "c.mp4")]
    done = run("predict", *words, "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 1
    assert done.output.count("left out: ") == 4  # with the sum
    assert "out: none of 3 pictures and videos can be read. Remedy: see above" in done.output
    alone = run("predict", tmp_path / "a.png", "--out", tmp_path / "alone", *QUICK)
    assert alone.exit_code == 1
    assert "Error: a.png: cannot be read as an image" in alone.output


def test_tables_are_the_same_in_csv_and_parquet(photos: Path, tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        done = run("predict", photos, "--out", tmp_path / "out", "--table", kind, "--no-overlays", *QUICK)
        assert done.exit_code == 0, done.output
    table = read_table(tmp_path / "out/faces.parquet")
    with (tmp_path / "out/faces.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == table.num_rows == 3
    for row, other in zip(rows, table.to_pylist(), strict=True):
        assert row == {name: str(value) for name, value in other.items()}


def test_ctrl_c_leaves_what_was_read_and_says_how_to_go_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Journal, entry: dict[str, Any]) -> None:
        add(self, entry)
        raise KeyboardInterrupt

    add = Journal.add
    monkeypatch.setattr(Journal, "add", interrupted)
    done = run("predict", photos, "--out", tmp_path / "out", "--no-overlays", *QUICK)
    assert (done.exit_code, len(lines(tmp_path / "out"))) == (130, 2)
    assert "interrupted: the same command goes on" in done.output
    monkeypatch.undo()
    assert run("predict", photos, "--out", tmp_path / "out", "--no-overlays", *QUICK).exit_code == 0
    assert len(lines(tmp_path / "out")) == 4


def test_sources_of_one_name_are_told_apart(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "other" / "a.png")
    found = pictures_of([photos, photos / "a.png", tmp_path / "other" / "a.png"])
    assert list(found)[3:] == ["a.png", "a.png (2)"]
    assert len(set(found.values())) == 4
    assert list(pictures_of([photos / "sub" / ".."])) == list(found)[:3]


def test_a_file_of_lines_that_is_another_program_s(tmp_path: Path) -> None:
    (tmp_path / "faces.jsonl").write_text("[1]\n")
    with pytest.raises(KeyposError, match=r"faces\.jsonl: was not written by keyposs predict\. Remedy: choose another"):
        Journal(tmp_path, {})


def test_commands_of_hydra_are_reached(tmp_path: Path) -> None:
    assert "give pictures, videos, folders or --camera 0" in run("predict").output
    assert run("--version").output.startswith("keyposs, version ")
    words = [sys.executable, "-m", "keyposs.cli", "export", "checkpoint=nothing", "hydra.run.dir=out"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing: does not exist. Remedy:" in done.stderr
