"""Kinds of profiles: what each does between embeddings and payloads; one row per kind."""

from .base import Kind, Parameters
from .pqvae import PqvaeKind
from .trellis import PredictiveKind, RotationKind

KINDS: dict[str, type[Kind]] = {
    "pqvae": PqvaeKind,
    "predictive": PredictiveKind,
    "rotation": RotationKind,
}

__all__ = ["KINDS", "Kind", "Parameters"]
