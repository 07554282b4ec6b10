"""Any array of embeddings → checked float32 rows of unit norm."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np
import numpy.ma  # else imported on first use, which a fork might cut
from numpy.typing import NDArray

from .errors import ClipcodecError, EmbeddingError, collected, placed, raise_merged

Embeddings = NDArray[np.float32]
_CHUNK = 2048  # rows in float64 at a time


def as_embeddings(x: Any, dim: int | None = None) -> Embeddings:
    """Rows (N, D) of any real dtype and norm, as contiguous float32 of unit norm.

    dim  the width they must have; None: any

    Equal values give equal rows, whatever their dtype, memory order and batch. Raises as `as_rows`
    and `normalise` do.
    """
    rows = as_rows(x)
    if dim is not None and rows.shape[1] != dim:
        raise EmbeddingError(f"embeddings of shape {rows.shape}: expected (N, {dim})")
    return normalise(rows)


def as_embedding(x: Any) -> Embeddings:
    """One embedding (D,), checked as in `as_embeddings`; returned as a row (1, D)."""
    array = _real_array(x)
    if array.ndim != 1 or not len(array):
        raise EmbeddingError(
            f"embedding of shape {array.shape}: expected (D,); encode_embeddings takes many"
        )
    with placed(None):
        return normalise(array[None])


def as_rows(x: Any) -> NDArray[Any]:
    """Rows (N, D) as they are; arrays, memory maps among them, are not copied.

    Raises EmbeddingError for what is not numbers, or not of shape (N, D).
    """
    array = _real_array(x)
    if array.shape == (0,):
        return array.reshape(0, 0)  # an empty list
    if array.ndim != 2 or not array.shape[1]:
        one = "; encode_embedding takes one" if array.ndim == 1 else ""
        raise EmbeddingError(f"embeddings of shape {array.shape}: expected (N, D){one}")
    return array


def normalise(rows: NDArray[Any]) -> Embeddings:
    """Rows (N, D) of any norm as float32 of unit norm.

    Raises EmbeddingError naming the rows that are zero or not finite.
    """
    try:
        unit = np.empty(rows.shape, np.float32)
    except ValueError as error:  # no rows, of a width that only narrower numbers can have
        raise EmbeddingError(f"embeddings of shape {rows.shape}: {error}") from error
    faults: list[ClipcodecError] = []
    for at in range(0, len(rows), _CHUNK):
        with collected(faults, at):
            unit[at : at + _CHUNK] = _normalise(rows[at : at + _CHUNK])
    raise_merged(faults)
    return unit


def _normalise(rows: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):  # what float64 cannot hold is refused
        x = np.ascontiguousarray(rows, np.float64)
    # scaled by its largest value first: squares of huge or tiny floats leave the range of float64
    peak = np.abs(x).max(axis=1, keepdims=True)
    if not (np.isfinite(peak) & (peak > 0)).all():
        zero, infinite = np.flatnonzero(peak == 0), np.flatnonzero(~np.isfinite(peak))
        raise EmbeddingError.of_rows(
            dict.fromkeys(zero.tolist(), "all zero, which has no direction")
            | dict.fromkeys(infinite.tolist(), "NaN or infinite values")
        )
    x = x / peak
    norms: NDArray[np.float64] = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = x / norms
    return unit


def squared_norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 1) sums of squares of rows (N, D), added in one order on every machine.

    The upper half is added to the lower half until one number is left (formats/predictive.md).
    """
    squares = rows * rows
    width = squares.shape[1]
    while width > 1:
        half = (width + 1) // 2
        squares[:, : width - half] += squares[:, half:width]
        width = half
    return squares[:, :1]


def forget_pages(x: Any) -> None:
    """Tell the system that the pages read of a read-only memory map are not needed any more.

    Without it the process seems to hold the whole file, and is killed first when memory is short.
    """
    if isinstance(x, np.memmap) and x.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        x._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _real_array(x: Any) -> NDArray[Any]:
    try:
        if _is_torch_tensor(x):
            x = x.detach().cpu()
            if not (x.is_complex() or x.dtype == sys.modules["torch"].bool):
                x = (x.float() if x.is_floating_point() and x.itemsize <= 4 else x.double()).numpy()
        array = np.asarray(x)
    except Exception as error:  # foreign array types raise nearly anything
        raise EmbeddingError(f"{type(x).__name__} is not an array of numbers: {error}") from error
    if isinstance(x, np.ma.MaskedArray):
        raise EmbeddingError("a masked array: fill or drop the masked values first")
    if array.dtype.kind not in "fiu":
        raise EmbeddingError(f"embeddings of dtype {array.dtype}: expected real numbers")
    return array


def _is_torch_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")  # a tensor can only be given where torch is loaded already
    return torch is not None and isinstance(x, torch.Tensor)
