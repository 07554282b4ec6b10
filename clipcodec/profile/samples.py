"""Embeddings drawn from a profile: to show and to estimate where no real ones are at hand.

What a profile of kind `predictive` or `compact` takes embeddings to be lies in its frequency tables
and its networks. Levels are drawn by the tables, as if a stream of random bits were decoded, and
the networks turn them into an embedding. A stream of such samples costs about what one of real
embeddings costs. A Gaussian with the same mean and covariance knows nothing of the networks, and
its samples are far harder to compress.
"""

from __future__ import annotations

import numpy as np

from ..embeddings import Embeddings
from ..entropy.tables import FREQUENCY_BITS
from ..errors import OptionError
from ..kinds.trellis import quantizer
from ..kinds.trellis.staged import StagedKind
from ..kinds.trellis.tables import Levels, LevelTables, Qualities
from .file import Profile

# The qualities at which samples are drawn, as shares of the profile's highest. Real embeddings are
# of unequal difficulty, and so are these: at a low quality the model leaves details out, and a
# sample is easy; at a high one it adds details that are independent of each other, and a sample is
# hard. With 40 to 90 of 100 the mean cosine at 50 bytes is that of real embeddings.
_LOWEST, _HIGHEST = 0.4, 0.9
_TRIES = 32  # at a group that is said to hold levels other than zero


def draw(profile: Profile, count: int, *, seed: int = 0) -> Embeddings:
    """Random embeddings (count, D), float32 of unit norm, equal for equal seeds; count >= 1.

    Of a trained profile of another kind they come from a Gaussian with the profile's statistics.

    Raises OptionError for a profile that says nothing about embeddings, such as `any/rotation`.
    """
    kind = profile.kind
    if isinstance(kind, StagedKind):
        rng = np.random.default_rng(seed)
        low, high = (max(1, round(share * kind.qualities)) for share in (_LOWEST, _HIGHEST))
        qualities = rng.integers(low, high + 1, count)
        levels = draw_levels(kind.engine(profile.dim or 0).tables, qualities, rng)
        rows = kind.reconstruct(levels, qualities)
        unit: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit
    if profile.statistics is None:
        raise OptionError(
            f"profile {profile.name!r} is not trained: it cannot draw samples, a trained one can"
        )
    return profile.statistics.draw(count, seed=seed)


def draw_levels(tables: LevelTables, qualities: Qualities, rng: np.random.Generator) -> Levels:
    """Levels (N, n) at qualities (N,), drawn by the tables (formats/trellis.md, section 4.2)."""
    bounds = tables.frequencies.cumsum(axis=1)
    classes, flags = tables.class_of[qualities - 1], tables.flag_of[qualities - 1]
    count = len(qualities)

    def symbols(rows: Levels) -> Levels:
        drawn = rng.integers(0, 1 << FREQUENCY_BITS, len(rows))
        found: Levels = (drawn[:, None] >= bounds[rows]).sum(axis=1)
        return found

    magnitudes = np.zeros((count, tables.count), np.int64)
    state, full = np.zeros(count, np.int64), np.ones(count, np.int64)
    for group, (a, b, first) in enumerate(tables.coded_groups):
        if first:
            state[:] = 0
        full = symbols(flags[np.arange(count), 2 * group + full])
        rows = np.flatnonzero(full)  # an empty group leaves the state as it is
        for _ in range(_TRIES):
            after = state[rows]
            for i in range(a, b):
                # the escape stands for itself: what is beyond has no table
                magnitudes[rows, i] = symbols(classes[rows, i] + (after & 1))
                after = quantizer.NEXT[after, magnitudes[rows, i] & 1]
            good = magnitudes[rows, a:b].any(axis=1)
            state[rows[good]] = after[good]
            rows = rows[~good]
            if not len(rows):
                break
    signs: Levels = rng.choice((-1, 1), magnitudes.shape)
    return magnitudes * signs
