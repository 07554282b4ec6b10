"""Kind `pqvae`: the product quantiser of the paper, at one rate (formats/pqvae.md)."""

from .kind import PqvaeKind

__all__ = ["PqvaeKind"]
