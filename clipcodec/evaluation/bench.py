"""Sets to measure on, side by side, and what is measured of codec after codec on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings, as_embeddings
from .codecs import Coded, MeasuredCodec, Training
from .metrics import Measures, spread
from .sets import EmbeddingSet, load_sets

_SAMPLE = 32  # rows of each set that stand for all, where the code has changed


class Bench:
    """Sets, ready to be measured on."""

    def __init__(self, sets: Sequence[EmbeddingSet]) -> None:
        self.sets = list(sets)
        self.rows: Embeddings = np.concatenate([data.rows for data in self.sets])
        self.digest = hashlib.sha256(
            "".join(data.digest for data in self.sets).encode()
        ).hexdigest()
        self._measures = [Measures(data) for data in self.sets]
        self._bounds = np.cumsum([len(data.rows) for data in self.sets])[:-1]

    def measure(self, coded: Coded) -> dict[str, Any]:
        """Size and measures of coded rows: of all rows, and `sets` by the set's name."""
        sizes = coded.bytes
        point: dict[str, Any] = {"bytes": _rounded(sizes.mean()), "most": _rounded(sizes.max())}
        point["bpd"] = _rounded(8 * sizes.mean() / self.rows.shape[1])
        if coded.rows is None:
            return point | {"cosine": _rounded(coded.cosine)}
        y = as_embeddings(coded.rows, self.rows.shape[1])
        cosines = (y * self.rows).sum(axis=1)
        point |= {
            "cosine": _rounded(cosines.mean()),
            "cosine05": _rounded(np.quantile(cosines, 0.05)),
            "spread": spread(self.rows, y),
            "sets": {},
        }
        parts, own_sizes = np.split(y, self._bounds), np.split(sizes, self._bounds)
        for data, measures, part, own in zip(
            self.sets, self._measures, parts, own_sizes, strict=True
        ):
            found = {name: _rounded(value) for name, value in measures.of(part).items()}
            found["bytes"] = _rounded(own.mean())
            if data.pixels is not None:
                found["bpp"] = float(8 * own.sum() / data.pixels.sum())
            point["sets"][data.name] = found
        return point

    def sample(self, codec: MeasuredCodec, training: Training) -> str:
        """A digest of what the codec makes of a few rows of each set."""
        rows = np.concatenate([data.first(_SAMPLE).rows for data in self.sets])
        coded = codec.code(rows, training)
        found = hashlib.sha256(np.asarray(coded.bytes, np.float64).tobytes())
        if coded.rows is not None:
            found.update(np.asarray(coded.rows, np.float16).tobytes())
        return found.hexdigest()[:16]


def bench_of(paths: Sequence[Path], rows: int | None = None) -> Bench:
    """The sets of files and folders, as `load_sets` takes them; of each at most `rows` images."""
    sets = load_sets(paths)
    return Bench(sets if rows is None else [data.first(rows) for data in sets])


def _rounded(value: float | np.floating[Any] | NDArray[np.float64] | None) -> float:
    assert value is not None
    return round(float(value), 5)
