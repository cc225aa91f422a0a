"""Reading any number of pictures into a folder, so that it can be interrupted and gone on with."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import keyposs
from keyposs import viz
from keyposs.clips import read_clip
from keyposs.coco import write_coco
from keyposs.data.photo import read_photo
from keyposs.errors import KeyposError
from keyposs.files import readable
from keyposs.finder import Finder
from keyposs.found import Found
from keyposs.journal import Journal, columns, make, row
from keyposs.pictures import find_pictures, overlay_names, picture_name
from keyposs.sheet import check_kind, sheet
from keyposs.terminal import say
from keyposs.types import Photo
from keyposs.video import SUFFIXES

SHOWN = 20
"""So many of what could not be read are named in the end."""


def read_all(
    sources: Sequence[Path], camera: int | None, out: Path, *, table: str, overlays: bool, smooth: bool, **options: Any
) -> int:
    """Finds the landmarks of pictures, folders of pictures, videos and a camera, and writes them into a folder.

    Args:
        sources: pictures, videos, and folders of pictures, read with their subfolders.
        camera: the number of one; None: none.
        out: the folder; what stands there already is not read again.
        table: what tables end in, see `keyposs.sheet`.
        overlays: whether to draw.
        smooth: whether the points of videos pass a One-Euro filter.
        options: of `keyposs.load`.

    Returns:
        How many pictures and videos could not be read.

    Raises:
        KeyposError: if a source is not there or holds no picture, none can be read, or an option is bad.
    """
    check_kind(table)
    videos = [source for source in sources if source.suffix.lower() in SUFFIXES and not source.is_dir()]
    clips: dict[str, Path | int] = dict(named(videos))
    files = pictures_of([source for source in sources if source not in videos])
    finder = keyposs.load(**options)
    make(out)
    read, left = _read_pictures(finder, files, out, table, overlays, options) if files else (0, [])
    if camera is not None:
        clips[_recording(camera, out, table)] = camera
    for name, source in clips.items():
        try:
            read_clip(finder, source, name, out, table, overlays=overlays, smooth=smooth)
            read += 1
        except KeyposError as error:
            left.append(error)
    _name_left(left, read, out)
    return len(left)


def pictures_of(sources: Sequence[Path]) -> dict[str, Path]:
    """The pictures of files and folders, under names that tell them apart.

    A file's name is its own; a picture's in a folder begins with the folder's. Of two of one name the second is called
    like `name (2)`.

    Raises:
        KeyposError: if a source is not there, or a folder holds no picture.
    """
    found: dict[str, Path] = {}
    taken: dict[str, int] = {}
    for name, source in named(sources):
        if not source.is_dir():
            found[name] = source
            continue
        inside = find_pictures(source)
        if not inside:
            remedy = "give a folder of JPEG, PNG, TIFF, WebP or BMP files, or pictures and videos themselves"
            raise KeyposError(source, "holds no picture", remedy)
        found |= {_untaken(f"{name}/{picture_name(file, source)}", taken): file for file in inside}
    return found


def named(sources: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Absolute paths under names of one part that tell them apart.

    Raises:
        KeyposError: if one is not there.
    """
    taken: dict[str, int] = {}
    for source in map(Path.absolute, sources):
        if not os.path.exists(source):
            cause, remedy = "there is no such picture, video or folder", "check its spelling"
            if source.is_symlink():
                cause, remedy = f"is a link to {os.readlink(source)}, which is not there", "mend it, or leave it out"
            raise KeyposError(source, cause, remedy)
        name = source.resolve().name if source.name in ("", "..") else source.name
        yield _untaken(readable(name or "root"), taken), source


def _untaken(name: str, taken: dict[str, int]) -> str:
    """The name, or one like `name (2)` where it was given away."""
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else _untaken(f"{name} ({taken[name]})", taken)


def _recording(camera: int, out: Path, table: str) -> str:
    """What a new recording is called: none takes the place of an earlier one."""
    taken: dict[str, int] = {}
    while (out / f"{(name := _untaken(f'camera {camera}', taken))}.{table}").exists():
        pass
    return name


def _read_pictures(
    finder: Finder, files: dict[str, Path], out: Path, table: str, overlays: bool, options: dict[str, Any]
) -> tuple[int, list[KeyposError]]:
    """How many pictures there are now, and what could not be read."""
    markup = finder.network.markup
    facts = {name: str(value) for name, value in options.items() if name in ("network", "boxes", "passes")}
    journal = Journal(out, {"keyposs": keyposs.__version__, **facts, "point_names": list(markup.names)})
    drawn = overlay_names(list(files)) if overlays else {}
    left = {name: file for name, file in files.items() if name not in journal.done}
    if journal.done:
        say(f"{out}: {len(files) - len(left)} pictures are done, {len(left)} are left")
    for name, found in _read(finder, left, journal):
        if overlays:
            viz.save(out / "overlays" / drawn[name], found.draw())
        journal.add({"file": name, "width": found.size[0], "height": found.size[1], "faces": found.described()})
    journal.close()
    with sheet(out / f"faces.{table}", columns(markup.size)) as write:
        for entry in journal.seen():
            write(row(entry["file"], i, face) for i, face in enumerate(entry["faces"]))
    write_coco(out / "coco.json", journal.seen, markup)
    return _sum_up(journal, out)


def _read(finder: Finder, files: dict[str, Path], journal: Journal) -> Iterator[tuple[str, Found]]:
    """The faces of readable pictures under their names; what is broken goes into the journal."""
    names: deque[str] = deque()

    def photos() -> Iterator[tuple[Photo, None]]:
        for name, file in track(files.items(), "reading", console=Console(stderr=True)):
            try:
                photo = read_photo(file, exif=True)
            except KeyposError as error:
                journal.add({"file": name, "error": readable(error.cause), "remedy": error.remedy})
            else:
                names.append(name)
                yield photo, None

    for found in finder.stream(photos()):
        yield names.popleft(), found


def _sum_up(journal: Journal, out: Path) -> tuple[int, list[KeyposError]]:
    faces, pictures, without = 0, 0, []
    broken: list[KeyposError] = []
    for entry in journal.entries():
        if "error" in entry:
            broken.append(KeyposError(entry["file"], entry["error"], entry["remedy"]))
            continue
        pictures += 1
        faces += len(entry["faces"])
        without += [] if entry["faces"] else [entry["file"]]
    if without:
        say(f"no face was found in {len(without)}, such as {without[0]}")
    say(f"faces: {faces}, pictures: {pictures}, left out: {len(broken)}: {out}")
    return pictures, broken


def _name_left(left: Sequence[KeyposError], read: int, out: Path) -> None:
    """Says what could not be read; raises where that is all."""
    if len(left) == 1 and not read:
        raise left[0]
    for error in left[:SHOWN]:
        say(f"left out: {error}")
    if len(left) > SHOWN:
        say(f"left out: {len(left) - SHOWN} more, see {out}")
    if not read:
        raise KeyposError(out, f"none of {len(left)} pictures and videos can be read", "see above")
