"""What every dataset on disk shares: faces that may be bad, and what to do about them."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from keyposs.data.photo import check_photo, read_photo
from keyposs.errors import KeyposError
from keyposs.markup import Markup
from keyposs.types import Annotation

BAD_FACES = ("error", "skip")

SPLITS = ("train", "val", "test")

_log = logging.getLogger(__name__)
_Source = TypeVar("_Source")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses an unknown setting.

    Raises:
        KeyposError: if the value is none of the known ones.
    """
    if value not in known:
        raise KeyposError(f"{name}={value}", "is unknown", f"choose one of {', '.join(known)}")


SKIP = "data.bad_faces=skip"


def describe(
    source: Path | str,
    photo_path: Path,
    keypoints: Float[np.ndarray, "k 2"],
    *,
    name: str,
    photo: str,
    subsets: tuple[str, ...],
    markup: Markup,
    norm: str,
) -> Annotation:
    """The annotation of a face whose points are all annotated, with the tight box of its points.

    Raises:
        KeyposError: if the points are not finite or coincide, so that no error can be normalised.
    """
    box = np.concatenate([keypoints.min(0), keypoints.max(0)])
    visible = np.ones(len(keypoints), dtype=bool)
    length = markup.norm(norm, keypoints, visible, box)
    if not (np.isfinite(keypoints).all() and np.isfinite(length) and length > 0):
        cause = f"its landmarks are not finite or coincide: the {norm} norm is {length}"
        raise KeyposError(source, cause, "mend or remove the annotation, or set data.bad_faces=skip")
    return Annotation(name, photo, subsets, keypoints, visible, ~visible, box, length, partial(read_photo, photo_path))


def gather(
    sources: Iterable[_Source], face: Callable[[_Source], Annotation], *, bad_faces: str, photos: bool
) -> list[Annotation]:
    """Makes the annotations of many faces.

    Args:
        sources: what `face` takes, one for each face.
        face: makes an annotation or raises KeyposError.
        bad_faces: `error` raises the first error, `skip` reports and counts what it leaves out.
        photos: look at the photos too. `skip` then decodes each once, so that none can stop a training later.

    Raises:
        KeyposError: the first, unless bad faces are skipped; always if no face is good.
    """

    def attempt(source: _Source) -> Annotation | KeyposError:
        try:
            annotation = face(source)
            if photos:
                annotation.read() if bad_faces == "skip" else check_photo(annotation.read.args[0])
        except KeyposError as error:
            return error
        return annotation

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, sources))
    errors = [result for result in results if isinstance(result, KeyposError)]
    good = [result for result in results if isinstance(result, Annotation)]
    if errors and (bad_faces == "error" or not good):
        first, more = errors[0], f" (and {len(errors) - 1} more bad faces)" if len(errors) > 1 else ""
        remedy = first.remedy if SKIP in first.remedy or bad_faces == "skip" else f"{first.remedy}, or set {SKIP}"
        raise KeyposError(first.subject, first.cause + more, remedy)
    for error in errors:
        _log.warning("skipped a bad face: %s: %s", error.subject, error.cause)
    if errors:
        _log.warning("skipped %d bad faces of %d", len(errors), len(results))
    return good
