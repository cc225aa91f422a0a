"""Reading any number of pictures into a folder, so that it can be interrupted and gone on with."""

import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import keyposs
from keyposs import viz
from keyposs.coco import coco
from keyposs.data.photo import read_photo
from keyposs.errors import KeyposError
from keyposs.files import readable, write_json
from keyposs.finder import Finder
from keyposs.found import Found
from keyposs.journal import Journal, columns
from keyposs.pictures import find_pictures, overlay_names, picture_name
from keyposs.types import Photo
from keyposs.video import SUFFIXES, open_video, read_video


def read_all(
    sources: Sequence[Path], camera: int | None, out: Path, *, overlays: bool, smooth: bool, **options: Any
) -> int:
    """Finds the landmarks of pictures, folders of pictures, videos and a camera, and writes them into a folder.

    Args:
        sources: pictures, videos, and folders of pictures, read with their subfolders.
        camera: the number of one; None: none.
        out: the folder; what stands there already is not read again.
        overlays: whether to draw.
        smooth: whether the points of videos pass a One-Euro filter.
        options: of `keyposs.load`.

    Returns:
        How many pictures and videos could not be read.

    Raises:
        KeyposError: if a source is not there or holds no picture, none can be read, or an option is bad.
    """
    videos = [source for source in sources if source.suffix.lower() in SUFFIXES and not source.is_dir()]
    files = pictures_of([source for source in sources if source not in videos])
    finder = keyposs.load(**options)
    broken = _read_pictures(finder, files, out, overlays, options) if files else 0
    for source in [*videos, *([] if camera is None else [camera])]:
        try:
            _read_video(finder, source, out, overlays, smooth)
        except KeyposError as error:
            if len(sources) + (camera is not None) == 1:
                raise
            _say(f"left out: {error}")
            broken += 1
    return broken


def _read_video(finder: Finder, source: Path | int, out: Path, overlays: bool, smooth: bool) -> None:
    video = open_video(source)
    table = out / f"{readable(video.name)}.csv"
    if table.exists() and not isinstance(source, int):
        _say(f"{table} is there: {video.name} is done")
        return
    overlay = out / "overlays" / f"{readable(video.name)}.mp4" if overlays else None
    stopped: list[int] = []
    if isinstance(source, int):  # else an interrupted video is read again from its beginning
        signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
        _say("Ctrl-C ends the recording")
    start, counts = time.perf_counter(), []
    read = read_video(finder, video, table, overlay, smooth=smooth, stop=lambda: bool(stopped))
    for faces in track(read, video.name, total=video.frames, console=Console(stderr=True)):
        counts.append(len(faces))
    seconds = time.perf_counter() - start
    shown = sum(count > 0 for count in counts)
    _say(
        f"{video.name}: faces in {shown} of {len(counts)} frames, {len(counts) / seconds:.1f} frames a second: {table}"
    )


def _read_pictures(finder: Finder, files: dict[str, Path], out: Path, overlays: bool, options: dict[str, Any]) -> int:
    markup = finder.network.markup
    facts = {name: str(value) for name, value in options.items() if name in ("network", "boxes", "passes")}
    journal = Journal(out, {"keyposs": keyposs.__version__, **facts, "point_names": list(markup.names)})
    drawn = overlay_names(list(files)) if overlays else {}
    left = {name: file for name, file in files.items() if name not in journal.done}
    if journal.done:
        _say(f"{out}: {len(files) - len(left)} pictures are done, {len(left)} are left")
    for name, found in _read(finder, left, journal):
        if overlays:
            viz.save(out / "overlays" / drawn[name], found.draw())
        journal.add({"file": name, "width": found.size[0], "height": found.size[1], "faces": found.described()})
    journal.close()
    journal.table(columns(markup.size))
    write_json(out / "coco.json", coco((entry for entry in journal.entries() if entry.get("faces")), markup))
    return _sum_up(journal, out)


def pictures_of(sources: Sequence[Path]) -> dict[str, Path]:
    """The pictures of files and folders, under names that tell them apart.

    A file's name is its own; a picture's in a folder begins with the folder's. Of two sources of one name the second is
    called like `name (2)`.

    Raises:
        KeyposError: if a source is not there, or a folder holds no picture.
    """
    found: dict[str, Path] = {}
    taken: dict[str, int] = {}
    for source in map(Path.absolute, map(Path.expanduser, sources)):
        if not source.exists():
            raise KeyposError(source, "there is no such picture or folder", "check its spelling")
        inside = find_pictures(source) if source.is_dir() else [source]
        if not inside:
            raise KeyposError(
                source, "holds no picture", "give a folder of JPEG, PNG, TIFF, WebP or BMP files, or a file"
            )
        name = readable(source.name or "root")
        taken[name] = taken.get(name, 0) + 1
        first = name if taken[name] == 1 else f"{name} ({taken[name]})"
        for file in inside:
            found[f"{first}/{picture_name(file, source)}" if source.is_dir() else first] = file
    return found


def _read(finder: Finder, files: dict[str, Path], journal: Journal) -> Iterator[tuple[str, Found]]:
    """The faces of readable pictures under their names; what is broken goes into the journal."""
    names: deque[str] = deque()

    def photos() -> Iterator[tuple[Photo, None]]:
        for name, file in track(files.items(), "reading", console=Console(stderr=True)):
            try:
                photo = read_photo(file, exif=True)
            except KeyposError as error:
                journal.add({"file": name, "error": readable(f"{error.cause}. Remedy: {error.remedy}")})
            else:
                names.append(name)
                yield photo, None

    for found in finder.stream(photos()):
        yield names.popleft(), found


def _sum_up(journal: Journal, out: Path) -> int:
    faces, without, broken = 0, [], {}
    entries = journal.entries()
    next(entries)  # how they were read
    for entry in entries:
        if "error" in entry:
            broken[entry["file"]] = entry["error"]
            continue
        faces += len(entry["faces"])
        without += [] if entry["faces"] else [entry["file"]]
    pictures = len(journal.done) - len(broken)
    for name, error in list(broken.items())[:20]:
        _say(f"left out: {name}: {error}")
    if len(broken) > 20:
        _say(f"left out: {len(broken) - 20} more, see {journal.file}")
    if without:
        _say(f"no face was found in {len(without)}, such as {without[0]}")
    if not pictures:
        raise KeyposError(out, f"none of {len(broken)} pictures can be read", "see above")
    _say(f"faces: {faces}, pictures: {pictures}, left out: {len(broken)}: {out}")
    return len(broken)


def _say(text: str) -> None:
    Console(soft_wrap=True).print(readable(text), markup=False, highlight=False)
