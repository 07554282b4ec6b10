"""Writes the profile file of a trained PQVAE: statistics, frequency tables, card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..entropy import FrequencyTables, Symbols
from ..kinds.pqvae.config import PqvaeConfig
from ..kinds.pqvae.quantizer import SharedProductQuantizer
from ..kinds.pqvae.transform import PqvaeTransform
from ..profile.file import Tensors, write_profile
from .bank import bank

AXES = 64  # principal axes kept in the statistics
# The floor lies this much below the lowest cosine in training: images do not reach it, embeddings
# of another network do.
_FLOOR_MARGIN = 0.15
_PRIOR = 64  # observations that the counts of all positions together add to those of each position


def to_half(tensors: Mapping[str, NDArray[Any]]) -> Tensors:
    """Weights as profile files store them: float16, but codebook, center and scale float32."""
    full = {"codebook", "center", "scale"}
    return {
        name: np.ascontiguousarray(t, np.float32 if name in full else np.float16)
        for name, t in tensors.items()
    }


def frequency_tables(symbols: Symbols, alphabet: int) -> FrequencyTables:
    """Frequency tables from symbols (N, n): one per position, or one for all positions.

    The choice falls on what codes one half of the rows in fewer bits with tables from the other
    half. The counts of all positions together are added to those of each position, so that the
    cost of a rare symbol does not depend on chance.
    """
    fit, held = symbols[::2], symbols[1::2]

    def bits(per_position: bool) -> float:
        return float(_tables(fit, alphabet, per_position).information(held).sum())

    return _tables(symbols, alphabet, min((True, False), key=bits))


def _tables(symbols: Symbols, alphabet: int, per_position: bool) -> FrequencyTables:
    n = symbols.shape[1]
    counts = np.stack([np.bincount(column, minlength=alphabet) for column in symbols.T])
    shared = counts.sum(axis=0) + 1.0
    if not per_position:
        return FrequencyTables.from_counts(shared[None], np.zeros(n))
    return FrequencyTables.from_counts(counts + _PRIOR * shared / shared.sum(), np.arange(n))


def statistics(x: Embeddings, texts: Embeddings | None = None) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and metadata of `profile.statistics.Statistics`, from rows x (N, D) of unit norm.

    texts  (N, D) text embeddings of the same model, unit norm, if there are any
    """
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
    meta: dict[str, Any] = {
        "low": round(low, 4),
        "floor": round(float(cosines.min()) - _FLOOR_MARGIN, 4),
    }
    if texts is not None and len(texts):
        tensors["statistics.text"] = texts.mean(axis=0, dtype=np.float64).astype(np.float16)
        tensors["statistics.bank"] = bank(texts)
        meta |= {"text": True, "bank": len(tensors["statistics.bank"])}
    return tensors, {**meta, "axes": axes}


def write(
    path: str | os.PathLike[str],
    *,
    name: str,
    backbone: str,
    config: PqvaeConfig,
    tensors: Tensors,
    rows: Embeddings,
    card: Mapping[str, Any],
) -> None:
    """Write the profile of a trained PQVAE (formats/profile-file.md).

    tensors  as `to_half` gives them
    rows     (N, D) embeddings from which frequency tables and statistics are made
    """
    quantizer = SharedProductQuantizer(tensors["codebook"], tensors["analysis.lift"])
    transform = PqvaeTransform(config, tensors)
    symbols = np.concatenate(
        [transform.analyse(part, quantizer) for part in np.array_split(rows, len(rows) // 2048 + 1)]
    )
    tables = frequency_tables(symbols, config.codewords)
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
        "dim": config.dim,
        "config": config.to_meta(),
        "tables": len(tables.frequencies),
        "statistics": stat_meta,
        "card": dict(card),
    }
    write_profile(Path(path), meta, everything)
