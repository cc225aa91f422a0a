"""Reading a video, or a camera until Ctrl-C, into a folder."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from keyposs.finder import Finder
from keyposs.terminal import printable, say
from keyposs.video import open_video, read_video

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what its decoders print tells nobody which file is meant
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


def read_clip(
    finder: Finder, source: Path | int, name: str, out: Path, table: str, *, overlays: bool, smooth: bool
) -> None:
    """Follows the faces of a video or camera into a table of its name, unless that is there.

    Args:
        finder: of a network that tells covariances.
        source: a file, or the number of a camera.
        name: what its table and its overlay are called.
        out: the folder.
        table: what the table ends in, see `keyposs.sheet`.
        overlays: whether to draw.
        smooth: whether points pass a One-Euro filter.

    Raises:
        KeyposError: if it cannot be read.
    """
    file = out / f"{name}.{table}"
    if file.exists():
        say(f"{name} is done, as {file} is there; another --out reads it again")
        return
    video = open_video(source)
    overlay = out / "overlays" / f"{name}.mp4" if overlays else None
    start, counts = time.perf_counter(), []
    with (
        until_stopped(source) as stop,
        closing(read_video(finder, video, file, overlay, smooth=smooth, stop=stop)) as read,
    ):
        for faces in track(read, escape(printable(name)), total=video.frames, console=Console(stderr=True)):
            counts.append(len(faces))
    seconds, shown = time.perf_counter() - start, sum(count > 0 for count in counts)
    cut = f" (it says that it has {video.frames})" if video.frames and len(counts) < video.frames else ""
    speed = f"{len(counts) / seconds:.1f} frames a second"
    say(f"{name}: faces in {shown} of {len(counts)} frames{cut}, {speed}: {file}")


@contextmanager
def until_stopped(source: Path | int) -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the recording of a camera, and a second one the program; a video is only read as a whole."""
    if not isinstance(source, int):
        yield bool
        return
    stopped: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        stopped.append(1)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    say("Ctrl-C ends the recording")
    try:
        yield lambda: bool(stopped)
    finally:
        signal.signal(signal.SIGINT, before)
