"""A trained transform and codebook → a profile file: statistics, frequency tables, card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..entropy import FrequencyTables, Symbols
from ..kinds.pqvae.layout import Layout
from ..kinds.pqvae.quantizer import SharedProductQuantizer
from ..kinds.pqvae.transform import PqvaeTransform
from ..profile.file import Tensors, write_profile

AXES = 64  # principal axes kept in the statistics
_FLOOR_MARGIN = 0.15  # below the least training cosine: no picture lies there, another network does


def to_half(tensors: Mapping[str, NDArray[Any]]) -> Tensors:
    """Weights as they ship: half precision, codebook and centre in full."""
    full = {"codebook", "center", "scale"}
    return {
        name: np.ascontiguousarray(t, np.float32 if name in full else np.float16)
        for name, t in tensors.items()
    }


def frequency_tables(symbols: Symbols, alphabet: int) -> FrequencyTables:
    """One table a position where that shortens rows not counted, else one for all.

    symbols (N, n). A position's counts lean on the shared ones (as 64 more observations), so that
    rare symbols are not priced by chance.
    """
    fit, held = symbols[::2], symbols[1::2]
    best = min((True, False), key=lambda each: _tables(fit, alphabet, each).information(held).sum())
    return _tables(symbols, alphabet, best)


def _tables(symbols: Symbols, alphabet: int, each_position: bool) -> FrequencyTables:
    n = symbols.shape[1]
    counts = np.stack([np.bincount(column, minlength=alphabet) for column in symbols.T])
    shared = counts.sum(axis=0) + 1.0
    if not each_position:
        return FrequencyTables.from_counts(shared[None], np.zeros(n))
    return FrequencyTables.from_counts(counts + 64 * shared / shared.sum(), np.arange(n))


def statistics(x: Embeddings) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and metadata by which a wrong backbone is told and samples are drawn."""
    mean = x.mean(axis=0, dtype=np.float64)
    cosines = x @ (mean / np.linalg.norm(mean))
    axes = min(AXES, x.shape[1] // 2)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    rest = values[:-axes].mean() if axes < x.shape[1] else 0.0
    scale = np.sqrt(np.maximum(np.append(values[::-1][:axes], rest), 0))
    tensors = {
        "statistics.mean": mean.astype(np.float32),
        "statistics.basis": vectors[:, ::-1][:, :axes].astype(np.float16),
        "statistics.scale": scale.astype(np.float32),
    }
    low = float(np.quantile(cosines, 0.001))
    meta = {"low": round(low, 4), "floor": round(float(cosines.min()) - _FLOOR_MARGIN, 4)}
    return tensors, {**meta, "axes": axes}


def write(
    path: str | os.PathLike[str],
    *,
    name: str,
    backbone: str,
    layout: Layout,
    tensors: Tensors,
    rows: Embeddings,
    card: Mapping[str, Any],
) -> None:
    """Write the profile of a trained PQVAE: `tensors` in shipping precision, `rows` to count on."""
    quantizer = SharedProductQuantizer(tensors["codebook"], tensors["analysis.lift"])
    transform = PqvaeTransform(layout, tensors)
    symbols = np.concatenate(
        [transform.analyse(part, quantizer) for part in np.array_split(rows, len(rows) // 2048 + 1)]
    )
    tables = frequency_tables(symbols, layout.codewords)
    stat_tensors, stat_meta = statistics(rows)
    everything = {
        **tensors,
        **stat_tensors,
        "tables.frequencies": tables.frequencies.astype(np.uint16),
        "tables.lengths": tables.lengths.astype(np.uint8),
        "tables.table_of": tables.table_of.astype(np.uint16),
    }
    meta = {
        "kind": "pqvae",
        "name": name,
        "backbone": backbone,
        "dim": layout.dim,
        "config": layout.to_config(),
        "tables": len(tables.frequencies),
        "statistics": stat_meta,
        "card": dict(card),
    }
    write_profile(Path(path), meta, everything)
