"""Where a profile's training embeddings lie: to tell a wrong backbone, and to draw samples."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import BackboneWarning, WeightsError

_BATCH_RULE_ROWS = 8


@dataclass(frozen=True)
class Statistics:
    """Where training embeddings lie, to tell a wrong backbone and to draw samples.

    mean   (D,) float32, mean of unit-norm embeddings
    low    cosine to the mean direction that one training row in a thousand falls below
    floor  cosine to the mean direction that no real embedding falls below
    basis  (D, k) float32, leading principal axes
    scale  (k + 1,) float32, standard deviation along each axis, then along every other direction
    """

    mean: NDArray[np.float32]
    low: float
    floor: float
    basis: NDArray[np.float32]
    scale: NDArray[np.float32]

    def draw(self, count: int, seed: int) -> NDArray[np.float32]:
        """`count` unit-norm embeddings (count, D) from the Gaussian with these statistics."""
        rng = np.random.default_rng(seed)
        rest = rng.standard_normal((count, len(self.mean)))
        rest -= rest @ self.basis @ self.basis.T
        main = rng.standard_normal((count, len(self.scale) - 1)) * self.scale[:-1]
        rows = self.mean + main @ self.basis.T + self.scale[-1] * rest
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        samples: NDArray[np.float32] = unit.astype(np.float32)
        return samples


def check_statistics(
    embeddings: NDArray[np.float32], stats: Statistics, name: str, *, ours: bool = False
) -> bool:
    """Do these (N, D) unit-norm rows come from the network on which `stats` were measured?

    Warns and returns True if not; where we made them (`ours`) it may raise WeightsError.

    CLIP's image embeddings lie in a cone around their mean direction `stats.mean`; another network
    has another cone, and the cosine between the two is that of random directions, 0 ± 1/sqrt(D).
    `stats.low` is the cosine that one training row in a thousand falls below; `stats.floor` lies
    0.15 under the lowest training row.

    * A row below `low`, or of 8 rows and more several rows and 1 % of them, or their mean: one
      `BackboneWarning` per call.
    * `ours` (the rows were computed here by the backbone `name`), and a row below `floor`, or the
      mean of 8 or more rows below floor + (low - floor) / 3: `WeightsError`. Without `ours` a
      warning is all, since somebody's own vector may be anything.

    Measured with OpenAI's ViT-B/32: low 0.31, floor 0.01, batch limit 0.11. Of 16,576 images of
    four other data sets none is below 0.36; the lowest of 48,399 training rows has 0.157, so that
    even a batch of its copies passes, and the eight lowest average 0.23. Random networks lie in
    ±0.07, and a random direction is below the batch limit in 99 of 100 cases, below `low` always.
    ViT-L/14: low 0.39, floor 0.11, batch limit 0.21; lowest real row 0.26; random directions in
    ±0.15.
    """
    if len(embeddings) == 0:
        return False
    mean = stats.mean.astype(np.float64)  # whose squares float32 may not hold
    cosines = embeddings @ (mean / np.linalg.norm(mean)).astype(np.float32)
    lowest, average = float(cosines.min()), float(cosines.mean())
    batch = len(embeddings) >= _BATCH_RULE_ROWS
    batch_limit = stats.floor + (stats.low - stats.floor) / 3
    if ours and (lowest < stats.floor or (batch and average < batch_limit)):
        raise WeightsError(
            f"the embeddings computed here are not those of backbone {name!r}: cosine to its mean"
            f" direction {lowest:.2f} at the lowest, {average:.2f} on average, where images have"
            f" {stats.low:.2f} or more: the weights file is that of another network"
        )
    count = int((cosines < stats.low).sum())
    ordinary = max(1, len(embeddings) // 100) if batch else 0  # a few odd ones are in any batch
    if count > ordinary or (batch and average < stats.low):
        warnings.warn(
            f"{count} of {len(embeddings)} embeddings are unlike those of backbone {name!r}: cosine"
            f" to its mean direction {lowest:.2f} at the lowest, where 99.9 % of images have"
            f" {stats.low:.2f} or more; if they come from another model, decoded vectors will be"
            " poor",
            BackboneWarning,
            stacklevel=_caller(),
        )
        return True
    return False


def _caller() -> int:
    """The stack level at which code outside this package called in."""
    level, frame = 1, sys._getframe(1)
    package = __name__.partition(".")[0] + "."
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(package):
        level, frame = level + 1, frame.f_back
    return level
