"""Quantisers: latent ↔ symbols."""

from .product import SharedProductQuantizer

__all__ = ["SharedProductQuantizer"]
