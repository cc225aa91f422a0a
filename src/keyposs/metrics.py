"""NME, failure rate and area under the error curve, as sums, so that any number of ranks adds up exactly."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric


def nme_per_face(
    points: Float[Tensor, "b k 2"],
    keypoints: Float[Tensor, "b k 2"],
    visible: Bool[Tensor, "b k"],
    norm: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """Mean distance over a face's visible points, divided by the face's norm; a fraction, not percent.

    Args:
        points: predictions, in the unit of the keypoints.
        keypoints: ground truth, never clamped to the crop.
        visible: which keypoints are annotated; a face with none has a NaN error.
        norm: each face's normaliser, in the same unit.

    >>> truth = torch.zeros(1, 2, 2)
    >>> nme_per_face(truth + torch.tensor([3.0, 4.0]), truth, torch.tensor([[True, False]]), torch.tensor([50.0]))
    tensor([0.1000])
    """
    distance = torch.linalg.vector_norm(points - keypoints, dim=-1)
    return torch.where(visible, distance, 0).sum(-1) / visible.sum(-1) / norm


def to_image(crop_to_image: Float[Tensor, "b 2 3"], points: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k 2"]:
    """Points in crop pixels to pixels of their photos."""
    return points @ crop_to_image[:, :, :2].mT + crop_to_image[:, None, :, 2]


class FaceErrors(Metric):
    """NME, FR and AUC of a stream of per-face errors.

    FR is the share of faces whose error exceeds the threshold. AUC is the exact integral of the cumulative error
    distribution up to the threshold, divided by it: `mean(max(0, 1 - e / t))`. A NaN error counts as a failure.

    Args:
        threshold: of FR and AUC, a fraction of the norm.

    >>> errors = FaceErrors(threshold=0.10)
    >>> errors.update(torch.tensor([0.05, 0.20]))
    >>> {name: round(float(value), 4) for name, value in errors.compute().items()}
    {'nme': 12.5, 'fr': 50.0, 'auc': 0.25, 'faces': 2.0}
    """

    full_state_update = False
    total: Tensor
    failures: Tensor
    area: Tensor
    faces: Tensor

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        for state in ("total", "failures", "area", "faces"):
            self.add_state(state, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, errors: Float[Tensor, " b"]) -> None:
        """Adds the errors of some faces, as fractions of their norms."""
        errors = errors.to(self.total)
        self.total += errors.sum()
        self.failures += (~(errors <= self.threshold)).sum()
        self.area += (1 - errors / self.threshold).nan_to_num(nan=0.0).clamp(min=0).sum()
        self.faces += len(errors)

    def compute(self) -> dict[str, Tensor]:
        """NME and FR in percent, AUC in 0..1, and the number of faces; NaN where there was none."""
        return {
            "nme": 100 * self.total / self.faces,
            "fr": 100 * self.failures / self.faces,
            "auc": self.area / self.faces,
            "faces": self.faces,
        }
