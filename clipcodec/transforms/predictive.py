"""KLT with staged prediction (formats/predictive.md): the state is the best estimate so far.

The latent's coefficients are sent band after band. When a band is decoded it takes its place in
the estimate, and a small ReLU network then refines the whole of it: the bands still to come
(prediction) and those that are there (restoration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..concurrency import cached_property
from ..embeddings import Embeddings
from ..entropy.tables import Symbols

Floats = NDArray[np.float32]


class PredictiveTransform:
    """Analysis, refinement and synthesis of one profile. Weights become float32 on first use."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], bands: Sequence[int]) -> None:
        self._tensors = tensors
        self._ends = list(bands[1:])

    @staticmethod
    def shapes(
        dim: int, bands: Sequence[int], hidden: int, qualities: int
    ) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor, for bands with these bounds."""
        stages = len(bands) - 1
        return {
            "center": (dim,),
            "analysis": (dim, dim),
            "synthesis": (dim, dim),
            "scale": (dim,),
            "refine.hidden": (stages, dim, hidden),
            "refine.bias": (stages, hidden),
            "refine.quality": (stages, hidden),
            "refine.out": (stages, hidden, dim),
            "refine.gain": (qualities, stages, 2),
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

    @cached_property
    def _log_steps(self) -> Floats:
        return np.log(self._floats("steps"))

    @cached_property
    def _gain(self) -> Floats:
        return self._floats("refine.gain")

    def correction(self, estimate: Floats, band: int, qualities: Symbols) -> Floats:
        """(N, D): what the network of `band` would add to the estimate at a gain of one."""
        hidden, bias, quality, out = self._refine
        units = estimate @ hidden[band]
        units += bias[band] + self._log_steps[qualities - 1, None] * quality[band]
        added: Floats = np.maximum(units, 0, out=units) @ out[band]
        return added

    def refine(self, estimate: Floats, band: int, qualities: Symbols) -> None:
        """After `band` has been decoded at qualities (N,): refine the estimate (N, D) in place."""
        if not self._tensors["refine.hidden"].shape[2]:
            return
        added = self.correction(estimate, band, qualities)
        known, unknown = self._gain[qualities - 1, band, :, None].transpose(1, 0, 2)
        end = self._ends[band]
        added[:, :end] *= known
        added[:, end:] *= unknown
        estimate += added

    def synthesise(self, y: Floats) -> Embeddings:
        """Coefficients (N, D) → embeddings (N, D), not yet of unit norm."""
        x: Embeddings = y @ self._synthesis + self._center
        return x
