"""Kinds of trellis-coded levels, at every rate (formats/trellis.md)."""

from .compact import CompactKind
from .kind import TrellisKind
from .predictive import PredictiveKind
from .rotation import RotationKind

__all__ = ["CompactKind", "PredictiveKind", "RotationKind", "TrellisKind"]
