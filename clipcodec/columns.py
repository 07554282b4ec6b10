"""Many streams as columns: one object for all with the same header, where `parse` makes one a row.

`parse_columns` gives the parts that `stream.parse` gives, and the same errors. It parses one stream
for each header that occurs, quality and width included; numpy finds which others begin alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bitstream import Header
from .entropy import Payloads, Symbols
from .errors import DecodeError, raise_rows
from .profile import Profile
from .stream import (
    ParsedStream,
    parse,
    parse_all,
    qualities_of,
    remembered,
    seed_of,
    several,
    unpack_payloads,
)
from .text_form import as_bytes

Integers = NDArray[np.int64]
_FEW = 64  # of so many streams, one object for each is made in less time than arrays for all
_NONE = -1  # no header yet


@dataclass(frozen=True)
class Columns:
    """Streams of one profile, coder and number of symbols.

    rows       (N,) where they are in the input, increasing
    count      symbols of each
    qualities  (N,) 0 for a fixed rate
    seeds      (N,) state of the check value after header and digest
    payloads   N
    """

    profile: Profile
    header: Header
    count: int
    rows: Integers
    qualities: Symbols
    seeds: Integers
    payloads: Sequence[bytes]

    @property
    def dim(self) -> int:
        """Width D of their embeddings."""
        return self.profile.dim or self.count

    def part(self, some: slice) -> Columns:
        """Some of the rows."""
        return Columns(
            self.profile, self.header, self.count, self.rows[some], self.qualities[some],
            self.seeds[some], self.payloads[some],
        )  # fmt: skip

    def take(self, some: Integers) -> Columns:
        """Some of the rows, at places in increasing order, as an input of their own."""
        payloads = self.payloads
        own = payloads.take(some) if isinstance(payloads, Payloads) else [payloads[i] for i in some]
        return Columns(
            self.profile, self.header, self.count, np.arange(len(some)), self.qualities[some],
            self.seeds[some], own,
        )  # fmt: skip


def parse_columns(
    streams: Iterable[bytes | str], owner: Callable[[Header], Profile]
) -> list[Columns]:
    """Cut streams into their parts, as `parse_all` does, but into columns.

    Raises DecodeError naming the streams at fault: the same rows and words as `parse_all`.
    """
    if not isinstance(streams, (list, Payloads)):
        streams = list(several(streams))
    if len(streams) < _FEW:
        return columns_of(parse_all(streams, owner))
    owner, faults = remembered(owner), dict[int, DecodeError]()

    def parsed(row: int) -> ParsedStream | None:
        try:
            return parse(streams[row], owner)
        except DecodeError as error:
            faults[row] = error
            return None

    whole = _joined(streams)
    for row in np.flatnonzero(whole.lengths == 0).tolist():  # or no bytes at all
        parsed(row)
    found, which = _headers(whole, np.flatnonzero(whole.lengths), parsed)
    raise_rows(faults)
    return _grouped(whole, found, which)


def columns_of(parsed: Sequence[ParsedStream]) -> list[Columns]:
    """Streams that are parsed already, as columns."""
    groups: dict[tuple[Header, int], list[int]] = {}
    for i, stream in enumerate(parsed):
        groups.setdefault((stream.header, stream.parameters.symbols), []).append(i)
    found = []
    for (header, count), rows in groups.items():
        streams = [parsed[i] for i in rows]
        seeds = {start: seed_of(one) for start, one in {s.start: s for s in streams}.items()}
        found.append(
            Columns(
                streams[0].profile,
                header,
                count,
                rows=np.array(rows, np.int64),
                qualities=qualities_of(streams),
                seeds=np.array([seeds[s.start] for s in streams], np.int64),
                payloads=[s.payload for s in streams],
            )
        )
    return found


def unpack_columns(columns: Columns) -> Symbols:
    """Their symbols (N, n), check values verified.

    Raises TruncatedError or CorruptError, whose rows count in these columns.
    """
    return unpack_payloads(
        columns.profile, columns.header.coder, columns.count, columns.payloads, columns.qualities,
        columns.seeds,
    )  # fmt: skip


def _joined(streams: Sequence[bytes | str] | Payloads) -> Payloads:
    """The streams in one buffer; empty, where something is neither bytes nor text of a stream."""
    if not isinstance(streams, Payloads) and {*map(type, streams)} != {bytes}:
        return Payloads.of([_bytes_or_none(stream) for stream in streams])
    return Payloads.of(streams)  # type: ignore[arg-type]  # all are bytes


def _bytes_or_none(stream: object) -> bytes:
    try:
        return as_bytes(stream)
    except DecodeError:
        return b""


def _headers(
    whole: Payloads, rows: Integers, parsed: Callable[[int], ParsedStream | None]
) -> tuple[list[ParsedStream], Integers]:
    """One stream for each header that occurs, and for each stream which of these begins like it.

    rows    the streams to look at; none is empty
    parsed  parses one; None where it is at fault, which is kept by who gave the function

    What a header is ends where it says so, whatever follows: a stream that begins with the bytes
    of a header has this header.
    """
    found: list[ParsedStream] = []
    which = np.full(len(whole), _NONE, np.int64)
    size = 1  # first the headers of one byte
    while len(rows):
        enough = whole.lengths[rows] >= size
        having = rows if enough.all() else rows[enough]
        examples, kinds = _alike(whole, having, size)
        number = np.full(len(examples), _NONE, np.int64)
        for kind, row in enumerate(examples.tolist()):
            example = parsed(row)
            if example is not None and len(example.start) == size:
                number[kind] = len(found)
                found.append(example)
        which[having] = number[kinds]
        rows = rows[which[rows] == _NONE]
        size = 0
        for at, row in enumerate(rows.tolist()):  # those at fault, until a longer header is found
            example = parsed(row)
            if example is not None:
                which[row] = len(found)
                found.append(example)
                rows, size = rows[at + 1 :], len(example.start)
                break
        if not size:
            break
    return found, which


def _alike(whole: Payloads, rows: Integers, size: int) -> tuple[Integers, Integers]:
    """Streams by their first bytes: a row of each kind, and the kind of every row."""
    begins = Payloads(whole.buffer, whole.starts[rows], np.full(len(rows), size))
    heads = begins.padded().view(np.uint8)
    places = np.flatnonzero((heads != heads[:1]).any(axis=0))  # where they differ
    if len(places) > 2:
        keys = np.ascontiguousarray(heads[:, places]).view(f"V{len(places)}").ravel()
        _, examples, kinds = np.unique(keys, return_index=True, return_inverse=True)
        return rows[examples], kinds
    code = np.zeros(len(rows), np.int64)
    for place in places:
        code = code << 8 | heads[:, place]
    example_of = np.full(1 << 16, _NONE, np.int64)
    example_of[code] = rows
    codes = np.flatnonzero(example_of != _NONE)
    kind_of = np.zeros(1 << 16, np.int64)
    kind_of[codes] = np.arange(len(codes))
    return example_of[codes], kind_of[code]


def _grouped(whole: Payloads, found: Sequence[ParsedStream], which: Integers) -> list[Columns]:
    """Columns of all streams; `found` and `which` as of `_headers`."""
    groups: dict[tuple[Header, int], list[int]] = {}
    for number, stream in enumerate(found):
        groups.setdefault((stream.header, stream.parameters.symbols), []).append(number)
    qualities = np.array([s.parameters.quality for s in found], np.int64)
    sizes = np.array([len(s.start) for s in found], np.int64)
    seeds = np.array([seed_of(s) for s in found], np.int64)
    group_of = np.empty(len(found), np.int64)
    for group, numbers in enumerate(groups.values()):
        group_of[numbers] = group
    made = []
    for group, ((header, count), numbers) in enumerate(groups.items()):
        if len(groups) == 1:
            rows, own, mine = np.arange(len(whole)), which, whole
        else:
            rows = np.flatnonzero(group_of[which] == group)
            own, mine = which[rows], whole.take(rows)
        payloads = mine.after(sizes[own])
        profile = found[numbers[0]].profile
        made.append(Columns(profile, header, count, rows, qualities[own], seeds[own], payloads))
    return made
