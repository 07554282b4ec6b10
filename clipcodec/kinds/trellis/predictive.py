"""KLT with staged prediction (formats/predictive.md): the state is the best estimate so far.

The latent's coefficients are sent band after band. When a band is decoded it takes its place in
the estimate, and a small ReLU network then refines the whole of it: the bands still to come
(prediction) and those that are there (restoration).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy.tables import Symbols
from ...system.forks import cached_property
from ..exact import ExactProduct

Floats = NDArray[np.float32]
Product = Callable[[Floats], NDArray[Any]]
_LATENT_REACH = 1024  # standard deviations that exact products tell apart
_UNIT_REACH = 64


def _of_first(weights: Floats) -> Product:
    """A product with as many of the first columns as there are weights."""
    return lambda x: x[:, : len(weights)] @ weights


class PredictiveTransform:
    """Analysis, refinement and synthesis of one profile. Weights become floats on first use.

    exact  with products that no order of summation changes, at half the speed: for the encoder,
           whose symbols must not depend on the company that an embedding is in
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[Any]], bands: Sequence[int], *, exact: bool = False
    ) -> None:
        self._tensors = tensors
        self._ends = list(bands[1:])
        self._exact = exact

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

    def _product(self, weights: Floats, reach: Floats | float) -> Product:
        return ExactProduct(weights, reach) if self._exact else lambda x: x @ weights

    @cached_property
    def _analysis(self) -> Product:
        return self._product(self._floats("analysis"), 2.0)

    @cached_property
    def _synthesis(self) -> Product:
        return self._product(self._floats("synthesis"), _LATENT_REACH * self.spread)

    @cached_property
    def _refine(self) -> list[tuple[Product, Floats, Floats, Product]]:
        """The networks work on coefficients divided by `scale`: folded into their matrices."""
        scale = self.spread
        stages: list[tuple[Product, Floats, Floats, Product]] = []
        for hidden, bias, quality, out in zip(
            *(self._floats(f"refine.{name}") for name in ("hidden", "bias", "quality", "out")),
            strict=True,
        ):
            into = self._product(hidden / scale[:, None], _LATENT_REACH * scale)
            if not stages and not self._exact:  # all after the first band is zero yet
                into = _of_first(hidden[: self._ends[0]] / scale[: self._ends[0], None])
            units = np.abs(bias) + np.abs(quality) + np.sqrt((hidden * hidden).sum(axis=0))
            stages.append((into, bias, quality, self._product(out * scale, _UNIT_REACH * units)))
        return stages

    @cached_property
    def spread(self) -> Floats:
        """(D,) standard deviation of each coefficient."""
        return self._floats("scale")

    def analyse(self, x: Embeddings) -> Floats:
        """Embeddings (N, D) → coefficients (N, D), of decreasing variance."""
        y: Floats = np.asarray(self._analysis(x - self._center), np.float32)
        return y

    @cached_property
    def _log_steps(self) -> Floats:
        return np.log(self._floats("steps"))

    @cached_property
    def _gain(self) -> Floats:
        return self._floats("refine.gain")

    def correction(self, estimate: Floats, band: int, qualities: Symbols) -> Floats:
        """(N, D): what the network of `band` would add to the estimate at a gain of one."""
        hidden, bias, quality, out = self._refine[band]
        units = hidden(estimate)
        units += bias + self._log_steps[qualities - 1, None] * quality
        added: Floats = out(np.maximum(units, 0, out=units))
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
        x: Embeddings = np.asarray(self._synthesis(y) + self._center, np.float32)
        return x
