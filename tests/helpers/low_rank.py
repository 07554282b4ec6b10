"""Embeddings of a model that no profile was made for: a few directions carry nearly all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def low_rank(count: int, dim: int = 32, rank: int = 10, *, seed: int = 0) -> NDArray[np.float32]:
    """Rows (count, dim) of any norm; those of two seeds come from the same model."""
    axes = np.random.default_rng(dim).normal(size=(rank, dim))
    rng = np.random.default_rng(seed)
    rows = (0.5 + rng.normal(size=(count, rank))) @ axes + 0.3 * rng.normal(size=(count, dim))
    return (3 * rows).astype(np.float32)
