"""Target representations; usable with plain torch and no config."""

from keyposs.codecs.base import Codec
from keyposs.codecs.distance_map import DistanceMap

__all__ = ["Codec", "DistanceMap"]
