"""Kind `rotation`: a fixed orthogonal transform of any width (formats/rotation.md).

For embeddings that no profile was trained for. Random signs and a cosine transform, twice: after it
every coefficient of a unit vector is nearly Gaussian with variance 1/D, whatever the model, so one
table per quality serves all coefficients (as in TurboQuant and RaBitQ).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.fft  # else imported on first use, which a fork might cut
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import CorruptError, EmbeddingError, TruncatedError
from ..base import MAX_DIM, Parameters, Shapes, Tensors, config_of, integer
from .engine import Engine
from .kind import SIZES, TrellisKind

Floats = NDArray[np.float32]
_MASK = (1 << 64) - 1
_PART = 1 << 17  # numbers transformed at a time


class RotationTransform:
    """Analysis and synthesis for width D. Nothing is learned.

    scale  (D,) standard deviation of each coefficient
    """

    def __init__(self, dim: int, seed: int) -> None:
        self._first, self._second = (_signs(dim, seed + i) for i in (0, 1))
        self._root = np.sqrt(dim)
        self.scale = np.ones(dim, np.float32)

    def analyse(self, x: Embeddings) -> Floats:
        """Embeddings (N, D) → coefficients (N, D), times √D: of variance near one."""
        return _in_parts(self._analyse, x)

    def _analyse(self, x: Embeddings) -> Floats:
        y = _dct(self._second * _dct(self._first * x.astype(np.float64)))
        scaled: Floats = (y * self._root).astype(np.float32)
        return scaled

    def predict(self, estimate: Floats, band: int, qualities: Symbols) -> None:
        """Nothing is predicted."""

    def restore(self, estimate: Floats, qualities: Symbols) -> None:
        """Nothing is restored."""

    def synthesise(self, y: Floats) -> Embeddings:
        """Coefficients (N, D) → embeddings (N, D), not yet of unit norm."""
        return _in_parts(self._synthesise, y)

    def _synthesise(self, y: Floats) -> Embeddings:
        x = self._first * _idct(self._second * _idct(y.astype(np.float64) / self._root))
        return x.astype(np.float32)

    def pull(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """The gradient by embeddings (N, D), not yet of unit norm → by coefficients (N, D)."""
        pulled: NDArray[np.float64] = self.analyse(gradient.astype(np.float32)) / self._root**2
        return pulled


def _in_parts(work: Callable[[Floats], Floats], rows: Floats) -> Floats:
    """Apply `work` to some rows at a time, which stay in cache: three times as fast."""
    step = max(1, _PART // rows.shape[1])
    if len(rows) <= step:
        return work(rows)
    out = np.empty(rows.shape, np.float32)
    for at in range(0, len(rows), step):
        out[at : at + step] = work(rows[at : at + step])
    return out


@lru_cache(maxsize=64)
def _signs(dim: int, seed: int) -> NDArray[np.float64]:
    """D signs from the bits of SplitMix64, least significant first; a set bit is a minus."""
    bits: list[int] = []
    state = seed
    while len(bits) < dim:
        state = state + 0x9E3779B97F4A7C15 & _MASK
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        z ^= z >> 31
        bits += [z >> j & 1 for j in range(64)]
    return 1.0 - 2.0 * np.array(bits[:dim])


@lru_cache(maxsize=64)
def _twiddle(dim: int) -> NDArray[np.complex128]:
    twiddle: NDArray[np.complex128] = np.exp(-0.5j * np.pi * np.arange(dim) / dim) * np.sqrt(
        2 / dim
    )
    twiddle[0] /= np.sqrt(2)
    return twiddle


def _dct(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal DCT-II of each row, by one FFT of the same length (Makhoul 1980)."""
    folded = np.concatenate([x[:, ::2], x[:, 1::2][:, ::-1]], axis=1)
    y: NDArray[np.float64] = (np.fft.fft(folded) * _twiddle(x.shape[1])).real
    return y


def _idct(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its inverse: the orthonormal DCT-III of each row."""
    dim = y.shape[1]
    spectrum = y.astype(np.complex128)
    spectrum[:, 1:] -= 1j * y[:, :0:-1]
    spectrum *= np.conj(_twiddle(dim)) * dim
    spectrum[:, 0] = y[:, 0] * np.sqrt(dim)
    spectrum[:, 1:] /= 2
    folded = np.fft.ifft(spectrum).real
    x = np.empty_like(y)
    half = (dim + 1) // 2
    x[:, ::2], x[:, 1::2] = folded[:, :half], folded[:, half:][:, ::-1]
    return x


class RotationKind(TrellisKind):
    """A profile without training, for any width: the header says it."""

    name = "rotation"
    dim = None

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(meta, tensors)
        self._seed = integer(meta["config"]["seed"], 0, (1 << 64) - 2, "seed")
        self.engine(1)  # checks the tables

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor."""
        config = config_of(meta, SIZES | {"seed"})
        integer(meta["dim"], 0, 0, "dim")
        return TrellisKind.table_shapes(config, 1, 1)

    def parameters(self, quality: int, width: int) -> bytes:
        """Quality, and the width in one byte below 128, else in two or three."""
        if width < 0x80:
            return bytes([quality, width])
        if width < 1 << 14:
            return bytes([quality, 0x80 | width & 0x7F, width >> 7])
        if width > MAX_DIM:
            raise EmbeddingError(f"embeddings of width {width}: at most {MAX_DIM}")
        return bytes([quality, 0x80, 0x80, 1])  # MAX_DIM

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        (quality, _), rest = super().split(rest)
        width, used = 0, 0
        while True:
            if used == len(rest):
                raise TruncatedError("ends inside its width")
            width |= (rest[used] & 0x7F) << 7 * used
            used += 1
            if rest[used - 1] < 0x80:
                break
            if used == 3:
                raise CorruptError("a width of more than three bytes")
        if not 1 <= width <= MAX_DIM or not rest[used - 1]:
            raise CorruptError(f"width {width} is not in 1 … {MAX_DIM}, or not in shortest form")
        return Parameters(quality, width), rest[used:]

    def decode(
        self, coder: str, payloads: Sequence[bytes], qualities: Symbols, count: int
    ) -> tuple[Symbols, list[int]]:
        levels, checks = super().decode(coder, payloads, qualities, count)
        empty = np.flatnonzero(~levels.any(axis=1))
        if len(empty):
            raise CorruptError("all levels are zero: that is no direction", rows=empty.tolist())
        return levels, checks

    @lru_cache(maxsize=8)  # noqa: B019 - profiles live as long as the process
    def engine(self, width: int) -> Engine:
        transform = RotationTransform(width, self._seed)
        return Engine(transform, self.level_tables([0, width]), self.steps, self.weights)

    def coefficients(self, x: Embeddings) -> Floats:
        """Embeddings (N, D) → coefficients (N, D), times √D; inner products stay, times D."""
        return self.engine(x.shape[1]).transform.analyse(x)
