"""Parts of a source → blocks of numbers to be multiplied with queries.

These are embeddings or, where that is the same and less work, dequantised symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..columns import unpack_columns
from ..embeddings import Embeddings, normalise
from ..errors import placed
from ..kinds.trellis import RotationKind
from ..profile import registry
from ..system.threads import in_threads
from .names import Names, joined_names
from .sources import BLOCK, Part, decode

_ROWS = 2048  # dequantised at a time by a thread
_LARGEST = 127  # of int8


@dataclass(frozen=True)
class Block:
    """Embeddings (n, D) of unit norm, or their coefficients under `any/rotation`.

    values  (n, D) float32 or int8
    scale   (n,) float32, which makes coefficients unit vectors; None: `values` are embeddings
    names   ids of the rows; None: not known here
    check   called before the values are used; raises an error if the file that they lie in is
            damaged
    """

    values: NDArray[Any]
    scale: NDArray[np.float32] | None = None
    names: Names | None = None
    check: Callable[[], None] | None = None

    def __repr__(self) -> str:
        from ..system.shown import array, shown

        return shown("retrieval.Block", lambda: [array(self.values)])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        """Width D of the rows."""
        return int(self.values.shape[1])

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

    def ready(self) -> None:
        """Raise DecodeError if the values are damaged."""
        if self.check is not None:
            self.check()

    def part(self, rows: slice | NDArray[Any]) -> Block:
        """Some of the rows. Raises DecodeError."""
        self.ready()
        scale = None if self.scale is None else self.scale[rows]
        names = None if self.names is None else self.names.part(rows)
        return Block(self.values[rows], scale, names)

    def named(self, names: Names | None) -> Block:
        """The same rows with these ids."""
        return Block(self.values, self.scale, names, self.check)

    def embeddings(self) -> Embeddings:
        """The rows as embeddings (n, D) float32 of unit norm. Raises DecodeError."""
        self.ready()
        if self.scale is None:
            return np.array(self.values, np.float32)
        engine = rotation().engine(self.values.shape[1])
        return normalise(engine.transform.synthesise(self.values.astype(np.float32)))


def joined(parts: Sequence[Block]) -> Block:
    """Blocks that fit each other, as one. Raises DecodeError."""
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        part.ready()
    values = np.concatenate([part.values for part in parts])
    scales = [part.scale for part in parts if part.scale is not None]
    names = [Names(len(part)) if part.names is None else part.names for part in parts]
    return Block(values, np.concatenate(scales) if scales else None, joined_names(names))


def merged(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same rows, those of small blocks together."""
    some: list[Block] = []
    for block in blocks:
        held = sum(map(len, some))
        if some and not (some[-1].fits(block) and held + len(block) <= BLOCK):
            yield joined(some)
            some = []
        some.append(block)
    if some:
        yield joined(some)


def selected(blocks: Iterable[Block], places: NDArray[np.int64]) -> Iterator[Block]:
    """The rows at some places, in order. Raises DecodeError."""

    def found() -> Iterator[Block]:
        first = 0
        for block in blocks:
            low, high = np.searchsorted(places, [first, first + len(block)])
            if high - low == len(block):
                yield block
            elif high > low:
                yield block.part(places[low:high] - first)
            first += len(block)

    return merged(found())


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
        with placed(part.places(at)):
            return rotation().grid(unpack_columns(streams.part(slice(at, at + _ROWS))))

    grid = np.concatenate(in_threads(work, range(0, len(streams.rows), _ROWS)))
    return Block(grid, _inverse_norms(grid))


def _inverse_norms(values: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float64] = np.linalg.norm(values.astype(np.float64), axis=1)
    return (1 / norms).astype(np.float32)
