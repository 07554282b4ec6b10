"""Kinds `predictive` and `rotation`: trellis-coded levels at every rate (formats/trellis.md)."""

from .kind import PredictiveKind, RotationKind, TrellisKind

__all__ = ["PredictiveKind", "RotationKind", "TrellisKind"]
