"""Schemes: what a kind of profile does between embeddings and bodies. One row a kind.

A scheme ties a transform, a quantiser and a coder together; `Scheme` says what the codec asks.
"""

from .base import Parameters, Scheme
from .pqvae import PqvaeScheme
from .trellis import PredictiveScheme, RotationScheme, TrellisScheme

KINDS: dict[str, type[PqvaeScheme] | type[PredictiveScheme] | type[RotationScheme]] = {
    "pqvae": PqvaeScheme,
    "predictive": PredictiveScheme,
    "rotation": RotationScheme,
}

__all__ = [
    "KINDS",
    "Parameters",
    "PqvaeScheme",
    "PredictiveScheme",
    "RotationScheme",
    "Scheme",
    "TrellisScheme",
]
