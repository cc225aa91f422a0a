"""What happens beside training."""

from keyposs.callbacks.best import Best
from keyposs.callbacks.calibration import Calibration
from keyposs.callbacks.finite_loss import FiniteLoss
from keyposs.callbacks.metrics import DecoderMetrics
from keyposs.callbacks.pictures import Pictures

__all__ = ["Best", "Calibration", "DecoderMetrics", "FiniteLoss", "Pictures"]
