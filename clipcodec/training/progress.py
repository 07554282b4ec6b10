"""How far a training is, and what it would give by now."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

_EVERY = 30.0  # seconds between two estimates
_SHARE = 0.08  # of the time, at most, that estimates take


class Moment(NamedTuple):
    """What is told while networks train.

    share    of the first phase, by far the longest one, that is done: 0 … 1
    seconds  since it began
    cosine   the newest estimate of the mean cosine of held-out rows at 50 bytes; None: none yet
    new      whether the estimate was made just now
    """

    share: float
    seconds: float
    cosine: float | None
    new: bool


Progress = Callable[[Moment], object]


class Watch:
    """Called after each step; now and then it estimates.

    estimate  gives the cosine
    seconds   that an estimate takes
    cosine    before the first step
    """

    def __init__(
        self, progress: Progress, estimate: Callable[[], float], seconds: float, cosine: float
    ) -> None:
        self._progress, self._estimate, self._cosine = progress, estimate, cosine
        self._began = time.perf_counter()
        self._next = self._after(seconds)
        progress(Moment(0.0, 0.0, cosine, True))

    def _after(self, seconds: float) -> float:
        return time.perf_counter() + max(_EVERY, seconds / _SHARE)

    def __call__(self, share: float) -> None:
        before = time.perf_counter()
        new = before >= self._next
        if new:
            self._cosine = self._estimate()
            self._next = self._after(time.perf_counter() - before)
        self._progress(Moment(share, time.perf_counter() - self._began, self._cosine, new))
