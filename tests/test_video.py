"""Videos of rendered faces that move, come and go."""

import csv
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from pyarrow.parquet import read_table

import keyposs
from keyposs import clips
from keyposs.cli import main
from keyposs.data import Synthetic
from keyposs.errors import KeyposError
from keyposs.finder import Finder
from keyposs.tracking import Tracked, Tracker
from keyposs.video import Video, drawn, frames, open_video, read_video

FACE = Synthetic(test=1).annotations("test")[0]
SIZE = float(np.ptp(FACE.keypoints, axis=0).max())
STEPS = 12


@pytest.fixture(scope="module")
def finder() -> Finder:
    return keyposs.load("keyposs-4", device="cpu")


def clip() -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Times, frames, and where the points are in them: the face drifts to the right."""
    painted = FACE.read()
    for step in range(STEPS):
        moved = np.roll(painted, 2 * step, axis=1)
        yield step / 25, moved, FACE.keypoints + np.array([2 * step, 0])


def film(file: Path, pictures: list[np.ndarray]) -> Path:
    size = pictures[0].shape[1] // 2 * 2, pictures[0].shape[0] // 2 * 2
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 25, size)
    for picture in pictures:
        writer.write(cv2.cvtColor(picture[: size[1], : size[0]], cv2.COLOR_RGB2BGR))
    writer.release()
    return file


def test_a_face_is_followed_under_one_number(finder: Finder) -> None:
    tracker, looked = Tracker(finder), []
    detect = finder.detect
    finder.detect = lambda photo: looked.append(1) or detect(photo)  # type: ignore[func-returns-value]
    try:
        for seconds, photo, truth in clip():
            (face,) = tracker(photo, seconds)
            assert face.number == 0
            assert np.linalg.norm(face.points - truth, axis=-1).mean() < 0.06 * SIZE
    finally:
        finder.detect = detect
    assert len(looked) == 1


def test_a_face_that_goes_is_lost_and_another_number_comes(finder: Finder) -> None:
    _, photo, _ = next(clip())
    empty = np.full_like(photo, 90)
    tracker = Tracker(finder, smooth=False)
    seen = [
        [face.number for face in tracker(p, t)] for t, p in ((0.0, photo), (0.1, empty), (0.2, photo), (0.8, photo))
    ]
    assert seen == [[0], [], [], [1]]


def test_points_and_overlay_of_a_video(finder: Finder, tmp_path: Path) -> None:
    made = film(tmp_path / "a clip.mp4", [photo for _, photo, _ in clip()])
    video = open_video(made)
    assert (video.fps, video.frames) == (25, STEPS)
    table, overlay = tmp_path / "out/points.csv", tmp_path / "out/drawn.mp4"
    counts = [len(faces) for faces in read_video(finder, video, table, overlay, smooth=True)]
    assert counts == [1] * STEPS
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["face"]) for row in rows] == [(str(i), "0") for i in range(STEPS)]
    assert float(rows[5]["time"]) == pytest.approx(0.2)
    for row, (_, _, truth) in zip(rows, clip(), strict=True):
        points = np.array([[float(row[f"{axis}{i}"]) for axis in "xy"] for i in range(68)])
        assert np.linalg.norm(points - truth, axis=-1).mean() < 0.06 * SIZE
    shown = [frame for _, frame in frames(open_video(overlay))]
    assert len(shown) == STEPS
    assert max(shown[0].shape) == 480
    assert [file.name for file in (tmp_path / "out").iterdir()].count("points.csv") == 1


def test_a_small_or_odd_frame_is_drawn_with_even_sides(finder: Finder) -> None:
    assert drawn(np.zeros((33, 501, 3), dtype=np.uint8), [], finder.network.markup).shape == (32, 500, 3)


def test_what_is_no_video_is_refused(finder: Finder, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(KeyposError, match=r"text\.mp4: is no video, or a broken one\. Remedy: convert it"):
        open_video(tmp_path / "text.mp4")
    video = open_video(film(tmp_path / "a.mp4", [np.zeros((64, 64, 3), dtype=np.uint8)]))
    with pytest.raises(KeyposError, match=r"a\.mp4: holds no frame that can be read"):
        list(read_video(finder, video, tmp_path / "none.csv", None, smooth=False, stop=lambda: True))
    assert not (tmp_path / "none.csv").exists()


def test_the_shell_reads_videos_beside_pictures_and_once(tmp_path: Path) -> None:
    made = film(tmp_path / "clip.mp4", [photo for _, photo, _ in clip()][:3])
    (tmp_path / "text.mp4").write_text("no video")
    words = ["predict", made, tmp_path / "text.mp4", "--out", tmp_path / "out", "--network", "keyposs-4"]
    done = CliRunner().invoke(main, [*map(str, words), "--device", "cpu"])
    assert done.exit_code == 3, done.output
    assert "clip.mp4: faces in 3 of 3 frames" in done.output
    assert "text.mp4: is no video" in done.output
    assert (tmp_path / "out/overlays/clip.mp4.mp4").is_file()
    again = CliRunner().invoke(main, [*map(str, words), "--device", "cpu"])
    assert "clip.mp4 is done" in again.output


def predict(*words: object) -> Any:
    quick = ("--network", "keyposs-4", "--device", "cpu", "--boxes", "whole", "--no-overlays")
    return CliRunner().invoke(main, ["predict", *map(str, words), *quick])


def test_videos_of_one_name_are_told_apart_and_go_into_parquet_too(tmp_path: Path) -> None:
    picture = FACE.read()
    for folder, count in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        film(tmp_path / folder / "clip.mp4", [picture] * count)
    both = [tmp_path / folder / "clip.mp4" for folder in ("a", "b")]
    assert predict(*both, "--out", tmp_path / "out", "--table", "parquet").exit_code == 0
    tables = [read_table(tmp_path / "out" / name) for name in ("clip.mp4.parquet", "clip.mp4 (2).parquet")]
    assert [table["frame"].to_pylist() for table in tables] == [[0], [0, 1]]
    assert tables[0].column_names[:5] == ["frame", "time", "face", "doubt", "x0"]


def test_an_interrupted_video_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Tracker, photo: np.ndarray, seconds: float) -> list[Tracked]:
        if seconds > 0.05:
            raise KeyboardInterrupt
        return follow(self, photo, seconds)

    follow = Tracker.__call__
    made = film(tmp_path / "clip.mp4", [photo for _, photo, _ in clip()])
    monkeypatch.setattr(Tracker, "__call__", interrupted)
    for table in ("csv", "parquet"):
        done = predict(made, "--out", tmp_path / "out", "--overlays", "--table", table)
        assert done.exit_code == 130, done.output
        assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == []


class Camera:
    """Gives a face for ever; Ctrl-C comes with every second frame."""

    def __init__(self) -> None:
        self.read_frames = 0

    def read(self) -> tuple[bool, np.ndarray]:
        self.read_frames += 1
        if self.read_frames == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return True, np.ascontiguousarray(FACE.read()[:, :, ::-1])

    def release(self) -> None:
        pass


def test_ctrl_c_ends_a_recording_and_no_recording_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    for name in ("camera 0.csv", "camera 0 (2).csv"):
        video = Video("camera 0", cast(cv2.VideoCapture, Camera()), 25, None, "")
        monkeypatch.setattr(clips, "open_video", lambda _, video=video: video)
        done = predict("--camera", 0, "--out", tmp_path / "out")
        assert done.exit_code == 0, done.output
        assert len((tmp_path / "out" / name).read_text().splitlines()) == 3
        assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_ends_the_program() -> None:
    before = signal.getsignal(signal.SIGINT)
    with clips.until_stopped(0) as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
