"""Target representations; usable with plain torch and no config."""

from keyposs.codecs.base import Codec
from keyposs.codecs.cascade import Cascade, CascadeOutput
from keyposs.codecs.coordinates import Coordinates, Regression
from keyposs.codecs.distance_map import DistanceMap
from keyposs.codecs.hih import HIH, HIHOutput

__all__ = ["HIH", "Cascade", "CascadeOutput", "Codec", "Coordinates", "DistanceMap", "HIHOutput", "Regression"]
