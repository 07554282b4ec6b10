"""Search by inner product: float queries against compressed embeddings.

A stream of `any/rotation` is searched by its symbols: a rotation keeps inner products, so the query
is rotated instead of every row, and the step cancels as rows are of unit norm. All other profiles
end in a network, or in a product that the norm needs anyway: their rows are decoded.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .api import ProfileLike
from .codec import Codec
from .embeddings import Embeddings, as_embedding, as_embeddings
from .errors import DecodeError, EmbeddingError, OptionError
from .kinds.trellis import quantizer as trellis
from .kinds.trellis.kind import RotationKind
from .profile import registry
from .stream import unpack
from .system.forks import cached_property
from .system.threads import in_threads

_BLOCK = 8192  # streams decoded at a time: enough for several threads of `decode_batch`
_NUMBERS = _BLOCK * 768  # of their embeddings
_STEP = 2048  # rows scored at a time: they stay in cache
_QUERIES = 1024  # scored at a time
_LARGEST = 127


class Hits(NamedTuple):
    """What a search found: for each query the best first, of equal scores the first in the source.

    scores   (Q, k) float32, cosines of query and decoded embedding
    indices  (Q, k) int64, places in the source
    """

    scores: NDArray[np.float32]
    indices: NDArray[np.int64]


def search(source: Any, queries: Any, k: int = 10, *, profile: ProfileLike = None) -> Hits:
    """The k streams of `source` whose embeddings have the largest inner product with each query.

    source   an open container, a sequence or iterator of streams, or a pyarrow column of them
    queries  (D,) or (Q, D), image or text embeddings, any norm: taken at unit norm
    profile  a private profile's file; a container brings its own

    One pass, decoding block after block, whatever the number of queries; memory does not grow with
    the source. To search the same streams often, keep a `SearchIndex`. A source of N < k streams
    gives N hits. Raises EmbeddingError or OptionError for what is asked, DecodeError naming a
    stream at fault by its place.

    >>> scores, indices = search(clipcodec.open("photos.clpc"), query, k=10)
    """
    asked = _Queries(queries)
    return _scan(_blocks(source, codec_of(source, profile), asked), asked, _count(k))


class SearchIndex:
    """Embeddings of streams, decoded once and kept in memory to be searched many times.

    source   as for `search`; more may be added later
    exact    keep float32 rows, 4·D bytes each, which give the scores of `search`. Otherwise rows
             are kept rotated and rounded to int8, D + 4 bytes, and scores are off by 0.001 at
             most as a rule. Symbols of `any/rotation` are int8 already, save at the highest
             qualities, and kept as they are
    profile  a private profile's file; a container brings its own

    May be searched from many threads. Raises as `search` does.
    """

    def __init__(
        self, source: Any = (), *, exact: bool = False, profile: ProfileLike = None
    ) -> None:
        self._exact, self._profile = exact, profile
        self._blocks: list[_Block] = []
        self.add(source)

    def __len__(self) -> int:
        return sum(len(block.values) for block in self._blocks)

    @property
    def dim(self) -> int | None:
        """Width D of the embeddings; None while there are none."""
        return self._blocks[0].values.shape[1] if self._blocks else None

    @property
    def nbytes(self) -> int:
        """Memory that the embeddings take."""
        return sum(block.nbytes for block in self._blocks)

    def add(self, source: Any) -> None:
        """Append the streams of `source`: all, or none if one of them is damaged."""
        codec = codec_of(source, self._profile)
        new = [self._kept(block) for block in _blocks(source, codec, dim=self.dim)]
        blocks = list(self._blocks)
        for block in new:
            if blocks and blocks[-1].joins(block):
                block = _together([blocks.pop(), block])
            blocks.append(block)
        self._blocks = blocks  # at once: a search that is under way keeps the old ones

    def search(self, queries: Any, k: int = 10) -> Hits:
        """As the function `search`, on what has been added."""
        asked, blocks = _Queries(queries), self._blocks
        if blocks:
            asked.check(blocks[0].values.shape[1])
        return _scan(blocks, asked, _count(k))

    def _kept(self, block: _Block) -> _Block:
        if block.scale is not None:
            whole = _rounded(block.values, least=1.0)
            return block if self._exact and not whole.equals(block) else whole
        if self._exact:
            return block
        rotate = _rotation().engine(block.values.shape[1]).transform.analyse
        return _rounded(rotate(block.values))


def codec_of(source: Any, profile: ProfileLike) -> Codec:
    """What decodes `source`: with the profile given, or as the container does."""
    own = getattr(source, "codec", None)
    return own if profile is None and isinstance(own, Codec) else Codec(profile)


def decoded(source: Any, codec: Codec) -> Iterator[Embeddings]:
    """The embeddings of `source`, block after block; errors name streams by their place."""
    for first, streams, dim in _batches(source, codec, None):
        yield _decode(codec, streams, first, dim)


# --- from a source to blocks ---


@dataclass(frozen=True)
class _Block:
    """Embeddings (n, D), or their coefficients under `any/rotation`.

    scale  (n,) what makes coefficients unit vectors; None: these are embeddings
    """

    values: NDArray[Any]
    scale: NDArray[np.float32] | None = None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def equals(self, other: _Block) -> bool:
        return bool((self.values == other.values).all())

    def joins(self, other: _Block) -> bool:
        return (
            len(self.values) + len(other.values) <= _BLOCK
            and self.values.dtype == other.values.dtype
            and (self.scale is None) == (other.scale is None)
        )


def _together(parts: list[_Block]) -> _Block:
    """Blocks that `joins` each other, as one."""
    values = np.concatenate([part.values for part in parts])
    scales = [part.scale for part in parts if part.scale is not None]
    return _Block(values, np.concatenate(scales) if scales else None)


def _rounded(coefficients: NDArray[np.float32], least: float = 0.0) -> _Block:
    """Rows as directions of whole numbers: those of magnitude 127 and less as they are, if steps
    are `least` 1."""
    peak = np.abs(coefficients).max(axis=1, keepdims=True)
    whole = np.rint(coefficients / np.maximum(peak / np.float32(_LARGEST), np.float32(least)))
    return _Block(whole.astype(np.int8), _inverse_norms(whole))


def _inverse_norms(values: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float64] = np.linalg.norm(values.astype(np.float64), axis=1)
    return (1 / norms).astype(np.float32)


def _blocks(
    source: Any, codec: Codec, asked: _Queries | None = None, dim: int | None = None
) -> Iterator[_Block]:
    """Blocks of decoded rows or, where that is the same and less work, of dequantised symbols."""
    for first, streams, width in _batches(source, codec, dim):
        if asked is not None:
            asked.check(width)
        yield _from_symbols(codec, streams, width) or _Block(_decode(codec, streams, first, width))


def _batches(source: Any, codec: Codec, dim: int | None) -> Iterator[tuple[int, list[bytes], int]]:
    """(place of the first, streams, width) of one block after the other."""
    items = _items(source)
    first = 0
    rows = _rows(dim) if dim else 1
    while streams := list(islice(items, rows)):
        if dim is None:
            dim = codec.decode_batch(streams).shape[1]
        yield first, streams, dim
        first += len(streams)
        rows = _rows(dim)


def _rows(dim: int) -> int:
    return max(1, min(_BLOCK, _NUMBERS // dim))


def _items(source: Any) -> Iterator[Any]:
    if isinstance(source, (bytes, bytearray, memoryview, str)) or not (
        isinstance(source, Iterable) or hasattr(source, "to_pylist")
    ):
        raise DecodeError(
            f"{type(source).__name__} is not a source of streams: give a container "
            "(clipcodec.open), several streams, or an Arrow column of them"
        )
    if not hasattr(source, "to_pylist"):
        return iter(source)
    # Arrow's values are objects of their own
    return (
        stream
        for at in range(0, len(source), _STEP)
        for stream in source.slice(at, _STEP).to_pylist()
    )


def _decode(codec: Codec, streams: list[bytes], first: int, dim: int) -> Embeddings:
    """`decode_batch` of streams of one width, which errors name by their places in the source."""
    try:
        rows = codec.decode_batch(streams, first=first)
    except DecodeError:
        _check_widths(codec, streams, first, dim)  # says more
        raise
    if rows.shape[1] != dim:
        _check_widths(codec, streams, first, dim)
    return rows


def _check_widths(codec: Codec, streams: list[bytes], first: int, dim: int) -> None:
    for place, stream in enumerate(streams, first):
        try:
            width = codec.info(stream).dim
        except DecodeError as error:
            raise type(error)(f"stream {place}: {error}") from error
        if width != dim:
            raise DecodeError(
                f"stream {place} has {width} dimensions, those before it {dim}: search each apart"
            )


def _rotation() -> RotationKind:
    scheme = registry.by_name(registry.UNTRAINED).kind
    assert isinstance(scheme, RotationKind)
    return scheme


def _from_symbols(codec: Codec, streams: list[bytes], dim: int) -> _Block | None:
    """Dequantised levels, if all streams are whole ones of `any/rotation`."""
    try:
        owner = codec._open(streams[0])[1]
        if owner.name != registry.UNTRAINED:
            return None
        opened = [codec._open(stream) for stream in streams]
        if any(other is not owner or own.size != dim for _, other, own, _ in opened):
            return None

        def work(at: int) -> NDArray[np.float32]:
            part = opened[at : at + _STEP]
            levels = unpack(owner, part[0][0], [p for *_, p, _ in part], [b for *_, b in part])
            return trellis.dequantize(levels, [(0, dim)])

        grid = np.concatenate(in_threads(work, range(0, len(opened), _STEP)))
    except DecodeError:
        return None  # decoding names it
    return _Block(grid, _inverse_norms(grid))


# --- from blocks to hits ---


class _Queries:
    """Queries (Q, D) of unit norm, and, for blocks of coefficients, rotated as these are."""

    def __init__(self, queries: Any) -> None:
        try:
            one = np.ndim(queries) == 1
        except ValueError:  # ragged: said below
            one = False
        try:
            self.plain = as_embedding(queries) if one else as_embeddings(queries)
        except EmbeddingError as error:
            raise EmbeddingError(f"queries: {error}") from error

    def check(self, dim: int) -> None:
        if len(self.plain) and self.plain.shape[1] != dim:
            raise EmbeddingError(
                f"queries of {self.plain.shape[1]} dimensions, the source has {dim}: "
                "both must come from one backbone"
            )

    @cached_property
    def rotated(self) -> Embeddings:
        dim = self.plain.shape[1]
        rotated = _rotation().engine(dim).transform.analyse(self.plain)
        return rotated / np.float32(np.sqrt(dim))


class _Best:
    """The k best scores of each query so far, of equal ones the first; `k` columns or fewer."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self.scores = np.empty((queries, 0), np.float32)
        self.indices = np.empty((queries, 0), np.int64)

    def add(self, scores: NDArray[np.float32], first: int) -> None:
        """Scores (Q, n) of the rows from `first` on."""
        if self.scores.shape[1] < self._k:
            places = np.arange(first, first + scores.shape[1])
            self._merge(slice(None), scores, np.broadcast_to(places, scores.shape))
            return
        better = scores > self.scores[:, -1:]  # few, soon
        for i in np.flatnonzero(better.any(axis=1)).tolist():
            found = np.flatnonzero(better[i])
            self._merge(slice(i, i + 1), scores[None, i, found], found[None] + first)

    def _merge(
        self, queries: slice, scores: NDArray[np.float32], indices: NDArray[np.int64]
    ) -> None:
        both = np.concatenate([self.scores[queries], scores], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, : self._k]
        places = np.concatenate([self.indices[queries], indices], axis=1)
        kept = np.take_along_axis(both, order, 1), np.take_along_axis(places, order, 1)
        if queries == slice(None):
            self.scores, self.indices = kept
        else:
            self.scores[queries], self.indices[queries] = kept


def _scan(blocks: Iterable[_Block], queries: _Queries, k: int) -> Hits:
    count = len(queries.plain)
    parts = [slice(at, min(at + _QUERIES, count)) for at in range(0, count, _QUERIES)]
    best = [_Best(part.stop - part.start, k) for part in parts]
    first = 0
    for block in blocks:
        asked = queries.plain if block.scale is None else queries.rotated
        for at in range(0, len(block.values), _STEP):
            rows = block.values[at : at + _STEP].astype(np.float32, copy=False)
            for part, found in zip(parts, best, strict=True):
                scores = asked[part] @ rows.T
                if block.scale is not None:
                    scores *= block.scale[at : at + _STEP]
                found.add(scores, first)
            first += len(rows)
    if not best:
        return Hits(
            np.empty((0, min(k, first)), np.float32), np.empty((0, min(k, first)), np.int64)
        )
    return Hits(
        np.concatenate([found.scores for found in best]),
        np.concatenate([found.indices for found in best]),
    )


def _count(k: Any) -> int:
    try:
        count = operator.index(k)
    except TypeError:
        count = 0
    if count < 1:
        raise OptionError(f"k={k!r}: expected a whole number of hits, 1 or more")
    return count
