"""Files that are either whole or not there: what an interrupted run leaves can always be read."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_WHEEL = Path(__file__).parent / "conf"
CONF = _IN_WHEEL if _IN_WHEEL.is_dir() else Path(__file__).parents[2] / "conf"
"""The folder of yaml files: inside an installed wheel, or at the root of a checkout."""


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path of the same folder and suffix to write to; it takes the place of `path` at the end.

    Where the body fails, `path` stays as it was and the half-written file is removed. Folders are made as
    needed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}{path.suffix}")  # not longer than a name may be
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:  # of a full disk, which does not know the file
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file in UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], data: object) -> None:
    """Writes strict JSON, indented, atomically.

    Raises:
        ValueError: if a number is not finite, which JSON cannot say.
        TypeError: if something in `data` has no JSON form.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def readable(text: str) -> str:
    r"""Text that can be written as UTF-8, also where a file's name is in another encoding.

    >>> readable("Zo\udceb.jpg")
    'Zo\ufffd.jpg'
    """
    return text.encode(errors="surrogateescape").decode(errors="replace")
