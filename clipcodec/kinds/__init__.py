"""Kinds of profiles: what each does between embeddings and payloads; one row per kind."""

from .base import MAX_DIM, Kind, OnDevice, Parameters, Quantized, Sketch
from .pqvae import PqvaeKind
from .trellis import CompactKind, PredictiveKind, RotationKind

KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (PqvaeKind, PredictiveKind, CompactKind, RotationKind)
}

__all__ = ["KINDS", "MAX_DIM", "Kind", "OnDevice", "Parameters", "Quantized", "Sketch"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
