"""Makes all annotations of a split, and looks at their photos, before a training starts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from keyposs.data.photo import check_photo, read_photo
from keyposs.errors import KeyposError
from keyposs.types import Annotation

Source = Callable[[], Annotation]
"""Makes the annotation of one face, or raises KeyposError."""


def look(face: Annotation) -> None:
    """Finds a missing or broken photo file without decoding it; a picture inside another file is not looked at.

    Raises:
        KeyposError: as `check_photo` does.
    """
    if face.file is not None and isinstance(face.read, partial) and face.read.func is read_photo:
        check_photo(face.file)


def decode(face: Annotation) -> None:
    """Reads the picture.

    Raises:
        KeyposError: if it is missing or broken.
    """
    face.read()


def gather(
    sources: Sequence[Source], at: Callable[[Annotation], None] | None
) -> tuple[list[Annotation], list[KeyposError]]:
    """All good faces, in order, and what is wrong with the others.

    Args:
        sources: each makes the annotation of a face, or raises.
        at: looks at a face, and raises KeyposError if it is bad.
    """

    def attempt(source: Source) -> Annotation | KeyposError:
        try:
            face = source()
            if at is not None:
                at(face)
        except KeyposError as error:
            return error
        return face

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, sources))
    good = [result for result in results if isinstance(result, Annotation)]
    return good, [result for result in results if isinstance(result, KeyposError)]
