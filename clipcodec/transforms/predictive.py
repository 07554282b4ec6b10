"""KLT with staged prediction (formats/predictive.md): the state is the best estimate so far.

The latent's coefficients are sent band after band. When a band is decoded it takes its place in
the estimate, and a small ReLU network then refines the whole of it: the bands still to come
(prediction) and those that are there (restoration).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings

Floats = NDArray[np.float32]


class PredictiveTransform:
    """Analysis, refinement and synthesis of one profile. Weights become float32 on first use."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._tensors = tensors

    @staticmethod
    def shapes(dim: int, bands: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor."""
        return {
            "center": (dim,),
            "analysis": (dim, dim),
            "synthesis": (dim, dim),
            "scale": (dim,),
            "refine.hidden": (bands, dim, hidden),
            "refine.bias": (bands, hidden),
            "refine.quality": (bands, hidden),
            "refine.out": (bands, hidden, dim),
        }

    def _floats(self, name: str) -> Floats:
        return np.ascontiguousarray(self._tensors[name], np.float32)

    @cached_property
    def _center(self) -> Floats:
        return self._floats("center")

    @cached_property
    def _analysis(self) -> Floats:
        return self._floats("analysis")

    @cached_property
    def _synthesis(self) -> Floats:
        return self._floats("synthesis")

    @cached_property
    def _refine(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The networks work on coefficients divided by `scale`: folded into their matrices."""
        scale = self._floats("scale")
        hidden = self._floats("refine.hidden") / scale[:, None]
        out = self._floats("refine.out") * scale
        return hidden, self._floats("refine.bias"), self._floats("refine.quality"), out

    def analyse(self, x: Embeddings) -> Floats:
        """Embeddings (N, D) → coefficients (N, D), of decreasing variance."""
        y: Floats = np.asarray((x - self._center) @ self._analysis, np.float32)
        return y

    def refine(self, estimate: Floats, band: int, log_step: Floats) -> None:
        """After `band` has been decoded: refine the estimate (N, D) in place.

        log_step  (N, 1), logarithm of the quantiser's step
        """
        hidden, bias, quality, out = self._refine
        if hidden.shape[2]:
            units = estimate @ hidden[band]
            units += bias[band] + log_step * quality[band]
            estimate += np.maximum(units, 0, out=units) @ out[band]

    def synthesise(self, y: Floats) -> Embeddings:
        """Coefficients (N, D) → embeddings (N, D), not yet of unit norm."""
        x: Embeddings = y @ self._synthesis + self._center
        return x
