"""A list that workers share: one buffer, of which no page is copied by looking at it."""

import pickle
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import BytesIO

import numpy as np

from keyposs.data.photo import read_photo
from keyposs.types import Annotation, Photo


class PackedFaces(Sequence[Annotation]):
    """Annotations in one array of bytes, each unpickled when it is asked for.

    A list of objects, though shared with a forked worker at first, is copied into it page by page: Python writes a
    reference count into each object that it looks at. An array has a single one.

    Args:
        faces: with `read` functions that can be pickled. Their `file` is left out.
    """

    def __init__(self, faces: Iterable[Annotation]) -> None:
        buffer, ends = BytesIO(), [0]
        for face in faces:
            buffer.write(pickle.dumps(_without_paths(face), pickle.HIGHEST_PROTOCOL))
            ends.append(buffer.tell())
        self._ends, self._bytes = np.array(ends), np.frombuffer(buffer.getbuffer(), dtype=np.uint8)

    @property
    def nbytes(self) -> int:
        """Size of the buffer."""
        return len(self._bytes)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Annotation:  # type: ignore[override]
        """The face of an index; -1 is the last one's."""
        index = range(len(self))[index]
        face: Annotation = pickle.loads(self._bytes[self._ends[index] : self._ends[index + 1]].data)
        return face


def _without_paths(face: Annotation) -> Annotation:
    """A Path keeps its parts in a table of the interpreter: made in a worker, it copies pages of the parent's."""
    read: Callable[[], Photo] = face.read
    if isinstance(read, partial) and read.func is read_photo:
        read = partial(read_photo, *map(str, read.args), **read.keywords)
    return face._replace(file=None, read=read)
