"""Codecs that need no codebooks: scalar quantisers, and formats with fewer bits per number.

scalar:STEP      one uniform quantiser for all dimensions, a frequency table for each, rANS
int8             as `quantize_embeddings` of sentence-transformers
binary           the same; or binary:centred, the signs around the mean of the training rows
float16          half precision
truncate:K       the first K dimensions in int8, as for Matryoshka embeddings; CLIP is not trained
                 to put what matters first, so also truncate:pca,K, of principal components

`scalar` is the plain form of lossyless (Dubois et al. 2021, arXiv 2106.10800). Its codec for CLIP
learns a scale and an offset for each dimension, rounds, and codes with a static learned table for
each dimension. Here the offset is the mean, the scale is the same for all (least squared error at
a rate wants equal steps), and the tables count training rows. Decoded values are whole steps, as
there. Choosing levels by error + λ · bits and decoding them to their means was tried: at equal
bytes it gives a cosine up to 0.01 higher, but clearly worse classes and KL. Sizes are those of
real payloads, one a row, without zero bytes at their ends, headers or check values: on average
three bytes above the ideal size, one less than a coder with a state of 32 bits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...embeddings import Embeddings, as_embeddings
from ...entropy.ans import PRECISION, AnsEncoder, Integers
from ...errors import OptionError
from ...training.klt import Doubles
from ..codecs import Coded, MeasuredCodec, Training
from . import positive, whole
from .klt import plain_klt
from .levels import HIGHEST, Levels, rounded, table_bits

SERIES = {
    "scalar": "scalar quantiser, rANS (lossyless, plain)", "float16": "float16",
    "int8": "int8 (sentence-transformers)", "binary": "binary (sentence-transformers)",
    "truncate": "truncated + int8",
}  # fmt: skip
CENTRED, COMPONENTS = "binary, centred", "PCA, truncated + int8"
MODULES = ("evaluation/peers/simple.py", "evaluation/codecs.py")
_SCALAR = (*MODULES, "evaluation/peers/levels.py", "entropy/ans.py")
_OF_KLT = (*MODULES, "evaluation/peers/klt.py", "training/klt.py")


def family(name: str, argument: str) -> MeasuredCodec:
    """The codec `name:argument`. Raises OptionError if the argument is none of its kind."""
    spec = f"{name}:{argument}" if argument else name
    if name == "scalar":
        return _scalar(spec, argument)
    if name == "truncate":
        return _truncate(spec, argument)
    series = SERIES[name]
    if name == "binary" and argument == "centred":
        series = CENTRED
    elif argument:
        choice = ", or binary:centred" if name == "binary" else ""
        raise OptionError(f"codec {spec!r}: expected {name}{choice}")

    def code(x: Embeddings, training: Training) -> Coded:
        if name == "float16":
            return _sized(x.astype(np.float16).astype(np.float32), 2 * x.shape[1])
        if name == "int8":
            low, high = _ranges(training.rows)
            return _sized(through_int8(x, low, high), x.shape[1])
        size = -(-x.shape[1] // 8)
        if not argument:
            return _sized(np.where(x > 0, np.float32(1), np.float32(-1)), size)
        mean, deviation = _around_mean(training)
        return _sized(np.where(x > mean, mean + deviation, mean - deviation), size)

    return MeasuredCodec(spec, series, argument or name, code, MODULES)


def _sized(rows: Embeddings, size: int) -> Coded:
    return Coded(rows, np.full(len(rows), float(size)))


# int8


def _ranges(rows: Embeddings) -> tuple[Embeddings, Embeddings]:
    """The least and the greatest value (D,) of each dimension."""
    return rows.min(axis=0), rows.max(axis=0)


def through_int8(x: Embeddings, low: Embeddings, high: Embeddings) -> Embeddings:
    """Rows (N, D) after `quantize_embeddings(x, "int8", ranges=(low, high))` and back.

    Each dimension has 255 steps from `low` to `high` (D,), and values are rounded down, as there.
    They come back as the middles of the steps; sentence-transformers itself takes the lower ends,
    which are further away.
    """
    steps = (high - low) / np.float32(255)
    steps = np.where(steps == 0, np.float32(1), steps)
    levels = np.floor((x - low) / steps).clip(0, 255)
    rows: Embeddings = ((levels + 0.5) * steps + low).astype(np.float32)
    return rows


@lru_cache(maxsize=1)
def _around_mean(training: Training) -> tuple[Embeddings, Embeddings]:
    """Mean and mean distance to it (D,) of each dimension."""
    mean = training.rows.mean(axis=0)
    return mean, np.abs(training.rows - mean).mean(axis=0)


# truncation


def _truncate(spec: str, argument: str) -> MeasuredCodec:
    of_components = argument.startswith("pca,")
    kept = whole(spec, argument.removeprefix("pca,"), "a number of dimensions: 64, or pca,64")

    def code(x: Embeddings, training: Training) -> Coded:
        if kept > x.shape[1]:
            raise OptionError(f"codec {spec!r}: expected {x.shape[1]} dimensions or fewer")
        if of_components:
            return _components(x, training, kept)
        few = as_embeddings(x[:, :kept])
        rows = np.zeros_like(x)
        rows[:, :kept] = through_int8(few, *_ranges(as_embeddings(training.rows[:, :kept])))
        return _sized(rows, kept)

    series = COMPONENTS if of_components else SERIES["truncate"]
    return MeasuredCodec(spec, series, argument, code, _OF_KLT)


def _components(x: Embeddings, training: Training, kept: int) -> Coded:
    transform = plain_klt(training)
    mean = transform.mean.astype(np.float32)
    axes = transform.analysis[:, :kept].astype(np.float32)
    fitted, few = (((rows - mean) @ axes).astype(np.float32) for rows in (training.rows, x))
    few = through_int8(few, *_ranges(fitted))
    return _sized(few @ transform.synthesis[:kept].astype(np.float32) + mean, kept)


# the scalar quantiser


def _scalar(spec: str, argument: str) -> MeasuredCodec:
    step = positive(spec, argument, "a step such as 0.03, for rows of unit norm")

    def code(x: Embeddings, training: Training) -> Coded:
        mean, bits = _tables(training, step)
        levels = rounded((x - mean) / step)
        rows = (step * levels + mean).astype(np.float32)
        payloads = rans_payloads(levels, bits)
        return Coded(rows, np.array([len(payload) for payload in payloads], np.float64))

    return MeasuredCodec(spec, SERIES["scalar"], argument, code, _SCALAR)


@lru_cache(maxsize=1)
def _tables(training: Training, step: float) -> tuple[Embeddings, Doubles]:
    """The mean (D,) of the training rows, and the bits (D, K) of the levels around it."""
    mean = training.rows.mean(axis=0)
    return mean, table_bits(rounded((training.rows - mean) / step))


def rans_payloads(levels: Levels, bits: Doubles) -> list[bytes]:
    """One rANS payload for each row of levels (N, D), by tables as `table_bits` gives them."""
    left, width = rans_intervals(bits)
    encoder = AnsEncoder(np.ones(len(levels), np.int64), levels.shape[1])
    for d, column in enumerate(levels.T + HIGHEST):
        encoder.push(left[d, column], width[d, column])
    return encoder.payloads()


def rans_intervals(bits: Doubles) -> tuple[Integers, Integers]:
    """(left, width), each (D, K), of every level in 2**24; no width is zero."""
    shares = 2.0**-bits
    upper = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    alphabet = shares.shape[1]
    ends = (upper * ((1 << PRECISION) - alphabet)).astype(np.int64) + np.arange(1, alphabet + 1)
    ends[:, -1] = 1 << PRECISION
    left = np.concatenate([np.zeros((len(ends), 1), np.int64), ends[:, :-1]], axis=1)
    return left, ends - left
