"""Any source of streams → parts of it, which are decoded one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..columns import Columns, unpack_columns
from ..container import Container
from ..container.blocks import ids_of, streams_of
from ..devices import TOGETHER, used
from ..embeddings import Embeddings
from ..errors import DecodeError, placed, raise_rows
from ..profile.registry import ANY_BACKBONE, ProfileLike
from ..system.arrow import as_column
from ..system.shown import brief

BLOCK = 8192  # streams decoded at a time: enough for several threads of `decode_batch`
_WIDTH = 768  # for wider embeddings fewer
_VALUES = 2048  # taken from an Arrow column at a time


Places = NDArray[np.int64]
Ids = Callable[[], "list[str | None]"]


class WidthError(DecodeError):
    """A stream that is whole, but of another width than the others."""


class Part(NamedTuple):
    """Some streams of a source, which all have one width.

    first    place of the first one in the source
    streams  cut into their parts, not decoded; those that hold the first one are the first
    dim      width D of the embeddings
    rows     places of all of them, if they do not follow one another
    ids      gives theirs, if the source has ids
    """

    first: int
    streams: list[Columns]
    dim: int
    rows: Places | None = None
    ids: Ids | None = None

    def places(self, at: int = 0) -> int | Places:
        """What `placed` takes for the streams from `at` on."""
        return self.first + at if self.rows is None else self.rows[at:]


def codec_of(source: Any, profile: ProfileLike, device: str | None = None) -> Codec:
    """Choose what decodes a source of streams.

    Args:
        source: A container, or any source of streams.
        profile: The profile given, if any.
        device: Where it decodes large batches, as for `Codec`; None: where the source's codec does.

    Returns:
        A codec with this profile, which also decodes by one that the container carries; without a
        profile, the container's own.

    Examples:
        >>> from clipcodec.retrieval import codec_of
        >>> photos = clipcodec.open("photos.clpc")
        >>> codec_of(photos, None) is photos.codec
        True
    """
    own = getattr(source, "codec", None)
    if not isinstance(own, Codec):
        return Codec(profile, device=device)
    codec = own if profile is None else own.with_profile(profile)
    return codec if device is None else codec.with_device(device)


def decoded(source: Any, codec: Codec) -> Iterator[Embeddings]:
    """Decode a source of streams, some thousands at a time.

    Args:
        source: As for `clipcodec.search`.
        codec: What decodes it, see `codec_of`.

    Yields:
        (n, D) float32, rows of unit norm, in order.

    Raises:
        DecodeError: Names the streams at fault by their position in the source.

    Examples:
        >>> from clipcodec.retrieval import codec_of, decoded
        >>> photos = clipcodec.open("photos.clpc")
        >>> [rows.shape for rows in decoded(photos, codec_of(photos, None))]
        [(100, 512)]
    """
    for part in parts(source, codec):
        yield decode(codec, part)


def parts(
    source: Any, codec: Codec, dim: int | None = None, rows: Places | None = None,
    *, named: bool = False,
) -> Iterator[Part]:  # fmt: skip
    """The streams of a source, some thousands at a time.

    dim   width that they must have; None: that of the first, whose header says it
    rows  places of those that are wanted, in order; None: all. The source can be indexed then.
    named  whether ids are wanted of `rows`
    """
    items = _items(source)  # also checks that it is one
    if rows is not None:
        items = iter(_taken(source, rows[:1])[0])
    if dim is None:
        head = list(islice(items, 1))
        if not head:
            return
        with placed(0 if rows is None else rows):
            dim = codec.parse_batch(head)[0].dim
        items = chain(head, items)
    most = TOGETHER if used(codec.device) else BLOCK
    first, size = 0, max(1, min(most, most * _WIDTH // dim))
    if rows is not None:
        for at in range(0, len(rows), size):
            own = rows[at : at + size]
            streams, ids = _taken(source, own, named=named)
            with placed(own):
                columns = parse_rows(codec, streams, dim)
            yield Part(int(own[0]), columns, dim, own, ids)
        return
    cut = _cut_container(source, size) if isinstance(source, Container) else _cut(items, size)
    for streams, ids in cut:
        with placed(first):
            columns = parse_rows(codec, streams, dim)
        yield Part(first, columns, dim, None, ids)
        first += len(streams)


def _cut_container(container: Container, size: int) -> Iterator[tuple[Sequence[Any], Ids]]:
    for _, piece in container._blocks.pieces(size):
        yield streams_of(piece), partial(ids_of, piece)


def _taken(source: Any, rows: Places, *, named: bool = False) -> tuple[Sequence[Any], Ids | None]:
    """The streams at some places, and what gives their ids."""
    if isinstance(source, Container):
        streams, ids = source._blocks.gathered(rows, with_ids=named)
        return streams, lambda: ids
    if hasattr(source, "to_pylist"):
        try:
            return source.take(rows).to_pylist(), None
        except NotImplementedError:  # of columns of views
            return [source[i].as_py() for i in rows.tolist()], None
    return [source[i] for i in rows.tolist()], None


def check_backbone(part: Part, backbone: str) -> None:
    """Raise DecodeError naming the streams whose embeddings another model than this one made.

    A profile that takes any embeddings does not say which model made them.
    """
    odd = {
        row: f"of profile {group.profile.name}, whose embeddings {group.profile.backbone} makes, "
        f"and what it is compared with is of {backbone}: keep streams of each model apart"
        for group in part.streams
        if group.profile.backbone not in (ANY_BACKBONE, backbone)
        for row in group.rows.tolist()
    }
    if odd:
        with placed(part.places()):
            raise DecodeError.of_rows(odd)


def decode(codec: Codec, part: Part) -> Embeddings:
    """The embeddings (n, D) of a part. Raises DecodeError naming streams by their place."""
    with placed(part.places()):
        return codec._decode_columns(part.streams)


def parse_rows(codec: Codec, streams: Sequence[Any], dim: int) -> list[Columns]:
    """Streams cut into their parts; the columns with the first one come first.

    Raises DecodeError; WidthError unless they have this width.
    """
    groups = sorted(codec._parse_columns(streams), key=lambda group: int(group.rows[0]))
    if all(group.dim == dim for group in groups):
        return groups
    suspects = {0: (groups[0], 0)}  # `dim` may be what the first one says
    for group in groups:
        if group.dim != dim:
            suspects |= {row: (group, i) for i, row in enumerate(group.rows.tolist())}
    faults: dict[int, DecodeError] = {}
    for row, (group, i) in sorted(suspects.items(), key=itemgetter(0)):
        try:
            unpack_columns(group.part(slice(i, i + 1)))  # a damaged header may say any width
        except DecodeError as error:
            faults[row] = error
        else:
            if group.dim != dim:
                words = (
                    f"{group.dim} dimensions, expected {dim} as in the others: keep "
                    "streams of each model apart"
                )
                faults[row] = WidthError(words)
    raise_rows(faults)
    return groups


def _cut(items: Iterator[Any], size: int) -> Iterator[tuple[Sequence[Any], None]]:
    while some := list(islice(items, size)):
        yield some, None


def _items(source: Any) -> Iterator[Any]:
    source = as_column(source)
    if hasattr(source, "column_names"):
        raise DecodeError(
            f"{type(source).__name__} is a table: give its column of streams, table['NAME']"
        )
    if isinstance(source, (bytes, bytearray, memoryview, str)) or not (
        isinstance(source, Iterable) or hasattr(source, "to_pylist")
    ):
        name = brief(source) if isinstance(source, str) else "…"
        also = "; an index has a method of its own, index.search" * hasattr(source, "decode_blocks")
        raise DecodeError(
            f"{type(source).__name__} is not a source of streams: give a container "
            f"(clipcodec.open({name})), several streams, or an Arrow column of them{also}"
        )
    if not hasattr(source, "to_pylist"):
        return iter(source)
    # Arrow would give objects of its own
    return (
        stream
        for at in range(0, len(source), _VALUES)
        for stream in source.slice(at, _VALUES).to_pylist()
    )
