"""Videos and cameras: frames in, points and an overlay out."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from keyposs import viz
from keyposs.errors import KeyposError
from keyposs.files import atomic, readable
from keyposs.finder import Finder
from keyposs.journal import point_columns
from keyposs.markup import Markup
from keyposs.pictures import canvas_of, draw
from keyposs.sheet import sheet
from keyposs.tracking import Tracked, Tracker
from keyposs.types import Photo

SUFFIXES = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"}

USUAL = 30.0
"""Frames a second, where a video does not say."""


class Video(NamedTuple):
    """An opened video or camera."""

    name: str
    capture: cv2.VideoCapture
    fps: float
    frames: int | None  # how many it says it has; None: it does not
    remedy: str  # where it gives none


def open_video(source: Path | int) -> Video:
    """Opens a file or, by its number, a camera.

    Raises:
        KeyposError: if it is not there, or holds no picture.
    """
    if isinstance(source, int):
        name, remedy = f"camera {source}", "check that it is plugged in, free and yours to use"
        capture = cv2.VideoCapture(source)
    else:
        name, remedy = readable(source.name), "convert it to MP4, H.264"
        _check_file(source)
        capture = cv2.VideoCapture(str(source.absolute()))  # else a name such as http:a.mp4 is an address
    if not capture.isOpened():
        cause = "cannot be opened" if isinstance(source, int) else "is no video, or a broken one"
        raise KeyposError(name if isinstance(source, int) else source, cause, remedy)
    fps, frames = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return Video(name, capture, fps if 0 < fps < 1000 else USUAL, frames if frames > 0 else None, remedy)


def _check_file(source: Path) -> None:
    """Says plainly what OpenCV only fails at."""
    if not source.is_file():
        raise KeyposError(source, "is not there, or not a file", "check its spelling")
    if not os.access(source, os.R_OK):
        raise KeyposError(source, "may not be read by you", "change its permissions (chmod u+r), or leave it out")
    if not source.stat().st_size:
        raise KeyposError(source, "is empty", "fetch or export it again, or leave it out")
    if readable(str(source)) != str(source):
        raise KeyposError(source, "has a name, or lies in a folder, that is not UTF-8", "rename it")


def frames(video: Video, stop: Callable[[], bool] = bool) -> Iterator[tuple[float, Photo]]:
    """Its frames, upright, with their times in seconds, until it ends or `stop` says so."""
    read = 0
    while not stop():
        there, frame = video.capture.read()
        if not there:
            return
        yield read / video.fps, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        read += 1


def read_video(
    finder: Finder, video: Video, table: Path, overlay: Path | None, *, smooth: bool, stop: Callable[[], bool] = bool
) -> Generator[list[Tracked], None, None]:
    """Follows the faces of a video and writes them down, frame by frame; what it yields is what it has written.

    Args:
        finder: of a network that tells covariances.
        video: where from; it is closed at the end.
        table: CSV or Parquet, a row per face and frame: frame, time, face, doubt, then x, y and score of each point.
        overlay: an MP4 of the frames with their faces; None: none.
        smooth: whether points pass a One-Euro filter.
        stop: asked before each frame whether to end here.

    Raises:
        KeyposError: if there is no frame, or the overlay cannot be written.
    """
    tracker, markup, count = Tracker(finder, smooth=smooth), finder.network.markup, 0
    with ExitStack() as stack:
        stack.callback(video.capture.release)
        known = {"frame": int, "time": float, "face": int, "doubt": float}
        write = stack.enter_context(sheet(table, {**known, **point_columns(markup.size)}))
        drawing = stack.enter_context(atomic(overlay)) if overlay else None
        film: cv2.VideoWriter | None = None
        try:
            for count, (seconds, photo) in enumerate(frames(video, stop), 1):
                faces = tracker(photo, seconds)
                write(_row(count - 1, seconds, face) for face in faces)
                if drawing is not None:
                    shown = drawn(photo, faces, markup)
                    film = film or _film(drawing, video.fps, shown)
                    film.write(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
                yield faces
        finally:
            if film is not None:
                film.release()
        if not count:
            raise KeyposError(video.name, "holds no frame that can be read", video.remedy)


def drawn(photo: Photo, faces: list[Tracked], markup: Markup) -> viz.Picture:
    """A frame with its faces, enlarged or reduced as an overlay is, to sides that videos can have."""
    canvas, zoom = canvas_of(photo)
    if faces:
        points, scores, covariances = (
            np.stack([getattr(face, name) for face in faces]) for name in ("points", "scores", "covariances")
        )
        canvas = draw(canvas, zoom, points, scores, markup, covariances)
    return canvas[: canvas.shape[0] // 2 * 2, : canvas.shape[1] // 2 * 2]


def _film(file: Path, fps: float, first: viz.Picture) -> cv2.VideoWriter:
    film = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), fps, (first.shape[1], first.shape[0]))
    if not film.isOpened():
        raise KeyposError(file, "cannot be written as a video", "leave overlays out (--no-overlays)")
    return film


def _row(frame: int, seconds: float, face: Tracked) -> list[object]:
    values = np.column_stack([face.points, face.scores]).round(3).ravel().tolist()
    return [frame, round(seconds, 4), face.number, round(face.doubt, 5), *values]
