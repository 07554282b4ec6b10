"""Makes the profile that needs no training data (for maintainers; formats/rotation.md).

    python -m clipcodec.training.rotation FILE

A random rotation makes the coefficients of any embedding nearly Gaussian; so the tables are fitted
to random numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ..kinds.trellis import quantizer as trellis
from ..kinds.trellis.engine import Engine
from ..kinds.trellis.tables import LevelTables
from ..profile.file import Tensors, write_profile
from ..profile.registry import ANY_BACKBONE, UNTRAINED
from . import level_tables
from .klt import QUALITIES, RDO_WEIGHT, steps_for
from .plain import Plain

LOW, HIGH = 0.6, 6.0  # bits per dimension of the coarsest and the finest step, in theory
SPARSE = 24  # qualities that use the coarsest step and leave groups of coefficients out
SPARSEST = 0.02  # share of the groups that quality 1 codes
_SEED = 0x636C6970  # "clip"
_ROWS, _WIDTH = 2000, 512
_DEFAULT = 60  # gives a cosine of about 0.98


def write(path: Path) -> None:
    """Write the profile file; the same version of numpy gives the same file."""
    gaussian = Plain(np.ones(_WIDTH, np.float32))
    latents = np.random.default_rng(0).standard_normal((_ROWS, _WIDTH), np.float32)
    steps = steps_for(np.ones(_WIDTH), QUALITIES - SPARSE, LOW, HIGH)
    rdo_weights = np.full(len(steps), RDO_WEIGHT, np.float32)
    fitted = level_tables.fit(
        gaussian, latents, [0, _WIDTH], steps, rdo_weights,
        scale=np.ones(_WIDTH), pooled=True, rounds=6,
    )  # fmt: skip
    steps, rdo_weights = (
        np.concatenate([np.repeat(v[:1], SPARSE), v]) for v in (steps, rdo_weights)
    )
    class_of, flag_of = (
        np.concatenate([np.repeat(v[:1], SPARSE, axis=0), v])
        for v in (fitted.class_of, fitted.flag_of)
    )
    # Below the rate of the coarsest step, coarser steps are far from the rate-distortion bound. It
    # is better to code only some of the groups with that step, and to leave the others out.
    shares = np.geomspace(SPARSEST, 0.9, SPARSE)
    flag_of[:SPARSE] = level_tables.flag_row(np.log2(shares / (1 - shares)))[:, None]
    tables = LevelTables(fitted.frequencies, class_of, flag_of, [0, _WIDTH])
    engine = Engine(gaussian, tables, steps, rdo_weights)
    sample = latents[:200]
    for i, share in enumerate(shares):
        low, high = 1.0, 8.0
        for _ in range(12):
            middle = (low + high) / 2
            levels = engine.attempt(sample, np.full(len(sample), i + 1), middle).levels
            full = levels.reshape(-1, trellis.GROUP).any(axis=1).mean()
            low, high = (middle, high) if full > share else (low, middle)
        rdo_weights[i] *= middle
    for quality in (1, 6, 12, 18, 24, 25, 30, 40, 50, 60, 70, 80, 90, 100):
        attempt = engine.attempt(sample, np.full(len(sample), quality))
        print(f"quality {quality:3}: {attempt.bits.mean() / _WIDTH:.3f} bits per dimension, "
              f"error {attempt.error.mean() / _WIDTH:.5f} of the variance")  # fmt: skip
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
        "weights": rdo_weights,
        "tables.frequencies": fitted.frequencies,
        "tables.class_of": class_of,
        "tables.flag_of": flag_of,
    }
    write_profile(path, meta, tensors)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]))
