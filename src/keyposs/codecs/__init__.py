"""Target representations; usable with plain torch and no config."""

from keyposs.codecs.base import Codec
from keyposs.codecs.cascade import Cascade, CascadeOutput
from keyposs.codecs.distance_map import DistanceMap

__all__ = ["Cascade", "CascadeOutput", "Codec", "DistanceMap"]
