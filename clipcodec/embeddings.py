"""Any array of embeddings → checked float32 rows of unit norm."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EmbeddingError

Embeddings = NDArray[np.float32]


def as_embeddings(x: Any, dim: int | None = None) -> Embeddings:
    """Rows (N, D) of any real dtype and norm, as contiguous float32 of unit norm.

    Raises EmbeddingError naming the first row that is zero or not finite, or the shape when it is
    not (N, `dim`).
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
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise EmbeddingError(f"embedding {int(np.argmin(finite))} holds NaN or infinite values")
    # scaled by its largest value first: squares of huge or tiny floats leave the range of float64
    peak = np.abs(array).max(axis=1, keepdims=True, initial=0)
    if not peak.all():
        raise EmbeddingError(f"embedding {int(np.argmin(peak))} is zero and has no direction")
    scaled = array / peak
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.ascontiguousarray(unit, dtype=np.float32)


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
    # float32 keeps batches fast; whatever it cannot hold is kept in float64
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite
            return array.astype(np.float32 if narrow else np.float64, copy=False)
    except ValueError as error:  # nothing, of a shape that only narrower numbers can have
        raise EmbeddingError(f"embeddings of shape {array.shape}: {error}") from error


def _is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")  # a tensor can only be given where torch is loaded already
    return torch is not None and isinstance(x, torch.Tensor)
