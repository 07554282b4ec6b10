"""Transforms: embedding ↔ latent, in numpy. One file a kind."""

from .layout import Layout
from .pqvae import PqvaeTransform
from .predictive import PredictiveTransform
from .rotation import RotationTransform

__all__ = ["Layout", "PqvaeTransform", "PredictiveTransform", "RotationTransform"]
