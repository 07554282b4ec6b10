"""Transforms: embedding ↔ latent, in numpy. One file a kind, one row in `KINDS`."""

from .layout import Layout
from .pqvae import PqvaeTransform

KINDS = {"pqvae": PqvaeTransform}

__all__ = ["KINDS", "Layout", "PqvaeTransform"]
