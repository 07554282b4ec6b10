"""The profile that needs no data: tables of the Gaussian that a rotation leaves (maintainers).

python -m clipcodec.training.rotation FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..profile import Tensors, write_profile
from ..registry import ANY_BACKBONE, UNTRAINED
from . import level_tables
from .klt import steps_for

QUALITIES = 100
LOW, HIGH = 0.05, 6.0  # bits a dimension of the coarsest and the finest quality, in theory
_SEED = 0x636C6970  # "clip"
_ROWS, _WIDTH = 2000, 512
_DEFAULT = 60  # cosine .98


class Gaussian:
    """Stands where a transform would: its coefficients are drawn, nothing is predicted."""

    def analyse(self, x: Embeddings) -> NDArray[np.float32]:
        return x

    def refine(
        self, estimate: NDArray[np.float32], band: int, log_step: NDArray[np.float32]
    ) -> None:
        pass

    def synthesise(self, y: NDArray[np.float32]) -> Embeddings:
        return y


def write(path: Path) -> None:
    """Write the profile; the same numpy gives the same file."""
    latents = np.random.default_rng(0).standard_normal((_ROWS, _WIDTH), np.float32)
    steps = steps_for(np.ones(_WIDTH), QUALITIES, LOW, HIGH)
    fitted = level_tables.fit(
        Gaussian(), latents, [0, _WIDTH], steps, spread=np.ones(_WIDTH), pooled=True, rounds=6
    )
    for quality, bits, error in zip(fitted.grid, fitted.bits, fitted.error, strict=True):
        print(f"quality {quality:3}: {bits / _WIDTH:.3f} bits a dimension, "
              f"error {error / _WIDTH:.5f} of the variance")  # fmt: skip
    meta = {
        "kind": "rotation",
        "name": UNTRAINED,
        "backbone": ANY_BACKBONE,
        "dim": 0,
        "config": {
            "qualities": QUALITIES,
            "default_quality": _DEFAULT,
            "rows": len(fitted.frequencies),
            "alphabet": fitted.frequencies.shape[1],
            "seed": _SEED,
        },
        "card": {
            "data": "none: the tables are those of a Gaussian",
            "embeddings": {},
            "recipe": {"name": "rotation", "rows": _ROWS},
            "licence": "Apache-2.0",
        },
    }
    tensors: Tensors = {
        "steps": steps,
        "tables.frequencies": fitted.frequencies,
        "tables.class_of": fitted.class_of,
        "tables.flag_of": fitted.flag_of,
    }
    write_profile(path, meta, tensors)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]))
