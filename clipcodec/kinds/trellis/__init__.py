"""Kinds `predictive` and `rotation`: trellis-coded levels, at every rate (formats/trellis.md)."""

from .kind import TrellisKind
from .predictive import PredictiveKind
from .rotation import RotationKind

__all__ = ["PredictiveKind", "RotationKind", "TrellisKind"]
