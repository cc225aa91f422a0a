"""keyposs: facial landmarks at any heatmap resolution, by true-range multilateration."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing albumentations asks the package index

__version__ = "0.1.0"
