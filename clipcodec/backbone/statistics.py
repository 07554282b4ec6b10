"""Does an embedding come from the network that a profile was trained on?"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

from ..errors import BackboneWarning, WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH_RULE_ROWS = 8


class EmbeddingStatistics(Protocol):
    """What `check_statistics` needs of a profile; see there."""

    @property
    def mean(self) -> NDArray[np.float32]: ...
    @property
    def low(self) -> float: ...
    @property
    def floor(self) -> float: ...


def check_statistics(
    embeddings: NDArray[np.float32], stats: EmbeddingStatistics, name: str, *, ours: bool = False
) -> None:
    """Do these (N, D) unit-norm rows come from the network on which `stats` were measured?

    CLIP's image embeddings lie in a cone around their mean direction `stats.mean`; another network
    has another cone, and the cosine between the two is that of random directions, 0 ± 1/sqrt(D).
    `stats.low` is the cosine that one training row in a thousand falls below; `stats.floor` lies
    0.15 under the lowest training row.

    * A row, or the mean of 8 or more rows, below `low`: one `BackboneWarning` per call.
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
    import numpy as np

    rows = np.asarray(embeddings, np.float32)
    if len(rows) == 0:
        return
    cosines = rows @ (stats.mean / np.linalg.norm(stats.mean))
    lowest, average = float(cosines.min()), float(cosines.mean())
    batch = len(rows) >= _BATCH_RULE_ROWS
    batch_limit = stats.floor + (stats.low - stats.floor) / 3
    if ours and (lowest < stats.floor or (batch and average < batch_limit)):
        raise WeightsError(
            f"the embeddings computed here are not those of backbone {name!r}: cosine to its mean"
            f" direction {lowest:.2f} at the lowest, {average:.2f} on average, where images have"
            f" {stats.low:.2f} or more: the weights file is that of another network"
        )
    count = int((cosines < stats.low).sum())
    if count or (batch and average < stats.low):
        warnings.warn(
            f"{count} of {len(rows)} embeddings are unlike those of backbone {name!r}: cosine to"
            f" its mean direction {lowest:.2f} at the lowest, where 99.9 % of images have"
            f" {stats.low:.2f} or more; if they come from another model, decoded vectors will be"
            " poor",
            BackboneWarning,
            stacklevel=2,
        )
