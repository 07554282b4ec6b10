"""../held.py on a device: what is as wide as embeddings stays there, the search runs here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....embeddings import Embeddings
from ....entropy import Symbols
from ..aim import Aim, foreseen
from ..engine import Engine
from ..tables import SEED_SIGNS
from .arithmetic import tensor
from .attempts import Attempt, Quantizer
from .sums import row_sums
from .transform import Transform

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

_FEWEST = 256  # rows of an attempt: fewer are left to the processor, which is faster for them


class Worker(Protocol):
    """What attempts need of the `DeviceEngine`."""

    host: Engine
    device: torch.device
    transform: Transform

    @property
    def quantizer(self) -> Quantizer: ...
    def has_direction(self, quality: int) -> bool: ...


@dataclass
class DeviceAttempt:
    """N embeddings, quantised once; see `engine.Attempt`.

    found, y   on the device; None: it was not tried
    bits, qualities, signs   (N,), here; signs: how many levels are not zero
    """

    found: Attempt | None
    y: Tensor | None
    bits: Doubles
    qualities: Symbols
    signs: Symbols


class DeviceHeld:
    """`Held` for an effort of 1. What it finds is the same, but for rows that are `undone`.

    x       (N, D), on the device
    undone  (N,) rows that the device leaves to the processor, whatever the search makes of them
    levels  (n, N) int32, on the device
    """

    turns = 0

    def __init__(self, engine: Worker, x: Embeddings) -> None:
        self._engine, self._device = engine, engine.device
        self.x = tensor(x, self._device)
        self._latent = engine.transform.analyse(self.x)
        self.levels = torch.zeros(self._latent.T.shape, dtype=torch.int32, device=self._device)
        self.quality = np.ones(len(x), np.int64)
        self.undone: Flags = np.zeros(len(x), np.bool_)
        self.noticed = None
        # of each row's last free attempt
        self._until = np.zeros((len(x), len(engine.host.tables.bands)))

    def attempt(
        self,
        rows: Symbols,
        qualities: Symbols,
        factor: Doubles | float,
        room: Doubles | float | None = None,
    ) -> DeviceAttempt:
        if len(rows) < _FEWEST:
            self.undone[rows] = True
            return DeviceAttempt(None, None, np.ones(len(rows)), qualities, np.zeros_like(rows))
        aim = None
        if room is not None:
            each = np.broadcast_to(np.asarray(room, np.float64), len(rows))
            aim = Aim(each, foreseen(self._until[rows], each))
        factors = np.broadcast_to(factor, len(rows)).astype(np.float32)
        weights = (self._engine.host.weights[qualities - 1] * factors).astype(np.float32)
        y = self._latent if self._all(rows) else self._latent[tensor(rows, self._device)]
        found = self._engine.quantizer.attempt(
            y, tensor(qualities - 1, self._device), tensor(weights, self._device), aim
        )
        self._leave(rows, found.wrong)
        until: Doubles = _here(found.until)
        if aim is None:
            self._until[rows] = until
        signs = _here((found.levels != 0).sum(0))
        return DeviceAttempt(found, y, until[:, -1].copy(), qualities, signs)

    def lost(self, attempt: DeviceAttempt, rows: Symbols, wanted: Flags) -> Doubles:
        lost = np.full(len(wanted), np.inf)
        where = np.flatnonzero(wanted)
        if len(where) and attempt.y is not None:
            off = self._some(attempt.y, where) - self._decoded(attempt, where)
            lost[where] = _here(row_sums(off * off))
        return lost

    def sizes(self, attempt: DeviceAttempt) -> NDArray[np.int64]:
        levels = np.arange(SEED_SIGNS) < attempt.signs[:, None]  # as many as count
        return self._engine.host.coder.sizes(levels.astype(np.int64), attempt.bits)

    def cosines(self, attempt: DeviceAttempt, rows: Symbols) -> Doubles:
        if attempt.found is None:
            return np.full(len(rows), -1.0)
        given, right = self._engine.transform.synthesise(
            self._decoded(attempt, np.arange(len(rows)))
        )
        self._leave(rows, ~right)
        found = _cosines(self._some(self.x, rows), given)
        return np.where(np.isfinite(found), found, -1.0)

    def without_direction(self, attempt: DeviceAttempt) -> Flags:
        found: Flags = attempt.signs == 0
        for quality in np.unique(attempt.qualities[found]).tolist():
            if self._engine.has_direction(quality):
                found &= attempt.qualities != quality
        return found

    def keep(self, attempt: DeviceAttempt, where: Symbols, rows: Symbols) -> None:
        if attempt.found is not None and len(rows):
            columns = attempt.found.levels.index_select(1, tensor(where, self._device))
            self.levels.index_copy_(1, tensor(rows, self._device), columns)
            self.quality[rows] = attempt.qualities[where]

    def moves(self) -> Iterator[None]:
        return iter(())

    def _decoded(self, attempt: DeviceAttempt, where: Symbols) -> Tensor:
        """(n, …) coefficients of some of an attempt, as decoded."""
        assert attempt.found is not None
        latent = self._some(attempt.found.estimate, where)
        if latent is attempt.found.estimate:
            latent = latent.clone()
        which = tensor(attempt.qualities[where] - 1, self._device)
        self._engine.transform.restore(latent, which)
        return latent

    def _some(self, rows: Tensor, where: Symbols) -> Tensor:
        """Some rows of a tensor, which may be all."""
        if len(where) == len(rows) and _rising(where):
            return rows
        return rows[tensor(where, self._device)]

    def _all(self, rows: Symbols) -> bool:
        return len(rows) == len(self.quality) and _rising(rows)

    def _leave(self, rows: Symbols, which: Tensor) -> None:
        self.undone[rows[_here(which)]] = True


def _rising(rows: Symbols) -> bool:
    return bool((np.diff(rows) == 1).all())


def _cosines(x: Tensor, y: Tensor) -> Doubles:
    """`curve.cosines_of`; numpy's roots, as in `transform.unit_rows`."""
    x, y = x.to(torch.float64), y.to(torch.float64)
    norms = np.sqrt(_here(row_sums(x * x) * row_sums(y * y)))
    cosines: Doubles = _here(row_sums(x * y)) / np.maximum(norms, 1e-30)
    return cosines


def _here(values: Tensor) -> NDArray[Any]:
    found: NDArray[Any] = values.cpu().numpy()
    return found
