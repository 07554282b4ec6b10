"""Kind `predictive`: a KLT with staged prediction (formats/predictive.md).

All D coefficients, the matrices of analysis and synthesis in the file: made once for a model, and
installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import Shapes
from . import network
from .staged import Floats, StagedKind, StagedTransform, layout


class PredictiveTransform(StagedTransform):
    """Analysis, prediction, restoration and synthesis: D coefficients of D."""

    @staticmethod
    def shapes(
        bands: Sequence[int], hidden: int, restore: int, qualities: int
    ) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor: bands with these bounds, hidden units of the networks."""
        dim = bands[-1]
        square = (dim, dim)
        return {
            "center": (dim,), "analysis": square, "synthesis": square, "scale": (dim,),
        } | network.shapes(bands, hidden, restore, qualities)  # fmt: skip

    def _stored(self) -> tuple[NDArray[Any], Floats]:
        return self._tensors["synthesis"], np.ones(len(self.scale), np.float32)

    def _inverse(self) -> NDArray[Any]:
        return self._floats("analysis")


class PredictiveKind(StagedKind):
    """A trained profile of one width, at all rates."""

    name = "predictive"
    transform = PredictiveTransform

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'."""
        config = meta["config"]
        _, bands, hidden, restore = layout(meta, whole=True)
        return PredictiveTransform.shapes(
            bands, hidden, restore, config["qualities"]
        ) | StagedKind.level_shapes(config, bands)
