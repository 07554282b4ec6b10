"""Which rows are learned from, and which are held out: whole groups where these are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import TrainingError
from .data import Rows, thinned
from .folds import folds
from .recipe import FEW

COUNTED = 2000  # rows, at most, that the tables are fitted to
_MOST_HELD = 0.5  # share of the rows in the groups held out
_LEAST_GROUPS = 3


class Parts(NamedTuple):
    """Rows that are learned from, and rows that are not.

    fit     indices of the former
    held    (N, D) the latter, at most COUNTED
    groups  how many groups `held` is; None: single rows
    """

    fit: NDArray[np.int64]
    held: Embeddings
    groups: int | None


def divide(rows: Rows, given: Embeddings | None, seed: int) -> Parts:
    """Hold out `given` rows, or else some of the rows: whole groups where they are known.

    Raises TrainingError for too few groups, or where those held out would be most of the rows.
    """
    count = len(rows.x)
    if given is not None:
        return Parts(np.arange(count), thinned(given, COUNTED), None)
    if rows.groups is None:
        fit, kept = hold_out(count, seed)
        return Parts(fit, rows.x[kept], None)
    found = len(np.unique(rows.groups))
    if found < _LEAST_GROUPS:
        raise TrainingError(
            f"{found} groups among {count} rows: at least {_LEAST_GROUPS} are needed to hold some "
            "out; name others, or none"
        )
    (kept,) = folds(rows.groups, 1, min(COUNTED / count, _share(count)), seed)
    if len(kept) > _MOST_HELD * count:
        raise TrainingError(
            f"one group has {len(kept)} of {count} rows, too many to be held out: name smaller "
            "groups, or none"
        )
    fit = np.setdiff1d(np.arange(count), kept)
    groups = len(np.unique(rows.groups[kept]))
    return Parts(fit, rows.x[thinned(kept, COUNTED)], groups)


def hold_out(rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of rows to train on, and of rows for tables and result: a tenth, at most COUNTED; of
    few rows a fifth.
    """
    order = np.random.default_rng(seed).permutation(rows)
    count = min(COUNTED, max(1, round(rows * _share(rows))))
    return np.sort(order[count:]), np.sort(order[:count])


def _share(rows: int) -> float:
    return 0.2 if rows < FEW else 0.1
