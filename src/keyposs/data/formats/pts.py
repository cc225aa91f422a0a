"""iBUG's `.pts` files: the points of one face, as text.

```
version: 1
n_points:  68
{
334.263298 245.112190
...
}
```
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from keyposs.data.formats.text import read_text
from keyposs.errors import KeyposError

_REMEDY = "fetch the file again, or set data.bad_faces=skip"


def read_points(path: Path, count: int) -> Float[np.ndarray, "k 2"]:
    """Reads a `.pts` file, with or without its header; its 1-based coordinates become 0-based.

    Args:
        path: of the file.
        count: how many points it must hold.

    Returns:
        The points, in pixels; they may lie off the photo.

    Raises:
        KeyposError: if it does not hold that many pairs of finite numbers.
    """
    body = read_text(path, remedy=_REMEDY).partition("}")[0].rpartition("{")[2]
    lines = [line.split() for line in body.splitlines()]
    lines = [line for line in lines if line and not line[0].startswith(("version", "n_points"))]
    if not lines:
        raise KeyposError(path, "holds no points", _REMEDY)
    try:
        points = [[float(number) for number in line] for line in lines]
    except ValueError as error:
        raise KeyposError(path, f"holds something else than numbers ({error})", _REMEDY) from error
    if len(points) != count:
        raise KeyposError(path, f"holds {len(points)} points, not {count}", _REMEDY)
    if any(len(point) != 2 for point in points) or not np.isfinite(points).all():
        raise KeyposError(path, "holds a point that is not two finite numbers", _REMEDY)
    return np.array(points) - 1
