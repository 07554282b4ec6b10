"""What a caller may ask of the size or fidelity of a stream, and whether it was met.

All profiles of today have one fixed rate: a target is a condition to check, not yet one to search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError, RateError


@dataclass(frozen=True)
class Target:
    """At most one of quality (1 … 100), max_bytes (a whole stream) and min_cosine (0 … 1)."""

    quality: float | None = None
    max_bytes: int | None = None
    min_cosine: float | None = None

    def __post_init__(self) -> None:
        given = {k: v for k, v in vars(self).items() if v is not None}
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} contradict each other: give one of them")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(
                value, (int, float, np.integer, np.floating)
            ):
                raise OptionError(f"{name}={value!r} is not a number")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise OptionError(f"quality={self.quality} is not in 1 … 100")
        if self.max_bytes is not None and (not self.max_bytes >= 1 or self.max_bytes % 1 != 0):
            raise OptionError(f"max_bytes={self.max_bytes} is not a positive whole number")
        if self.min_cosine is not None and not 0 <= self.min_cosine <= 1:
            raise OptionError(f"min_cosine={self.min_cosine} is not in 0 … 1")


def check_fixed_rate(target: Target, profile: str) -> None:
    """Refuse what a profile of one rate cannot offer."""
    if target.quality is not None:
        raise OptionError(f"profile {profile} has one fixed rate: choose a profile, not a quality")


def check_sizes(target: Target, streams: list[bytes], profile: str) -> None:
    """Raise RateError for the first stream longer than `max_bytes`."""
    if target.max_bytes is None:
        return
    for i, stream in enumerate(streams):
        if len(stream) > target.max_bytes:
            raise RateError(
                f"embedding {i} takes {len(stream)} bytes with profile {profile}, "
                f"max_bytes is {target.max_bytes}: choose a profile of a lower rate"
            )


def check_cosines(target: Target, cosines: NDArray[np.float32], profile: str) -> None:
    """Raise RateError for the first decoded embedding below `min_cosine`."""
    if target.min_cosine is None:
        return
    for i in np.flatnonzero(~(cosines >= target.min_cosine)):
        raise RateError(
            f"embedding {i} reaches cosine {cosines[i]:.4f} with profile {profile}, "
            f"min_cosine is {target.min_cosine}: choose a profile of a higher rate"
        )
