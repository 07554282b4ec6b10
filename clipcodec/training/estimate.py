"""The cosine at 50 bytes while networks train: some held-out rows through the real encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bitstream import DIGEST_BYTES
from ..embeddings import Embeddings
from ..errors import RateError
from ..kinds.trellis import rate
from ..kinds.trellis.engine import Engine
from ..kinds.trellis.tables import LevelTables
from ..target import Target
from . import level_tables
from .data import thinned
from .klt import ERROR

if TYPE_CHECKING:
    from .trainer import Trainer

SIZE = 50  # bytes of a whole stream
ROWS = 200
HEADER = 1 + DIGEST_BYTES + 1  # bytes of a private profile's stream before its payload
_AROUND = 2.4  # steps of the qualities tried: the typical one, times or divided by this at most
_SEARCHED = 17  # attempts of the rate search for each row, about
_BY_QUALITY = ("log_step", "predict.gain", "restore.gain", "steps", "weights")


@dataclass
class _Measured:
    """What `rate.search` asks of a kind."""

    own: Engine
    qualities: int
    profile_name: str = "in training"
    default_quality: int = 1

    def engine(self, width: int) -> Engine:
        return self.own


class Estimate:
    """How well a `Trainer` does by now: a call takes about a second.

    A profile of some qualities is made, those that rows need at 50 bytes, with tables of its own,
    fitted to the very rows that are measured: these are few, so it is an estimate.

    rows  (N, D) that the trainer does not learn from; ROWS of them are taken
    """

    def __init__(self, trainer: Trainer, rows: Embeddings) -> None:
        self._trainer = trainer
        self._rows = thinned(rows, ROWS)
        self._some = self._typical()

    def _typical(self) -> NDArray[np.int64]:
        """The qualities around the one at which rows take 50 bytes, by the variances alone."""
        trainer = self._trainer
        theta = ERROR * trainer.steps.astype(np.float64)[:, None] ** 2
        bits = 0.5 * np.log2(np.maximum(trainer.scale**2 / theta, 1)).sum(axis=1)
        middle = np.abs(bits - 8 * (SIZE - HEADER)).argmin()
        shift = np.log(trainer.steps / trainer.steps[middle])
        return np.flatnonzero(np.abs(shift) <= np.log(_AROUND))

    @property
    def attempts(self) -> int:
        """How often a call quantises a row, about."""
        grid = level_tables.FIRST_GRID + level_tables.GRID
        return len(self._rows) * (grid + _SEARCHED)

    def __call__(self) -> float:
        """The mean cosine."""
        trainer, some = self._trainer, self._some
        tensors = {
            name: tensor[some] if name in _BY_QUALITY else tensor
            for name, tensor in trainer.tensors().items()
        }
        steps, weights = tensors["steps"], tensors["weights"]
        transform = trainer.form.transform(tensors, trainer.bands)
        fitted = level_tables.fit(
            transform, transform.analyse(self._rows), trainer.bands, steps, weights,
            scale=trainer.scale.astype(np.float64), rounds=2, floor=trainer.floor,
        )  # fmt: skip
        tables = LevelTables(fitted.frequencies, fitted.class_of, fitted.flag_of, trainer.bands)
        kind = _Measured(Engine(transform, tables, steps, weights), len(some))
        try:
            levels, qualities = rate.search(kind, self._rows, Target(max_bytes=SIZE), HEADER)
        except RateError:  # so few qualities do not reach it for every row
            return float("nan")
        y = transform.synthesise(kind.own.latent(levels, qualities))
        cosines = (y * self._rows).sum(axis=1) / np.maximum(np.linalg.norm(y, axis=1), 1e-12)
        return float(cosines.mean())
