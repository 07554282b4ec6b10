"""The embeddings of one search, what each attempt at them is worth, and the best so far.

All that is as long as embeddings are wide lives here; the search itself (rate.py, approach.py) sees
one number for each embedding. An engine on another device brings its own `Held`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import placed
from .aim import Aim, foreseen
from .curve import cosines_of, generator
from .engine import Attempt, Engine
from .noticed import Noticed

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

_NOTICED = 0.3  # squared error that a divergence of one nat counts as much as
_GAMMA = 0.5  # of the step that would undo the divergence, were it linear
_FARTHEST = 3.0  # that a step goes, in quantiser steps
_DITHER = 0.15  # of moves at random: standard deviation, in quantiser steps
ZERO_NORM = 1e-6  # a vector shorter than this has no direction


class Held:
    """N embeddings x (N, D) of unit norm.

    turns    how often `moves` moves their coefficients
    texts    (M, D), unit norm: whose probabilities should stay, if there are turns
    quality  (N,) of the best attempt at each, and so its `levels` (N, n)
    """

    def __init__(
        self, engine: Engine, x: Embeddings, turns: int = 0, texts: Embeddings | None = None
    ) -> None:
        self.engine, self.x, self.turns = engine, x, turns
        self.latent = engine.transform.analyse(x)
        self.levels = np.zeros(self.latent.shape, np.int64)
        self.quality = np.ones(len(x), np.int64)
        self.noticed = Noticed(texts, x) if turns and texts is not None else None
        self._until = np.zeros(
            (len(x), len(engine.tables.bands))
        )  # of each row's last free attempt
        self._shift: Floats | None = None  # (N, n) by which the coefficients are moved
        self._decoded = self.latent.copy() if turns else self.latent  # of each row's last attempt

    def attempt(
        self,
        rows: Symbols,
        qualities: Symbols,
        factor: Doubles | float,
        room: Doubles | float | None = None,
    ) -> Attempt:
        """Quantise some rows, each at its quality and with λ times its factor.

        room  bits that each message should fill, as far as attempts without it say how
        """
        factors = np.broadcast_to(factor, len(rows)).astype(np.float32)
        y = self.latent[rows]
        aim = None
        if room is not None:
            each = np.broadcast_to(np.asarray(room, np.float64), len(rows))
            aim = Aim(each, foreseen(self._until[rows], each))
        with placed(rows):
            if self._shift is None:
                found = self.engine.attempt(y, qualities, factors, aim)
            else:
                found = self.engine.attempt(y + self._shift[rows], qualities, factors, aim)
                found.y = y
        if aim is None:
            self._until[rows] = found.until
        if self.turns:
            self._decoded[rows] = found.latent
        return found

    def lost(self, attempt: Attempt, rows: Symbols, wanted: Flags) -> Doubles:
        """(n,) what is lost: the squared error in the transform's metric, and what texts notice.

        rows    (n,) which the attempt was at
        wanted  (n,) of which alone it is needed: of others it is infinite
        """
        lost = np.full(len(wanted), np.inf)
        where = np.flatnonzero(wanted)
        if len(where):
            part = attempt.part(where)
            lost[where] = part.error
            if self.noticed is not None:
                y = self.engine.transform.synthesise(part.latent)
                lost[where] += _NOTICED * self.noticed.divergence(y, rows[where])
        return lost

    def sizes(self, attempt: Attempt) -> NDArray[np.int64]:
        """(n,) bytes of the payloads."""
        return self.engine.coder.sizes(attempt.levels, attempt.bits)

    def cosines(self, attempt: Attempt, rows: Symbols) -> Doubles:
        """(n,) between what was asked for and what is decoded."""
        return cosines_of(self.x[rows], self.engine.transform.synthesise(attempt.latent))

    def without_direction(self, attempt: Attempt) -> Flags:
        """(n,) rows whose levels are all zero and decode to a vector of norm zero."""
        found: Flags = np.asarray(~attempt.levels.any(axis=1))
        where = np.flatnonzero(found)
        if len(where):
            x = self.engine.transform.synthesise(attempt.part(where).latent)
            found[where] = np.linalg.norm(x, axis=1) < ZERO_NORM
        return found

    def keep(self, attempt: Attempt, where: Symbols, rows: Symbols) -> None:
        """Keep these of an attempt as the best at these rows."""
        self.levels[rows] = attempt.levels[where]
        self.quality[rows] = attempt.qualities[where]

    def moves(self) -> Iterator[None]:
        """For each turn, move the coefficients, starting from the last attempts."""
        if not self.turns:
            return
        rng = generator()
        self._shift = np.zeros_like(self.latent)
        for _ in range(self.turns):
            step = self.engine.steps[self.quality - 1][:, None]
            if self.noticed is None:
                normal = rng.standard_normal(self.latent.shape[1], np.float32)
                self._shift = _DITHER * step * normal
            else:
                encoder = self.engine.transform
                divergence, up = self.noticed.gradient(encoder.synthesise(self._decoded))
                gradient = encoder.pull(up)
                power = np.maximum((gradient * gradient).sum(axis=1), 1e-30)
                length = np.minimum(
                    _GAMMA * divergence / power, _FARTHEST * step[:, 0] / np.sqrt(power)
                )
                self._shift = (self._shift - length[:, None] * gradient).astype(np.float32)
            yield
        self._shift = None
