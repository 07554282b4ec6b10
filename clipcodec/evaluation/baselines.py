"""Reference codecs, fitted to training rows. None has a header, a check value or a file format.

PQ, OPQ, RQ     faiss's codecs, by their names in its index factory; fixed length
PCA             uniform scalar quantiser for Gaussians with a whole number of bits per coefficient;
                fixed length
KLT + RDO       uniform scalar quantiser, levels chosen by error + λ · bits; its size is the ideal
                one by static tables, a mean that real streams do not quite reach
Gaussian bound  reverse water-filling on the training covariance: a curve, not a codec
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..training.klt import Doubles, Klt, klt

Levels = NDArray[np.int64]
FAISS = (
    "PQ16x8np", "PQ32x8np", "PQ64x6np", "OPQ32,PQ32x8np", "OPQ64,PQ64x6np", "RQ16x8", "RQ32x8"
)  # fmt: skip
PCA_BYTES = (16, 25, 34, 50, 75, 100, 150, 250)
KLT_STEPS = (0.08, 0.06, 0.05, 0.04, 0.03, 0.023, 0.017, 0.011)  # of embeddings of unit norm
BOUND_BYTES = (12, 16, 25, 34, 50, 75, 100, 150, 200, 250)
# Step and squared error of the best uniform quantiser of a unit Gaussian with 2^b levels, for
# b = 1, 2, … (J. Max, 1960). No coefficient gets more bits than the last of them.
_UNIFORM_STEP = (1.5956, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308)
_UNIFORM_ERROR = (0.3634, 0.1188, 0.03744, 0.01154, 0.003495, 0.001041, 0.0003035, 0.0000872)
_HIGHEST = 127  # magnitude of the largest level of the entropy-coded quantiser
_LAMBDA = 0.15  # squared steps per bit
_ROUNDS = 4  # of fitting tables to levels and choosing levels by these tables


class Coded(NamedTuple):
    """Decoded rows (N, D), not normalised, and the mean size of a row's code in bytes."""

    rows: Embeddings
    bytes: float


def faiss_codec(name: str, training: Embeddings, x: Embeddings) -> Coded:
    """Code rows x (N, D) with faiss's codec `name`, fitted to the training rows (M, D).

    Raises ImportError naming the extra if faiss is missing.
    """
    faiss = import_faiss()
    index = faiss.index_factory(x.shape[1], name)
    if name.startswith("RQ"):  # four times faster than the default, same errors to three digits
        index.rq.train_type = faiss.ResidualQuantizer.Train_default
    index.train(training)
    return Coded(index.sa_decode(index.sa_encode(x)), float(index.sa_code_size()))


def import_faiss() -> Any:
    """faiss, limited to one thread so that it gives the same codes every time.

    Raises ImportError naming the extra if faiss is missing.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError('faiss is missing: pip install "clipcodec[evaluation]"') from error
    module: Any = faiss
    module.omp_set_num_threads(1)
    return module


def plain_klt(training: Embeddings) -> Klt:
    """The KLT of the rows (M, D), all with the same weight, without shrinkage."""
    return klt(training, np.ones(len(training)), shrinkage=0.0)


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
    return Coded(_synthesise(transform, values, coded), len(best) / 8)


def klt_codec(transform: Klt, training: Embeddings, x: Embeddings, step: float) -> Coded:
    """Code rows with one step for all coefficients, and tables fitted to the training rows."""
    latent = _latent(transform, training, step)
    levels = np.rint(latent).astype(np.int64).clip(-_HIGHEST, _HIGHEST)
    for _ in range(_ROUNDS):
        bits = _table_bits(levels)
        levels = _choose(latent, bits)
    # Decode a level to the mean of the training values it coded: one shift each for 1, 2 and 3 …
    magnitude = np.minimum(np.abs(levels), 3).ravel()
    remainder = (np.abs(latent) - np.abs(levels)).ravel()
    count = np.maximum(np.bincount(magnitude, minlength=4), 1)
    shift = np.bincount(magnitude, weights=remainder, minlength=4) / count
    shift[0] = 0
    chosen = _choose(_latent(transform, x, step), bits)
    values = step * (chosen + np.sign(chosen) * shift[np.minimum(np.abs(chosen), 3)])
    spent = np.take_along_axis(bits, chosen.T + _HIGHEST, axis=1).sum(axis=0)
    return Coded(_synthesise(transform, values), float(spent.mean()) / 8)


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


def _table_bits(levels: Levels) -> Doubles:
    """−log2 p (D, alphabet) of each level of each coefficient, from levels (N, D).

    Two counts are added, distributed as a two-sided geometric distribution of the same mean
    magnitude, so that the cost of a level that never occurred is finite.
    """
    count, dim = levels.shape
    alphabet = 2 * _HIGHEST + 1
    cells = (levels + _HIGHEST + alphabet * np.arange(dim)).ravel()
    counts = np.bincount(cells, minlength=dim * alphabet).reshape(dim, alphabet)
    mean = np.maximum(np.abs(levels).mean(axis=0), 1e-3)
    ratio = (np.sqrt(1 + mean**2) - 1) / mean
    prior = np.maximum(ratio[:, None] ** np.abs(np.arange(-_HIGHEST, _HIGHEST + 1)), 1e-30)
    shares = counts + 2 * prior / prior.sum(axis=1, keepdims=True)
    bits: Doubles = -np.log2(shares / (count + 2))
    return bits


def _choose(latent: Doubles, bits: Doubles) -> Levels:
    """For each value (N, D): zero or one of the two levels around it, by least error + λ · bits."""
    sign = np.sign(latent).astype(np.int64)
    magnitude = np.abs(latent)
    lower = np.minimum(magnitude.astype(np.int64), _HIGHEST)
    best = np.zeros_like(lower)
    least = np.full(latent.shape, np.inf)
    for level in (np.zeros_like(lower), lower, np.minimum(lower + 1, _HIGHEST)):
        rate = np.take_along_axis(bits, (sign * level).T + _HIGHEST, axis=1).T
        cost = (magnitude - level) ** 2 + _LAMBDA * rate
        better = cost < least
        best[better], least[better] = level[better], cost[better]
    return sign * best
