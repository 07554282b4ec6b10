"""Search of streams in stages: sketches of all, and a full decode of what may be among the best.

    all streams ─first sketch─▶ some hundredths ─second sketch─▶ some thousandths ─decode─▶ hits

A kind's sketches (`Kind.sketches`) give about the score of a stream, in a tenth and a third of the
time of a decode. After each stage every query keeps its best, so many that what it would find in
the end is nearly always among them: `kept` says how many, and how that was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bitstream import Header
from ..codec import Codec
from ..columns import Columns, unpack_columns
from ..devices import used
from ..entropy import Payloads
from ..errors import placed
from ..kinds import Sketch
from ..system.threads import in_threads, products_of_one_thread, share
from .blocks import Block, block_of
from .found import Hits, Places, merged_hits
from .hits import Queries, best_hits, check_k
from .sources import Part, check_backbone, parts

_CHUNK = 1 << 17  # streams in memory at a time, fewer for many queries
_SCORES = 1 << 24  # and scores
_UNPACKED = 512, 8192  # rows at a time, at least and at most; numpy needs many to be quick
_SKETCHED = 256  # rows at a time: they stay in cache
_NUMBERS = 1 << 22  # symbols unpacked at a time
# Rows that a query keeps after each stage: the first number, times k and the number of rows, each
# to a power
_KEPT = (4.1, 0.5, 0.55), (3.0, 0.75, 0.25)
_ERROR = 0.36  # of the first sketch that the first of these is for
_LEAST, _MOST = 0.5, 3.0  # shares of it
_SAMPLE = 256, 1024, 32  # rows that an error is found on: at least, at most, one of so many
_COSTS = 0.1, 0.35, 1.0  # of a row in each stage, as shares of a decode
_WORTH = 0.9  # of the cost of decoding everything

Scores = NDArray[np.float32]


def staged_hits(
    source: Any,
    queries: Any,
    k: int,
    codec: Codec,
    rows: Places | None = None,
    *,
    backbone: str | None = None,
) -> Hits:
    """Find about the k best of each query, without decoding most streams wholly.

    What is found has the scores of the full search. Now and then a stream is missing that the full
    search finds, see docs/search.md. The more queries there are, the more streams at least one of
    them keeps: where little can be saved all streams are decoded, and so are those of kinds without
    sketches, and all on a GPU. Memory does not grow with the source, but for the scores that each
    query has kept, of some thousandths to hundredths of the rows.

    Every stream is checked as far as in `decode`, its check value included. Only symbols that
    stand for no direction are noticed by a decode alone; no encoder makes such a stream.

    Args:
        source: As for `clipcodec.search`, but for lists of containers.
        queries: As for `clipcodec.search`.
        k: How many hits for each query.
        codec: What decodes the streams, see `codec_of`.
        rows: Increasing positions of those to be searched, in a source that can be indexed; None:
            all.
        backbone: As for `clipcodec.search`.

    Returns:
        Scores and positions, (Q, k) each.

    Raises:
        EmbeddingError: As for `clipcodec.search`, and so are OptionError and DecodeError.

    Examples:
        >>> from clipcodec.retrieval.staged import staged_hits
        >>> photos, query = clipcodec.open("photos.clpc"), np.load("embeddings.npy")[7]
        >>> staged_hits(photos, query, 5, photos.codec).indices[0, 0]
        7
    """
    search = _Search(Queries(queries), check_k(k), codec)
    for part in parts(source, codec, None, rows):
        search.asked.check(part.dim)
        if backbone is not None:
            check_backbone(part, backbone)
        search.add(part)
    return search.hits()


def kept(stage: int, k: int, rows: int, error: float = _ERROR) -> int:
    """How many of `rows` rows a query keeps after a stage, 0 or 1, if k are wanted.

    Found on 70,000 embeddings of ViT-B/32, most of which the profile was trained on, with queries
    of images and of class names, at 25 to 100 bytes, k from 1 to 100, from 2,500 rows on.

    error  of the first sketch, as a share of the standard deviation of scores: for class names
           about twice what it is for images, and so is the list that is needed, or more
    """
    factor, power, growth = _KEPT[stage]
    if not stage:
        factor *= min(max(error / _ERROR, _LEAST), _MOST)
    return min(rows, k + int(factor * k**power * rows**growth))


class _Search:
    """The chunk that is being gathered, and what has been found in those before."""

    def __init__(self, asked: Queries, k: int, codec: Codec) -> None:
        self.asked, self._k, self._codec = asked, k, codec
        self._found: Hits | None = None
        self._parts: list[Part] = []
        self._waiting = self._seen = 0
        self._most = max(1, min(_CHUNK, _SCORES // max(len(asked.plain), 1)))
        self._pools = [_Pool(len(asked.plain)) for _ in _KEPT]
        self._errors = np.full(len(asked.plain), _ERROR)
        self._sampled = False

    def add(self, part: Part) -> None:
        """Some more streams. Raises DecodeError."""
        if used(self._codec.device) or not len(self.asked.plain):
            self._decode(part)
            return
        self._parts.append(part)
        self._waiting += sum(len(group.rows) for group in part.streams)
        if self._waiting >= self._most:
            self._flush()

    def hits(self) -> Hits:
        """The best of all."""
        self._flush()
        if self._found is None:
            none = np.empty((len(self.asked.plain), 0))
            return Hits(none.astype(np.float32), none.astype(np.int64))
        return self._found

    def _flush(self) -> None:
        """Search what has been gathered."""
        some, self._parts, self._waiting = self._parts, [], 0
        groups = {part.first: [_Group.of(part, own) for own in part.streams] for part in some}
        with_sketches = {
            first for first, own in groups.items() if all(group.sketches for group in own)
        }
        count = sum(len(group.places) for first in with_sketches for group in groups[first])
        self._seen += count
        if not count or not self._pays(count):
            with_sketches.clear()
        for part in some:
            if part.first not in with_sketches:
                self._decode(part)
        staged = _joined([group for first in sorted(with_sketches) for group in groups[first]])
        if staged and not self._sampled:
            self._errors, self._sampled = _errors(staged, self.asked), True
        for stage, pool in enumerate(self._pools):
            if not staged:
                return
            scores = _sketched(staged, stage, self.asked)
            counts = [kept(stage, self._k, self._seen, error) for error in self._errors.tolist()]
            may = pool.may_win(scores, counts)
            first, left = 0, list[_Group]()
            for group in staged:
                own = may[first : first + len(group.columns.rows)]
                first += len(own)
                if own.any():
                    left.append(group.take(np.flatnonzero(own)))
            staged = left
        self._decode_groups(staged)

    def _pays(self, count: int) -> bool:
        """Whether stages are quicker for a chunk of so many rows than decoding it."""
        cost, share = 0.0, 1.0
        for stage, price in enumerate(_COSTS):
            cost += share * price
            if stage < len(_KEPT):
                each = kept(stage, self._k, self._seen) / max(self._seen, count)
                share = 1 - (1 - each) ** len(self.asked.plain)
        return cost < _WORTH

    def _decode(self, part: Part) -> None:
        block = block_of(self._codec, part)
        places = part.first + np.arange(len(block)) if part.rows is None else part.rows
        self._join(block, places)

    def _decode_groups(self, groups: Sequence[_Group]) -> None:
        places = np.concatenate([group.places for group in groups])
        values = []
        for group in groups:
            with placed(group.places):
                values.append(self._codec._decode_columns([group.columns]))
        order = np.argsort(places)
        self._join(Block(np.concatenate(values)[order]), places[order])

    def _join(self, block: Block, places: Places) -> None:
        own = best_hits([block], self.asked, self._k)
        found = Hits(own.scores, places[own.indices])
        before = self._found
        self._found = found if before is None else merged_hits([(0, before), (0, found)], self._k)


@dataclass(frozen=True)
class _Group:
    """Streams of one kind, with their places in the source.

    places  (N,) of all rows of `columns`, in their order
    """

    columns: Columns
    places: Places
    sketches: Sequence[Sketch]

    @classmethod
    def of(cls, part: Part, columns: Columns) -> _Group:
        places = part.first + columns.rows if part.rows is None else part.rows[columns.rows]
        return cls(columns, places, columns.profile.kind.sketches())

    def take(self, some: Places) -> _Group:
        return _Group(self.columns.take(some), self.places[some], self.sketches)


def _joined(groups: Sequence[_Group]) -> list[_Group]:
    """The same streams, those alike in one group, whichever part they came in.

    Of the few that a stage keeps of a part, numpy would decode each alone.
    """
    alike: dict[tuple[int, Header, int], list[_Group]] = {}
    for group in groups:
        columns = group.columns
        key = id(columns.profile), columns.header, columns.count
        alike.setdefault(key, []).append(group)
    return [_one(same) for same in alike.values()]


def _one(groups: Sequence[_Group]) -> _Group:
    """Groups of one profile, header and number of symbols as one; their buffers are copied."""
    if len(groups) == 1:
        return groups[0]
    columns = [group.columns for group in groups]
    payloads = [Payloads.of(own.payloads) for own in columns]
    buffers = {id(own.buffer): own.buffer for own in payloads}  # parts of one block share theirs
    ends = np.cumsum([len(buffer) for buffer in buffers.values()])
    begins = dict(zip(buffers, [0, *ends.tolist()], strict=False))
    joined = Columns(
        columns[0].profile,
        columns[0].header,
        columns[0].count,
        rows=np.arange(sum(len(own.rows) for own in columns)),
        qualities=np.concatenate([own.qualities for own in columns]),
        seeds=np.concatenate([own.seeds for own in columns]),
        payloads=Payloads(
            np.concatenate(list(buffers.values())),
            np.concatenate([own.starts + begins[id(own.buffer)] for own in payloads]),
            np.concatenate([own.lengths for own in payloads]),
        ),
    )
    places = np.concatenate([group.places for group in groups])
    return _Group(joined, places, groups[0].sketches)


def _sketched(groups: Sequence[_Group], stage: int, asked: Queries) -> Scores:
    """Scores (Q, N) of all rows of the groups, by one of the sketches. Raises DecodeError."""
    projected: dict[int, Scores] = {}
    work, first = [], 0
    for group in groups:
        sketch, columns = group.sketches[stage], group.columns
        if id(sketch) not in projected:
            projected[id(sketch)] = sketch.project(asked.plain)
        least, most = (max(1, min(rows, _NUMBERS // columns.count)) for rows in _UNPACKED)
        step = share(len(columns.rows), most, least)
        for at in range(0, len(columns.rows), step):
            work.append((group, at, first + at, step))
        first += len(columns.rows)
    scores = np.empty((len(asked.plain), first), np.float32)

    def score(task: tuple[_Group, int, int, int]) -> None:
        group, at, place, step = task
        columns, sketch = group.columns.part(slice(at, at + step)), group.sketches[stage]
        with placed(group.places[at:]):
            symbols = unpack_columns(columns)
        for row in range(0, len(symbols), _SKETCHED):
            some = slice(row, row + _SKETCHED)
            with np.errstate(all="ignore"):  # a private profile may overflow
                own = sketch.scores(projected[id(sketch)], symbols[some], columns.qualities[some])
            scores[:, place + row : place + row + len(own)] = own.T

    with products_of_one_thread():
        in_threads(score, work)
    return scores


class _Pool:
    """The best scores that a stage has given for each query."""

    def __init__(self, queries: int) -> None:
        self._scores = [np.empty(0, np.float32) for _ in range(queries)]

    def may_win(self, scores: Scores, counts: Sequence[int]) -> NDArray[np.bool_]:
        """(N,) which rows of scores (Q, N) are among the best so far, `counts` of each query."""
        found = np.zeros(scores.shape[1], np.bool_)
        for query, (own, count) in enumerate(zip(scores, counts, strict=True)):
            own = np.where(np.isfinite(own), own, np.float32(np.inf))  # a decode will tell
            every = np.concatenate([self._scores[query], own])
            if len(every) > count:
                every = np.partition(every, len(every) - count)[-count:]
            self._scores[query] = every
            found |= own >= every.min()
        return found


def _errors(groups: Sequence[_Group], asked: Queries) -> NDArray[np.float64]:
    """(Q,) how far the scores of both sketches are apart, beside how far those of rows are."""
    least, most, one_of = _SAMPLE
    count = sum(len(group.places) for group in groups)
    step = max(1, count // min(max(least, count // one_of), most))
    some = [group.take(np.arange(0, len(group.places), step)) for group in groups]
    first, second = (_sketched(some, stage, asked).astype(np.float64) for stage in (0, 1))
    with np.errstate(all="ignore"):
        errors: NDArray[np.float64] = (first - second).std(axis=1) / second.std(axis=1)
    return np.nan_to_num(errors, nan=np.inf)
