"""Any array of embeddings → checked float32 rows of unit norm."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np
import numpy.ma  # np.ma and np.unique would import it in the midst of work
from numpy.typing import NDArray

from .errors import EmbeddingError

Embeddings = NDArray[np.float32]
_CHUNK = 2048  # rows in float64 at a time


def as_embeddings(x: Any, dim: int | None = None) -> Embeddings:
    """Rows (N, D) of any real dtype and norm, as contiguous float32 of unit norm.

    Equal values give equal rows, whatever their dtype, layout and company. Raises as `as_rows` and
    `directions` do.
    """
    return directions(as_rows(x, dim))


def as_rows(x: Any, dim: int | None = None) -> NDArray[Any]:
    """Rows (N, D) as they are; arrays, memory maps among them, are not copied.

    Raises EmbeddingError for what is not numbers, or not of shape (N, `dim`).
    """
    array = _real_array(x)
    if array.shape == (0,):
        array = array.reshape(0, dim or 1)  # an empty list
    if array.ndim == 1:
        raise EmbeddingError(
            f"embeddings of shape {array.shape}: expected (N, {dim or 'D'}); "
            "encode_embedding takes one"
        )
    if array.ndim != 2 or (dim is not None and array.shape[1] != dim) or not array.shape[1]:
        expected = f"(N, {dim})" if dim else "(N, D)"
        raise EmbeddingError(
            f"embeddings of shape {array.shape}: expected {expected}; is this the right profile?"
        )
    return array


def directions(rows: NDArray[Any], first: int = 0) -> Embeddings:
    """Rows (N, D) to unit norm. first: number of the first, for errors.

    Raises EmbeddingError naming the first row that is zero or not finite.
    """
    try:
        unit = np.empty(rows.shape, np.float32)
    except ValueError as error:  # nothing, of a shape that only narrower numbers can have
        raise EmbeddingError(f"embeddings of shape {rows.shape}: {error}") from error
    for at in range(0, len(rows), _CHUNK):
        unit[at : at + _CHUNK] = _directions(rows[at : at + _CHUNK], first + at)
    return unit


def _directions(rows: NDArray[Any], first: int) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):  # what float64 cannot hold is refused
        x = np.ascontiguousarray(rows, np.float64)
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        at = first + int(np.argmin(finite))
        raise EmbeddingError(f"embedding {at} holds NaN or infinite values")
    # scaled by its largest value first: squares of huge or tiny floats leave the range of float64
    peak = np.abs(x).max(axis=1, keepdims=True)
    if not peak.all():
        at = first + int(np.argmin(peak))
        raise EmbeddingError(f"embedding {at} is zero and has no direction")
    x = x / peak
    norms: NDArray[np.float64] = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = x / norms
    return unit


def forget_pages(x: Any) -> None:
    """Tell the system that what was read of a read-only memory map is not needed any more.

    Else a process seems to hold the whole file, and is the first to be killed for it.
    """
    if isinstance(x, np.memmap) and x.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        x._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def as_embedding(x: Any, dim: int | None = None) -> Embeddings:
    """One embedding (D,), checked as in `as_embeddings`; returned as a row (1, D)."""
    array = _real_array(x)
    if array.ndim != 1:
        raise EmbeddingError(
            f"embedding of shape {array.shape}: expected ({dim or 'D'},); "
            "encode_embeddings takes many"
        )
    if dim is not None and len(array) != dim:
        raise EmbeddingError(
            f"embedding of shape {array.shape}: expected ({dim},); is this the right profile?"
        )
    return as_embeddings(array[None], dim)


def _real_array(x: Any) -> NDArray[Any]:
    try:
        if _is_tensor(x):
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


def _is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")  # a tensor can only be given where torch is loaded already
    return torch is not None and isinstance(x, torch.Tensor)
