"""Reads training embeddings from files, and checks them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..embeddings import Embeddings, as_embeddings
from ..errors import EmbeddingError, TrainingError
from ..kinds import MAX_DIM

MIN_ROWS = 1000


def load_embeddings(
    paths: Sequence[str | os.PathLike[str]], least: int = MIN_ROWS
) -> tuple[Embeddings, NDArray[np.int64]]:
    """The distinct rows (N, D) of all files, float32 of unit norm, and how often each occurs (N,).

    Files are .npy, .npz, .safetensors, .pt or .csv, as `arrays.read` takes them. A file given twice
    counts twice.

    Raises TrainingError: a file that is unreadable or holds no embeddings (names the file), files
    of different widths, fewer than `least` distinct rows in all.
    """
    parts = [_load(os.fspath(path)) for path in paths]
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise TrainingError(
            f"embedding files of several widths {sorted(widths)}: all must have one width"
        )
    if max(widths) > MAX_DIM:
        raise TrainingError(f"embeddings of width {max(widths)}: at most {MAX_DIM} is possible")
    rows = np.concatenate(parts)
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    if len(first) < least:
        raise TrainingError(
            f"{len(first)} distinct embeddings (of {len(rows)} rows): at least {least} are needed"
        )
    order = np.argsort(first)
    return rows[first[order]], counts[order]


def _load(path: str) -> Embeddings:
    try:
        kind = arrays.kind_of_file(path)
        if kind is not None:
            return as_embeddings(arrays.read(path, kind))
        with open(path, "rb"):
            pass
    except EmbeddingError as error:
        raise TrainingError(f"{path}: {error}") from error
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise TrainingError(f"{path}: {why}") from error
    raise TrainingError(
        f"{path} is not a file of embeddings: expected .npy, .npz, .safetensors, .pt or .csv"
    )
