"""Reads training embeddings from files, and checks them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..embeddings import Embeddings, as_embeddings
from ..errors import EmbeddingError, OptionError, TrainingError
from ..kinds import MAX_DIM

MIN_ROWS = 1000
Groups = str | NDArray[Any]
"""What rows belong together: `files`, `folders` (of the files), or an id for each row (N,)."""


@dataclass(frozen=True)
class Rows:
    """Distinct rows of some files.

    x       (N, D) float32, unit norm
    counts  (N,) how often each occurs
    groups  (N,) number of the group of each, where groups are named
    """

    x: Embeddings
    counts: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None


def thinned(rows: NDArray[Any], most: int) -> NDArray[Any]:
    """At most so many of rows (N, …), at even distances."""
    return rows[:: -(-len(rows) // most)]


def load_embeddings(
    paths: Sequence[str | os.PathLike[str]], least: int = MIN_ROWS
) -> tuple[Embeddings, NDArray[np.int64]]:
    """As `load_rows` without groups: the rows and how often each occurs."""
    rows = load_rows(paths, least=least)
    return rows.x, rows.counts


def load_rows(
    paths: Sequence[str | os.PathLike[str]], groups: Groups | None = None, least: int = MIN_ROWS
) -> Rows:
    """The distinct rows of all files. A row of several groups is of the one where it comes first.

    Files are .npy, .npz, .safetensors, .pt or .csv, as `arrays.read` takes them. A file given twice
    counts twice.

    Raises TrainingError: a file that is unreadable or holds no embeddings (names the file), files
    of different widths, fewer than `least` distinct rows in all; OptionError: groups that do not
    fit the rows.
    """
    names = [os.fspath(path) for path in paths]
    parts = [_load(name) for name in names]
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise TrainingError(
            f"embedding files of several widths {sorted(widths)}: all must have one width"
        )
    if max(widths) > MAX_DIM:
        raise TrainingError(f"embeddings of width {max(widths)}: at most {MAX_DIM} is possible")
    rows = np.concatenate(parts)
    number = None if groups is None else _numbered(groups, names, [len(part) for part in parts])
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    if len(first) < least:
        raise TrainingError(
            f"{len(first)} distinct embeddings (of {len(rows)} rows): at least {least} are needed"
        )
    order = np.argsort(first)
    kept = first[order]
    return Rows(rows[kept], counts[order], None if number is None else number[kept])


def _numbered(groups: Groups, names: list[str], sizes: list[int]) -> NDArray[np.int64]:
    """(N,) the number of each row's group."""
    if isinstance(groups, str):
        if groups not in ("files", "folders"):
            raise OptionError(f"groups={groups!r}: expected files, folders or an id for each row")
        where = [os.path.realpath(name) for name in names]
        ids = np.array([os.path.dirname(w) for w in where] if groups == "folders" else where)
        ids = np.repeat(ids, sizes)
    else:
        ids = np.asarray(groups)
        if ids.shape != (sum(sizes),):
            raise OptionError(
                f"groups of shape {ids.shape}: expected one id for each of the {sum(sizes)} rows"
            )
    number: NDArray[np.int64] = np.unique(ids, return_inverse=True)[1].reshape(-1)
    return number


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
