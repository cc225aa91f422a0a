"""Text files as people and programs leave them: with a byte order mark, or with another system's line ends."""

from pathlib import Path

from keyposs.errors import KeyposError


def read_text(path: Path, *, remedy: str) -> str:
    """Reads UTF-8, with or without a byte order mark; what is no UTF-8 shows as replacement characters.

    Raises:
        KeyposError: with this remedy, if the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise KeyposError(path, f"cannot be read ({error.strerror or error})", remedy) from error
