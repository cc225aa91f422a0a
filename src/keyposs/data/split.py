"""The committed rule that cuts validation faces from a training split."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from keyposs.types import Annotation


def hold_out(annotations: Sequence[Annotation], fraction: float = 0.1) -> tuple[list[Annotation], list[Annotation]]:
    """Cuts validation faces off, by source photo and in each part alike.

    A part is the folder of a photo. Its photos stand in the order of the SHA-256 of their names, and the
    first `fraction` of them (at least one, where there are two) go to validation. So the cut depends on
    nothing but names, is the same on every machine, and no photo has faces on both sides.

    Args:
        annotations: the faces of the official training split.
        fraction: of the photos of each part.

    Returns:
        The faces to train on and those to validate on, each in their given order.
    """
    parts: defaultdict[str, set[str]] = defaultdict(set)
    for annotation in annotations:
        parts[annotation.photo.rpartition("/")[0]].add(annotation.photo)
    held: set[str] = set()
    for photos in parts.values():
        count = max(round(fraction * len(photos)), 1) if len(photos) > 1 else 0
        held.update(sorted(photos, key=_digest)[:count])
    train = [annotation for annotation in annotations if annotation.photo not in held]
    return train, [annotation for annotation in annotations if annotation.photo in held]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
