"""Reference codecs, fitted to training rows. None has a header, a check value or a file format.

PQ, OPQ, RQ   faiss, by the names of its factory; codes of a fixed length
PCA           uniform scalar quantiser for Gaussians, whole bits shared out; a fixed length
KLT + RDO     uniform scalar quantiser whose levels weigh error against bits; its size is the
              ideal one of static tables, a mean that no real stream quite reaches
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
# step and error of the best uniform quantiser of a unit Gaussian with 2^b levels, b = 1 …
# (J. Max, 1960); the last is the most that a coefficient gets
_UNIFORM_STEP = (1.5956, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308)
_UNIFORM_ERROR = (0.3634, 0.1188, 0.03744, 0.01154, 0.003495, 0.001041, 0.0003035, 0.0000872)
_HIGHEST = 127  # magnitude of the largest level of the entropy-coded quantiser
_LAMBDA = 0.15  # squared steps that a bit is worth
_ROUNDS = 4  # of tables fitted to levels, and levels chosen by tables


class Coded(NamedTuple):
    """Decoded rows (N, D), not normalised, and what they took."""

    rows: Embeddings
    bytes: float


def faiss_codec(name: str, training: Embeddings, x: Embeddings) -> Coded:
    """Rows through a codec of faiss's factory, fitted to the training rows.

    Raises ImportError naming the extra where faiss is missing.
    """
    faiss = import_faiss()
    index = faiss.index_factory(x.shape[1], name)
    if name.startswith("RQ"):  # four times faster than its default, as good to three digits
        index.rq.train_type = faiss.ResidualQuantizer.Train_default
    index.train(training)
    return Coded(index.sa_decode(index.sa_encode(x)), float(index.sa_code_size()))


def import_faiss() -> Any:
    """faiss on one core, which gives the same codes every time; ImportError names the extra."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError('faiss is missing: pip install "clipcodec[evaluation]"') from error
    module: Any = faiss
    module.omp_set_num_threads(1)
    return module


def plain_klt(training: Embeddings) -> Klt:
    """Principal axes of the rows, unweighted."""
    return klt(training, np.ones(len(training)), shrinkage=0.0)


def pca_codec(transform: Klt, x: Embeddings, size: int) -> Coded:
    """`size` bytes a row: each bit goes where it lowers a Gaussian's error most."""
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
    """Levels of one step for all coefficients; tables are fitted to the training rows."""
    latent = _latent(transform, training, step)
    levels = np.rint(latent).astype(np.int64).clip(-_HIGHEST, _HIGHEST)
    for _ in range(_ROUNDS):
        bits = _table_bits(levels)
        levels = _choose(latent, bits)
    # a level is decoded to the mean of what it stood for in training: one shift for 1, 2, 3 …
    kinds = np.minimum(np.abs(levels), 3).ravel()
    short = (np.abs(latent) - np.abs(levels)).ravel()
    count = np.maximum(np.bincount(kinds, minlength=4), 1)
    shift = np.bincount(kinds, weights=short, minlength=4) / count
    shift[0] = 0
    chosen = _choose(_latent(transform, x, step), bits)
    values = step * (chosen + np.sign(chosen) * shift[np.minimum(np.abs(chosen), 3)])
    spent = np.take_along_axis(bits, chosen.T + _HIGHEST, axis=1).sum(axis=0)
    return Coded(_synthesise(transform, values), float(spent.mean()) / 8)


def gaussian_cosine(variance: Doubles, size: float) -> float:
    """Cosine ≈ 1 − D/2 at the least error D of a Gaussian of these variances in `size` bytes."""
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
    """−log2 p (D, alphabet) of the levels (N, D) of each coefficient.

    Two counts more are shared out as a two-sided geometric of the same mean magnitude, so that
    what never occurred has a price.
    """
    count, dim = levels.shape
    alphabet = 2 * _HIGHEST + 1
    places = (levels + _HIGHEST + alphabet * np.arange(dim)).ravel()
    counts = np.bincount(places, minlength=dim * alphabet).reshape(dim, alphabet)
    mean = np.maximum(np.abs(levels).mean(axis=0), 1e-3)
    ratio = (np.sqrt(1 + mean**2) - 1) / mean
    prior = np.maximum(ratio[:, None] ** np.abs(np.arange(-_HIGHEST, _HIGHEST + 1)), 1e-30)
    shares = counts + 2 * prior / prior.sum(axis=1, keepdims=True)
    bits: Doubles = -np.log2(shares / (count + 2))
    return bits


def _choose(latent: Doubles, bits: Doubles) -> Levels:
    """Of zero and the two levels around each value, the one of least error + λ · bits."""
    sign = np.sign(latent).astype(np.int64)
    magnitude = np.abs(latent)
    lower = np.minimum(magnitude.astype(np.int64), _HIGHEST)
    best = np.zeros_like(lower)
    least = np.full(latent.shape, np.inf)
    for level in (np.zeros_like(lower), lower, np.minimum(lower + 1, _HIGHEST)):
        price = np.take_along_axis(bits, (sign * level).T + _HIGHEST, axis=1).T
        cost = (magnitude - level) ** 2 + _LAMBDA * price
        better = cost < least
        best[better], least[better] = level[better], cost[better]
    return sign * best
