"""Kind `predictive`: a KLT with staged prediction (formats/predictive.md).

The latent's coefficients are sent band after band. When a band is decoded it takes its place in
the estimate. A small ReLU network then refines the whole estimate: it predicts the bands still to
come and restores those that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import WeightsError
from ...system.forks import cached_property
from ..base import MAX_DIM, Shapes, Tensors, config_of, integer
from ..exact import ExactProduct
from . import quantizer
from .engine import Engine
from .kind import SIZES, TrellisKind

Floats = NDArray[np.float32]
_LEAST_SCALE = 1e-18  # its inverse, times a weight, is a float32 still
Product = Callable[[NDArray[Any]], NDArray[Any]]
_LATENT_RANGE = 1024  # standard deviations within which exact products are exact
_UNIT_RANGE = 64
_STEEPEST = 1024.0  # of a gradient, in nats


def _of_first(weights: Floats) -> Product:
    """x ↦ x[:, :k] · weights (k, m): all later columns are zero."""
    return lambda x: x[:, : len(weights)] @ weights


class PredictiveTransform:
    """Analysis, refinement and synthesis of one profile. Weights become float32 on first use.

    exact  with products that no order of summation changes, at half the speed: for the encoder,
           whose symbols for an embedding must not depend on the batch around it
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

    def _product(self, weights: Floats, limit: Floats | float) -> Product:
        return ExactProduct(weights, limit) if self._exact else lambda x: x @ weights

    @cached_property
    def _analysis(self) -> Product:
        return self._product(self._floats("analysis"), 2.0)

    @cached_property
    def _synthesis(self) -> Product:
        return self._product(self._floats("synthesis"), _LATENT_RANGE * self.scale)

    @cached_property
    def _refine(self) -> list[tuple[Product, Floats, Floats, Product]]:
        """The networks work on coefficients divided by `scale`: folded into their matrices."""
        scale = self.scale
        stages: list[tuple[Product, Floats, Floats, Product]] = []
        for hidden, bias, quality, out in zip(
            *(self._floats(f"refine.{name}") for name in ("hidden", "bias", "quality", "out")),
            strict=True,
        ):
            into = self._product(hidden / scale[:, None], _LATENT_RANGE * scale)
            if not stages and not self._exact:  # all after the first band is zero yet
                into = _of_first(hidden[: self._ends[0]] / scale[: self._ends[0], None])
            units = np.abs(bias) + np.abs(quality) + np.sqrt((hidden * hidden).sum(axis=0))
            stages.append((into, bias, quality, self._product(out * scale, _UNIT_RANGE * units)))
        return stages

    @cached_property
    def scale(self) -> Floats:
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

    @cached_property
    def _pull(self) -> Product:
        return self._product(np.ascontiguousarray(self._floats("synthesis").T), _STEEPEST)

    def pull(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """The gradient by embeddings (N, D), not yet of unit norm → by coefficients (N, D)."""
        pulled: NDArray[np.float64] = self._pull(gradient)
        return pulled


class PredictiveKind(TrellisKind):
    """A trained profile of one width, at all rates."""

    name = "predictive"

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(meta, tensors)
        self.dim = int(meta["dim"])
        if not (tensors["scale"].astype(np.float32) >= _LEAST_SCALE).all():
            raise WeightsError(f"scale is not positive, or below {_LEAST_SCALE}")
        bands = meta["config"]["bands"]
        self._engine = Engine(
            PredictiveTransform(tensors, bands),
            self.level_tables(bands),
            self.steps,
            self.weights,
            PredictiveTransform(tensors, bands, exact=True),
        )

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'."""
        config = config_of(meta, SIZES | {"bands", "hidden"})
        dim = integer(meta["dim"], 1, MAX_DIM, "dim")
        hidden = integer(config["hidden"], 0, MAX_DIM, "hidden")
        bands = config["bands"]
        if not isinstance(bands, list) or len(bands) < 2 or bands[0] != 0 or bands[-1] != dim:
            raise WeightsError(f"bands are {bands!r}, expected bounds from 0 to {dim}")
        for low, high in pairwise(bands):
            integer(high, low + 1, dim, "a band's bound")
        return PredictiveTransform.shapes(dim, bands, hidden, config["qualities"]) | (
            TrellisKind.table_shapes(
                config, dim, sum(len(quantizer.groups(a, b)) for a, b in pairwise(bands))
            )
        )

    def engine(self, width: int) -> Engine:
        return self._engine
