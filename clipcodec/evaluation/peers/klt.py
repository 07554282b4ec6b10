"""Codecs of the KLT's coefficients, and a bound: references that clipcodec's kinds build on.

pca:BYTES    uniform scalar quantisers for Gaussians, each with a whole number of bits; fixed length
klt:STEP     one uniform scalar quantiser, levels chosen by error + λ · bits; its size is the ideal
             one by static tables, which real streams do not quite reach
bound:BYTES  reverse water-filling on the training covariance: a curve, not a codec
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...training.klt import Doubles, Klt, klt
from ..codecs import Coded, MeasuredCodec, Training
from . import positive, whole
from .levels import ENOUGH, fit

SERIES = {
    "pca": "PCA, fixed length", "klt": "KLT + RDO, ideal entropy", "bound": "Gaussian bound",
}  # fmt: skip
MODULES = (
    "evaluation/peers/klt.py", "evaluation/peers/levels.py", "training/klt.py",
    "evaluation/codecs.py",
)  # fmt: skip
# Step and squared error of the best uniform quantiser of a unit Gaussian with 2^b levels, for
# b = 1, 2, … (J. Max, 1960). No coefficient gets more bits than the last of them.
_UNIFORM_STEP = (1.5956, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308)
_UNIFORM_ERROR = (0.3634, 0.1188, 0.03744, 0.01154, 0.003495, 0.001041, 0.0003035, 0.0000872)


def family(name: str, argument: str) -> MeasuredCodec:
    """The codec `name:argument`. Raises OptionError if the argument is no size or step."""
    spec = f"{name}:{argument}"
    if name == "klt":
        step = positive(spec, argument, "a step such as 0.03, for rows of unit norm")

        def code(x: Embeddings, training: Training) -> Coded:
            return klt_codec(plain_klt(training), training.sample(ENOUGH), x, step)

    else:
        size = whole(spec, argument, "a number of bytes such as 50")

        def code(x: Embeddings, training: Training) -> Coded:
            transform = plain_klt(training)
            if name == "pca":
                return pca_codec(transform, x, size)
            sizes = np.full(len(x), float(size))
            return Coded(None, sizes, gaussian_cosine(transform.variance, size))

    return MeasuredCodec(spec, SERIES[name], argument, code, MODULES)


@lru_cache(maxsize=1)
def plain_klt(training: Training) -> Klt:
    """The KLT of the training rows, all with the same weight, without shrinkage."""
    return klt(training.rows, np.ones(len(training.rows)), shrinkage=0.0)


def pca_codec(transform: Klt, x: Embeddings, size: int) -> Coded:
    """Code rows in `size` bytes each: every bit goes where it lowers a Gaussian's error most."""
    error = np.array([1.0, *_UNIFORM_ERROR])
    gains = transform.variance[:, None] * (error[:-1] - error[1:])
    best = np.argsort(-gains, axis=None, kind="stable")[: 8 * size]
    bits = np.bincount(best // gains.shape[1], minlength=len(gains))
    coded = bits > 0
    step = np.sqrt(transform.variance[coded]) * np.array(_UNIFORM_STEP)[bits[coded] - 1]
    y = (x - transform.mean) @ transform.analysis[:, coded] / step
    half = 2.0 ** (bits[coded] - 1)
    values = (np.clip(np.floor(y), -half, half - 1) + 0.5) * step
    return Coded(_synthesise(transform, values, coded), np.full(len(x), len(best) / 8))


def klt_codec(transform: Klt, training: Embeddings, x: Embeddings, step: float) -> Coded:
    """Code rows with one step for all coefficients, and tables fitted to the training rows."""
    quantiser = fit(_latent(transform, training, step))
    levels = quantiser.choose(_latent(transform, x, step))
    rows = _synthesise(transform, step * quantiser.values(levels))
    return Coded(rows, quantiser.spent(levels) / 8)


def gaussian_cosine(variance: Doubles, size: float) -> float:
    """The bound on the cosine at `size` bytes: about 1 − E/2, where E is the squared error.

    E is the least error at this rate for a Gaussian with these variances (D,), by reverse
    water-filling.
    """
    low, high = 0.0, float(variance.max())
    for _ in range(100):
        level = (low + high) / 2
        rate = 0.5 * np.log2(np.maximum(variance / level, 1)).sum()
        low, high = (level, high) if rate > 8 * size else (low, level)
    return 1 - float(np.minimum(variance, high).sum()) / 2


def _latent(transform: Klt, x: Embeddings, step: float) -> Doubles:
    latent: Doubles = (x - transform.mean) @ transform.analysis / step
    return latent


def _synthesise(
    transform: Klt, values: Doubles, coded: NDArray[np.bool_] | slice = slice(None)
) -> Embeddings:
    rows: Embeddings = (values @ transform.synthesis[coded] + transform.mean).astype(np.float32)
    return rows
