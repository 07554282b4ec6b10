"""Kind `compact`: as `predictive`, but small enough for a container to carry it.

The first n of D coefficients, the basis in eight bits, and no matrix for the analysis
(formats/compact.md): the encoder makes one from the basis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from ..base import Shapes, Tensors, integer
from ..exact import ExactProduct
from . import network
from .kind import TABLES
from .network import DTYPES
from .staged import Floats, StagedKind, StagedTransform, layout

MAX_BASIS = 1 << 24  # values: the sums below stay exact, and memory below a gigabyte
MAX_SHIFT = 30
_MOST = 127  # of a value of the basis that `rounded` makes
_GRAM_BITS = 40  # of the largest: a row has at most 2**12 values, as n² <= MAX_BASIS
_STEPS = 12  # of Newton's method, at most; two to nine as a rule
_CLOSE = 2.0**-8  # to the inverse before the last step, which squares it

Doubles = NDArray[np.float64]


class CompactTransform(StagedTransform):
    """Analysis, prediction, restoration and synthesis: n coefficients of D."""

    @staticmethod
    def shapes(
        dim: int, bands: Sequence[int], hidden: int, restore: int, qualities: int
    ) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor: bands with these bounds, hidden units of the networks."""
        rank = bands[-1]
        return {
            "center": (dim,), "basis": (rank, dim), "shift": (rank,), "scale": (rank,),
        } | network.shapes(bands, hidden, restore, qualities)  # fmt: skip

    def _stored(self) -> tuple[NDArray[Any], Floats]:
        shift = self._tensors["shift"].astype(np.int32)
        return self._tensors["basis"], np.ldexp(np.float32(1), -shift)

    def _inverse(self) -> Doubles:
        return pseudo_inverse(*self._stored())


def pseudo_inverse(basis: NDArray[np.int8], unit: Floats) -> Doubles:
    """(D, n) the analysis of a basis (n, D) whose row i counts unit_i times; the same everywhere.

    The rows S are nearly orthonormal as a rule, but for their rounding. Newton's method gives the
    inverse Z of G = S Sᵀ, by Z ← Z (2I − G Z), and Sᵀ Z is the pseudo-inverse (Ben-Israel 1965, "An
    Iterative Method for Computing the Generalized Inverse of an Arbitrary Matrix").

    Every sum is exact, so that it has no order. G is made of whole numbers of at most 2**14 · D,
    which is at most 2**28, times powers of two; the other factors are rounded (`ExactProduct`).
    """
    rows = basis.astype(np.float64)
    scaled = unit.astype(np.float64)
    gram = rows @ rows.T
    rows *= scaled[:, None]
    gram *= scaled[:, None]
    gram *= scaled
    # so coarse that a row's sum is exact
    grid = np.ldexp(1.0, np.frexp(np.abs(gram).max())[1] - _GRAM_BITS)
    gram = np.rint(gram / grid) * grid
    most = float(np.abs(gram).sum(axis=0).max())  # no eigenvalue is larger
    one = np.eye(len(gram))
    inverse = one if most < 2 else one / most
    for _ in range(_STEPS):
        left = one - _product(gram, inverse)
        inverse = _product(inverse, one + left)
        if np.abs(left).max() < _CLOSE:
            break
    return _product(inverse, rows).T


def _product(a: Doubles, b: Doubles) -> Doubles:
    return ExactProduct(b, np.abs(a).max(axis=0))(a)


def rounded(
    rows: NDArray[Any], coarsest: NDArray[Any] | float
) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Real rows (n, D) as a profile's `basis` and `shift`: rows ≈ basis · 2**-shift.

    coarsest  (n,) units of the rows at most, of which the largest power of two is taken; a row
              whose values need a larger one for eight bits gets that
    """
    largest = np.abs(rows).max(axis=1)
    asked = -np.floor(np.log2(np.broadcast_to(coarsest, largest.shape)))
    possible = np.floor(np.log2(_MOST / np.maximum(largest, 2.0**-MAX_SHIFT)))
    shift = np.clip(np.minimum(asked, possible), 0, MAX_SHIFT)
    whole = np.clip(np.rint(rows * np.exp2(shift)[:, None]), -_MOST, _MOST)
    return whole.astype(np.int8), shift.astype(np.uint8)


class CompactKind(StagedKind):
    """A trained profile of one width, at all rates, that takes some hundred kilobytes."""

    name = "compact"
    transform = CompactTransform
    table_dtypes = TABLES | DTYPES | {"basis": "int8", "shift": "uint8"}

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        most = int(tensors["shift"].max())
        if most > MAX_SHIFT:
            raise WeightsError(f"shift is {most}, expected integers in 0 … {MAX_SHIFT}")
        super().__init__(meta, tensors)

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'."""
        dim, bands, hidden, restore = layout(meta, whole=False)
        integer(dim * bands[-1], 1, MAX_BASIS, "the number of values of the basis")
        config = meta["config"]
        return CompactTransform.shapes(
            dim, bands, hidden, restore, config["qualities"]
        ) | StagedKind.level_shapes(config, bands)
