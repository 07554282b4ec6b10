"""Any source of streams → parts of it, which are decoded one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import DecodeError, each_row, placed, raise_rows
from ..profile.registry import ProfileLike

BLOCK = 8192  # streams decoded at a time: enough for several threads of `decode_batch`
_NUMBERS = BLOCK * 768  # of their embeddings
_VALUES = 2048  # taken from an Arrow column at a time


class WidthError(DecodeError):
    """A stream that is whole, but of another width than those that it is among."""


class Part(NamedTuple):
    """Some streams of a source, which all have one width.

    first    place of the first one in the source
    streams  as the source gives them: anything, until they are parsed
    dim      width D of the embeddings
    """

    first: int
    streams: list[Any]
    dim: int


def codec_of(source: Any, profile: ProfileLike) -> Codec:
    """What decodes `source`: with the profile given, or as the container does."""
    own = getattr(source, "codec", None)
    return own if profile is None and isinstance(own, Codec) else Codec(profile)


def decoded(source: Any, codec: Codec) -> Iterator[Embeddings]:
    """The embeddings (n, D) of `source`, float32, unit norm, some thousands at a time.

    Raises DecodeError naming streams by their place in the source.
    """
    for part in parts(source, codec):
        yield decode(codec, part)


def parts(source: Any, codec: Codec, dim: int | None = None) -> Iterator[Part]:
    """The streams of a source, some thousands at a time.

    dim  width that they must have; None: that of the first, whose header says it
    """
    items = _items(source)
    if dim is None:
        head = list(islice(items, 1))
        if not head:
            return
        dim = codec.parse_batch(head)[0].dim
        items = chain(head, items)
    first, size = 0, max(1, min(BLOCK, _NUMBERS // dim))
    while streams := list(islice(items, size)):
        yield Part(first, streams, dim)
        first += len(streams)


def decode(codec: Codec, part: Part) -> Embeddings:
    """The embeddings (n, D) of a part. Raises DecodeError naming streams by their place."""
    with placed(part.first):
        return decode_rows(codec, part.streams, part.dim)


def decode_rows(codec: Codec, streams: Sequence[Any], dim: int) -> Embeddings:
    """N streams to embeddings (N, dim), float32, unit norm.

    Raises DecodeError naming streams at fault; WidthError for those of another width.
    """
    try:
        rows = codec.decode_batch(streams)
    except DecodeError:
        _check_widths(codec, streams, dim)
        raise
    if rows.shape[1] != dim:
        _check_widths(codec, streams, dim)
    return rows


def _check_widths(codec: Codec, streams: Sequence[Any], dim: int) -> None:
    """Raise DecodeError if there are streams of another width; nothing else is decoded."""
    widths: dict[int, list[int]] = {}
    for row, stream in enumerate(codec.parse_batch(streams)):
        widths.setdefault(stream.dim, []).append(row)
    if not {*widths} - {dim}:
        return
    widths[dim] = widths.get(dim, [])[:1]  # `dim` may be what this one says
    faults: dict[int, DecodeError] = {}
    for width, rows in widths.items():
        for row, damage in _damage(codec, streams, rows):  # which may have changed the header
            if damage is not None:
                faults[row] = damage
            elif width != dim:
                faults[row] = WidthError(f"{width} dimensions, expected {dim} as in the others")
    raise_rows(faults)


def _damage(
    codec: Codec, streams: Sequence[Any], rows: list[int]
) -> Iterator[tuple[int, DecodeError | None]]:
    """What is wrong with each of some streams that name one width."""

    def work(picks: list[int]) -> Embeddings:
        return codec.decode_batch([streams[rows[i]] for i in picks])

    for row, result in zip(rows, each_row(work, len(rows), DecodeError), strict=True):
        yield row, result if isinstance(result, DecodeError) else None


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
    # Arrow would give objects of its own
    return (
        stream
        for at in range(0, len(source), _VALUES)
        for stream in source.slice(at, _VALUES).to_pylist()
    )
