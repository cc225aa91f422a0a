"""What is minimised. A codec calls its loss with what it has, and averages the values over visible landmarks.

Losses of maps are called `loss(output, target, points)`: maps (b, k, h, w), true ones, and true points in cells
(b, k, 2). Losses of coordinates are called `loss(points, keypoints, scale)`, all (b, k, 2), in sides of the crop. Both
give values (b, k, ...), and take and ignore what they do not need.
"""

from keyposs.losses.average import Loss, check_loss, name_of, visible_mean
from keyposs.losses.coordinates import laplace, smooth_l1, wing
from keyposs.losses.dsnt import dsnt
from keyposs.losses.end_to_end import EndToEnd
from keyposs.losses.maps import awing, huber, mse
from keyposs.losses.rle import RLE
from keyposs.losses.star import star

__all__ = [
    "RLE",
    "EndToEnd",
    "Loss",
    "awing",
    "check_loss",
    "dsnt",
    "huber",
    "laplace",
    "mse",
    "name_of",
    "smooth_l1",
    "star",
    "visible_mean",
    "wing",
]
