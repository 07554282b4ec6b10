"""A profile file of kind compact (formats/compact.md), as bytes, without networks or with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..entropy.tables import FREQUENCY_BITS
from ..kinds.trellis import network
from ..kinds.trellis.compact import CompactTransform, rounded
from ..kinds.trellis.network import DTYPES
from ..profile.file import FILE_VERSION, METADATA_KEY, Tensors
from .level_tables import Fitted
from .principal import Axes

Doubles = NDArray[np.float64]
_LEAST_HALF = 2.0**-14  # float16 keeps its eleven bits from here on
_LEAST_SCALE = 1e-9
_FLOOR_MARGIN = 0.15  # as in export.py
_DIGITS = 5
_NO_MEAN = 1e-3  # a mean this short is no direction
_LOW = 4.0  # standard deviations below the mean cosine; a real row in a thousand or fewer is there


def without_networks(
    axes: Axes, coarsest: Doubles, scale: Doubles, steps: NDArray[np.float32], weight: float
) -> Tensors:
    """The tensors of a profile that predicts nothing, but for its tables.

    axes      of which the first n are kept
    coarsest  (n,) largest units of their values
    scale     (n,) standard deviations of the coefficients
    steps     (Q,); weight: λ at each
    """
    basis, shift = rounded(axes.rows[: len(coarsest)], coarsest)
    qualities = len(steps)
    shapes = network.shapes([0, len(scale)], 0, 0, qualities)
    kept: Tensors = {
        "log_step": np.zeros(qualities, np.int32),
        "restore.gain": np.ones(qualities, np.float16),
    }
    empty: Tensors = {
        name: np.zeros(shape, DTYPES.get(name, "float16"))
        for name, shape in shapes.items()
        if name not in kept
    }
    return {
        "center": axes.mean.astype(np.float16),
        "basis": basis,
        "shift": shift,
        "scale": _half(np.maximum(scale, _LEAST_SCALE)),
        **empty,
        **kept,
        "steps": steps,
        "weights": np.full(qualities, weight, np.float32),
    }


def transform_of(tensors: Tensors, bands: Sequence[int]) -> CompactTransform:
    """What codes with these tensors."""
    return CompactTransform(tensors, bands)


def _half(values: Doubles) -> NDArray[Any]:
    kind = np.float16 if values.min() >= _LEAST_HALF else np.float32
    return values.astype(kind)


def statistics(x: Embeddings, mean: Doubles | None = None) -> tuple[Tensors, dict[str, Any]]:
    """As `export.statistics`, but without axes: these would be as large as the profile.

    mean  (D,) of the rows, the same as the profile's center, so that it deflates to nothing;
          None: it is computed
    """
    if mean is None:
        mean = x.mean(axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean))
    if norm < _NO_MEAN:
        return {}, {}
    cosines = x @ (mean / norm).astype(np.float32)
    spread = np.sqrt(max(1 - norm**2, 0) / x.shape[1])
    tensors: Tensors = {
        "statistics.mean": mean.astype(np.float16),
        "statistics.basis": np.zeros((x.shape[1], 0), np.float16),
        "statistics.scale": np.array([spread], np.float32),
    }
    # Of few rows the quantile is their least, and many a row to come is below that.
    low = min(float(np.quantile(cosines, 0.001)), float(cosines.mean() - _LOW * cosines.std()))
    low = max(low, -1.0)
    floor = max(min(float(cosines.min()), low) - _FLOOR_MARGIN, -1.0)
    return tensors, {"low": round(low, 4), "floor": round(floor, 4), "axes": 0}


def _brief(fitted: Fitted) -> NDArray[np.uint16]:
    """Frequencies in few digits, and all the same in rows that are not used: they deflate better.

    Five significant bits cost a ten-thousandth of the payloads.
    """
    whole = fitted.frequencies.astype(np.int64)
    used = np.zeros(len(whole), bool)
    for row in (fitted.class_of, fitted.class_of + 1, fitted.flag_of):
        used[np.unique(row)] = True
    unit = np.exp2(np.maximum(np.frexp(whole)[1] - _DIGITS, 0)).astype(np.int64)
    coarse = (whole + unit // 2) // unit * unit
    coarse[~used] = 0
    top = whole.argmax(axis=1)
    top[~used] = 0
    rows = np.arange(len(whole))
    coarse[rows, top] += (1 << FREQUENCY_BITS) - coarse.sum(axis=1)
    certain = coarse[rows, top] == 1 << FREQUENCY_BITS  # 16 bits hold at most one less
    coarse[rows[certain], top[certain]] -= 1
    coarse[rows[certain], 1 - np.minimum(top[certain], 1)] += 1
    brief: NDArray[np.uint16] = coarse.astype(np.uint16)
    return brief


def file(
    tensors: Tensors,
    fitted: Fitted,
    bands: Sequence[int],
    *,
    hidden: int,
    restore: int,
    quality: int,
    measured: tuple[Tensors, Mapping[str, Any]],
    name: str,
    backbone: str,
    card: Mapping[str, Any],
) -> bytes:
    """The bytes of the profile file; quality: the default; measured: from `statistics`."""
    import safetensors.numpy

    stat_tensors, stat_meta = measured
    meta: dict[str, Any] = {
        "version": FILE_VERSION,
        "kind": "compact",
        "name": name,
        "backbone": backbone,
        "dim": len(tensors["center"]),
        "config": {
            "qualities": len(tensors["steps"]),
            "default_quality": quality,
            "rows": len(fitted.frequencies),
            "alphabet": fitted.frequencies.shape[1],
            "bands": list(bands),
            "hidden": hidden,
            "restore": restore,
        },
        "card": dict(card),
    }
    if stat_meta:
        meta["statistics"] = dict(stat_meta)
    everything = {
        **tensors,
        **stat_tensors,
        "tables.frequencies": _brief(fitted),
        "tables.class_of": fitted.class_of,
        "tables.flag_of": fitted.flag_of,
    }
    whole = {key: np.ascontiguousarray(value) for key, value in everything.items()}
    text = json.dumps(meta, sort_keys=True, ensure_ascii=True)
    return safetensors.numpy.save(whole, metadata={METADATA_KEY: text})
