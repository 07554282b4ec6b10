"""Parts of a source → blocks of numbers to be multiplied with queries.

These are embeddings or, where that is the same and less work, dequantised symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..columns import unpack_columns
from ..errors import placed
from ..kinds.trellis import RotationKind
from ..profile import registry
from ..system.threads import in_threads
from .sources import BLOCK, Part, decode

_ROWS = 2048  # dequantised at a time by a thread
_LARGEST = 127  # of int8


@dataclass(frozen=True)
class Block:
    """Embeddings (n, D) of unit norm, or their coefficients under `any/rotation`.

    values  (n, D) float32 or int8
    scale   (n,) float32, which makes coefficients unit vectors; None: `values` are embeddings
    """

    values: NDArray[Any]
    scale: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        from ..system.shown import array, shown

        return shown("retrieval.Block", lambda: [array(self.values)])

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def equals(self, other: Block) -> bool:
        return bool((self.values == other.values).all())

    def fits(self, other: Block) -> bool:
        """Whether both can be one block, see `joined`."""
        return (
            len(self.values) + len(other.values) <= BLOCK
            and self.values.dtype == other.values.dtype
            and (self.scale is None) == (other.scale is None)
        )


def joined(parts: Sequence[Block]) -> Block:
    """Blocks that fit each other, as one."""
    values = np.concatenate([part.values for part in parts])
    scales = [part.scale for part in parts if part.scale is not None]
    return Block(values, np.concatenate(scales) if scales else None)


def block_of(codec: Codec, part: Part) -> Block:
    """The symbols of a part where they can be searched as they are, else its embeddings.

    Raises DecodeError naming streams by their place in the source.
    """
    return _from_symbols(part) or Block(decode(codec, part))


def rounded(coefficients: NDArray[np.float32], least: float = 0.0) -> Block:
    """Rows (n, D) as whole numbers of at most 127, with the scale that makes them unit vectors.

    least  smallest step of the rounding; with 1, whole numbers that are small enough stay as they
           are
    """
    peak = np.abs(coefficients).max(axis=1, keepdims=True)
    whole = np.rint(coefficients / np.maximum(peak / np.float32(_LARGEST), np.float32(least)))
    return Block(whole.astype(np.int8), _inverse_norms(whole))


def rotation() -> RotationKind:
    """The kind of `any/rotation`."""
    kind = registry.by_name(registry.UNTRAINED).kind
    assert isinstance(kind, RotationKind)
    return kind


def _from_symbols(part: Part) -> Block | None:
    """Dequantised symbols, if all streams are of `any/rotation`; else None."""
    streams, *others = part.streams
    if others or streams.profile.name != registry.UNTRAINED:
        return None

    def work(at: int) -> NDArray[np.float32]:
        with placed(part.first + at):
            return rotation().grid(unpack_columns(streams.part(slice(at, at + _ROWS))))

    grid = np.concatenate(in_threads(work, range(0, len(streams.rows), _ROWS)))
    return Block(grid, _inverse_norms(grid))


def _inverse_norms(values: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float64] = np.linalg.norm(values.astype(np.float64), axis=1)
    return (1 / norms).astype(np.float32)
