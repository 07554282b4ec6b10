"""What the kinds `predictive` and `compact` share: a KLT with staged prediction.

The latent's coefficients are sent band after band. When a band is decoded it takes its place in
the estimate, and a small ReLU network predicts from it the bands still to come. After the last one
another network restores the whole: it brings what was quantised nearer the original. The kinds
differ in how their file holds the transform (formats/predictive.md, formats/compact.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ...errors import WeightsError
from ...system.forks import Lock, cached_property, loading
from ..base import MAX_DIM, OnDevice, Shapes, Sketch, Tensors, config_of, integer
from ..exact import ExactProduct
from . import network, quantizer, sketch
from .engine import Engine
from .kind import SIZES, TABLES, TrellisKind
from .network import DTYPES, Networks, grid

Floats = NDArray[np.float32]
Product = Callable[[NDArray[Any]], NDArray[Any]]
_LEAST_SCALE = 1e-18  # its inverse, times a weight, is a float32 still
_ROWS = 128  # of a matrix, checked at a time
_STEEPEST = 1024.0  # of a gradient, in nats


class StagedTransform(ABC):
    """Analysis, prediction, restoration and synthesis of one profile: n of D coefficients.

    Every result is the same in any batch and on any machine.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]], bands: Sequence[int]) -> None:
        self._tensors = tensors
        self.networks = Networks(tensors, bands, self.scale)

    @abstractmethod
    def _stored(self) -> tuple[NDArray[Any], Floats]:
        """The synthesis as the file has it, (n, D), and what to multiply each row by, (n,)."""

    @abstractmethod
    def _inverse(self) -> NDArray[Any]:
        """(D, n) the matrix of the analysis. For encoders alone."""

    def check(self) -> None:
        """Raise WeightsError if a sum could be too large to be exact."""
        network.check(self._tensors)
        stored, factor = self._stored()
        if not Synthesis.fits(stored, self._center, grid(self.scale) * factor):
            raise WeightsError("the sums of the synthesis may reach 2**53")

    def _floats(self, name: str) -> Floats:
        return np.ascontiguousarray(self._tensors[name], np.float32)

    @cached_property
    def scale(self) -> Floats:
        """(n,) standard deviation of each coefficient."""
        return self._floats("scale")

    @cached_property
    def _center(self) -> Floats:
        return self._floats("center")

    @cached_property
    def _analysis(self) -> Product:
        return ExactProduct(self._inverse(), 2.0)

    def analyse(self, x: Embeddings) -> Floats:
        """Embeddings (N, D) → coefficients (N, n), of decreasing variance."""
        y: Floats = np.asarray(self._analysis(x - self._center), np.float32)
        return y

    def predict(self, estimate: Floats, band: int, qualities: Symbols) -> None:
        """After `band` has been decoded at qualities (N,): predict the later ones, in place."""
        if self.networks.predict:
            self.networks.predict[band].apply(estimate, qualities)

    def restore(self, estimate: Floats, qualities: Symbols) -> None:
        """After all bands have been decoded: bring the estimate nearer the original, in place."""
        if self.networks.restore is not None:
            self.networks.restore.apply(estimate, qualities)

    def _matrix(self) -> Floats:
        """(n, D) the matrix of the synthesis."""
        stored, factor = self._stored()
        matrix: Floats = stored.astype(np.float32)
        matrix *= factor[:, None]
        return matrix

    def affine(self) -> tuple[Floats, Floats]:
        """The matrix (n, D) of the synthesis, and its center (D,)."""
        return self._matrix(), self._center

    @cached_property
    def _synthesis(self) -> Synthesis:
        return Synthesis(self._matrix(), self._center, grid(self.scale))

    def synthesise(self, y: Floats) -> Embeddings:
        """Coefficients (N, n) → embeddings (N, D), not yet of unit norm."""
        return self._synthesis(y)

    @cached_property
    def _pull(self) -> Product:
        return ExactProduct(np.ascontiguousarray(self._matrix().T), _STEEPEST)

    def pull(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """The gradient by embeddings (N, D), not yet of unit norm → by coefficients (N, n)."""
        pulled: NDArray[np.float64] = self._pull(gradient)
        return pulled


class Synthesis:
    """y ↦ y · synthesis + center, every partial sum exact (formats/predictive.md, section 4).

    Coefficients are rounded to multiples of 2**-COEFFICIENT_BITS of their grid, weights to
    multiples of 2**-WEIGHT_BITS: whole numbers whose sums float64 holds.
    """

    COEFFICIENT_BITS = 9
    WEIGHT_BITS = 28
    REACH_BITS = 22  # of the largest magnitude of a coefficient

    BITS = COEFFICIENT_BITS + WEIGHT_BITS

    def __init__(self, synthesis: Floats, center: Floats, unit: Floats) -> None:
        exact = unit.astype(np.float64)
        self._fine = 2.0**self.COEFFICIENT_BITS / exact
        self._weights = synthesis.astype(np.float64)
        self._weights *= (exact * 2.0**self.WEIGHT_BITS)[:, None]
        np.rint(self._weights, out=self._weights)
        self._center = np.rint(np.ldexp(center.astype(np.float64), self.BITS))

    @classmethod
    def fits(cls, synthesis: NDArray[Any], center: Floats, unit: Floats) -> bool:
        """Whether every partial sum is below 2**53, and float64 holds it."""
        sums = np.zeros(synthesis.shape[1])
        for at in range(0, len(unit), _ROWS):  # a file's check takes little memory beside the file
            rows = slice(at, at + _ROWS)
            sums += unit[rows].astype(np.float64) @ np.abs(synthesis[rows].astype(np.float32))
        weights = sums * 2.0**cls.WEIGHT_BITS
        most = 2.0**cls.REACH_BITS * (weights + len(unit)) + np.ldexp(np.abs(center), cls.BITS)
        return bool((most < 2.0**53).all())

    def __call__(self, y: Floats) -> Embeddings:
        fine = y * self._fine
        # a row with coefficients out of reach is divided by a power of two first
        places = np.frexp(np.abs(fine).max(axis=1, keepdims=True))[1] - self.REACH_BITS
        np.maximum(places, 0, out=places)
        if places.any():
            fine = np.ldexp(fine, -places)
        sums = np.rint(fine, out=fine) @ self._weights
        if places.any():
            sums = np.ldexp(sums, places)
        sums += self._center
        x: Embeddings = np.ldexp(sums, -self.BITS).astype(np.float32)
        return x


class Layout(NamedTuple):
    """Sizes that a profile's metadata says, all in range.

    bands  bounds from 0 to n, the number of coefficients
    """

    dim: int
    bands: list[int]
    hidden: int
    restore: int


def layout(meta: Mapping[str, Any], *, whole: bool) -> Layout:
    """The sizes in a profile's metadata; whole: n must be D. Raises WeightsError."""
    config = config_of(meta, SIZES | {"bands", "hidden", "restore"})
    dim = integer(meta["dim"], 1, MAX_DIM, "dim")
    hidden, restore = (integer(config[key], 0, MAX_DIM, key) for key in ("hidden", "restore"))
    bands = config["bands"]
    listed = isinstance(bands, list) and len(bands) >= 2 and bands[0] == 0
    if not listed or (whole and bands[-1] != dim):
        end = f"{dim}" if whole else f"at most {dim}"
        raise WeightsError(f"bands are {bands!r}, expected bounds from 0 to {end}")
    for low, high in pairwise(bands):
        integer(high, low + 1, dim, "a band's bound")
    return Layout(dim, bands, hidden, restore)


class StagedKind(TrellisKind):
    """A trained profile of one width, at all rates. Subclasses say which `transform` is theirs."""

    table_dtypes = TABLES | DTYPES
    transform: ClassVar[type[StagedTransform]]

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(meta, tensors)
        self.dim = int(meta["dim"])
        if not (tensors["scale"].astype(np.float32) >= _LEAST_SCALE).all():
            raise WeightsError(f"scale is not positive, or below {_LEAST_SCALE}")
        bands = meta["config"]["bands"]
        self.count = int(bands[-1])
        transform = self.transform(tensors, bands)
        transform.check()
        self._transform = transform
        self._sketches: Sequence[Sketch] | None = None
        self._engine = Engine(transform, self.level_tables(bands), self.steps, self.weights)
        self._on_device: dict[Any, OnDevice] = {}
        self._lock = Lock()

    @staticmethod
    def level_shapes(config: Mapping[str, Any], bands: Sequence[int]) -> Shapes:
        """Name and shape of the tensors of steps and tables. Raises WeightsError."""
        groups = sum(len(quantizer.groups(a, b)) for a, b in pairwise(bands))
        return TrellisKind.table_shapes(config, bands[-1], groups)

    def engine(self, width: int) -> Engine:
        return self._engine

    def sketches(self) -> Sequence[Sketch]:
        with self._lock:
            if self._sketches is None:
                parts = self._transform.networks.predict, *self._transform.affine()
                self._sketches = sketch.sketches(self._engine, *parts)
            return self._sketches

    def on_device(self, device: Any) -> OnDevice:
        with self._lock:
            if device not in self._on_device:
                with loading:  # torch
                    from .device import StagedOnDevice
                made = StagedOnDevice(self, self._engine, device)
                self._on_device[device] = made
            return self._on_device[device]
