"""Many entries to streams: workers decode and encode while the backbone runs here, in batches.

What comes out is in the order of what goes in, and does not depend on the number of workers.
Memory is bounded: at most `_AHEAD` bytes of files and some hundred images are under way.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..codec import AUTO, Codec
from ..errors import ClipcodecError, OptionError, WorkerError
from ..kinds.trellis.rate import Target
from ..models import BATCH
from .sources import Entry
from .workers import Encoded, Task, decode, encode, pool

GROUP = 256  # embeddings that are encoded together
_SECONDS = 5.0  # or those of so long a time
_CHUNK = 8  # images that a worker decodes in one go
_CHUNK_BYTES = 1 << 24  # at most, of archive members
_AHEAD = 1 << 28

T = TypeVar("T")


class Result(NamedTuple):
    """What became of an entry: a stream, or an error."""

    id: str
    name: str
    stream: bytes | ClipcodecError


@dataclass
class _Slot:
    """An entry on its way; what its file held is no longer kept."""

    id: str
    name: str
    kind: Any  # those of one kind are encoded together; None: of any, as it is an error
    value: Any  # pixels, then an embedding; or what is wrong


def default_workers() -> int:
    """As many as this process may use cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compress(
    codec: Codec,
    entries: Iterable[Entry],
    *,
    workers: int | None = None,
    batch_size: int = BATCH,
    quality: float | None = None,
    max_bytes: int | None = None,
    min_cosine: float | None = None,
    entropy: str = AUTO,
) -> Generator[list[Result], None, None]:
    """Entries (`sources.find`) to streams, in order, some hundred at a time.

    workers     processes; 0: all is done in this one; None: one a core. A script that uses them is
                imported by each, so it needs `if __name__ == "__main__":`
    batch_size  images that the backbone takes at a time: a row may change by about 1e-5 with it

    An entry at fault is a result that says so. Raises OptionError, what loading the backbone
    raises, and WorkerError if a worker ends before its time. Close the iterator to end the workers.
    """
    codec.encode_embeddings(  # of no embeddings: judges the options
        np.empty((0, codec.profile.dim or 1)), quality=quality, max_bytes=max_bytes,
        min_cosine=min_cosine, entropy=entropy,
    )  # fmt: skip
    if workers is not None and not 0 <= workers <= 256:
        raise OptionError(f"workers={workers}: expected 0 (this process alone) to 256")
    if batch_size < 1:
        raise OptionError(f"batch_size={batch_size}: at least 1")
    coders = codec.profile.kind.coders if entropy == AUTO else (entropy,)
    task = Task(codec.profile, Target(quality, max_bytes, min_cosine), tuple(coders))
    count = default_workers() if workers is None else workers
    return _Pipeline(codec, task, count, batch_size).run(entries)


class _Pipeline:
    def __init__(self, codec: Codec, task: Task, workers: int, batch_size: int) -> None:
        self._codec, self._task, self._batch_size = codec, task, batch_size
        self._own = None if workers else task
        self._workers = workers
        # chunks under way: so many that workers do not wait while the backbone runs
        self._window = 0 if not workers else max(2 * workers + 2, 2 * batch_size // _CHUNK)
        self._warned = False
        self._encoding: deque[tuple[list[_Slot], Future[Encoded] | None]] = deque()

    def run(self, entries: Iterable[Entry]) -> Generator[list[Result], None, None]:
        executor = pool(self._workers, self._task)
        try:
            yield from self._run(executor, iter(entries))
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _run(self, executor: Executor, entries: Iterator[Entry]) -> Iterator[list[Result]]:
        group: list[_Slot] = []
        batch: list[_Slot] = []
        kind: Any = None
        since = time.monotonic()
        for slot in self._decoded(executor, entries):
            if slot.kind is not None and kind not in (None, slot.kind):
                self._embed(batch)
                self._encode(executor, group)
                group, batch, kind = [], [], None
            group.append(slot)
            kind = kind or slot.kind
            if slot.kind == "image":
                batch.append(slot)
            # mostly errors: they, too, are to be told in time
            if len(batch) == self._batch_size or len(group) >= GROUP + self._batch_size:
                self._embed(batch)
                batch = []
            late = time.monotonic() - since > _SECONDS
            if not batch and (len(group) >= GROUP or late):
                self._encode(executor, group)
                group, kind, since = [], None, time.monotonic()
            yield from self._encoded(2 * self._workers)
        self._embed(batch)
        self._encode(executor, group)
        yield from self._encoded(0)

    def _decoded(self, executor: Executor, entries: Iterator[Entry]) -> Iterator[_Slot]:
        """Entries with their pixels, rows or errors, in order."""
        waiting: deque[tuple[list[Entry], Future[list[Any]] | None, int]] = deque()
        ahead = 0
        for chunk in _chunks(entries):
            contents = [e.content for e in chunk if isinstance(e.content, (str, bytes))]
            size = sum(len(c) for c in contents if isinstance(c, bytes))
            future = None
            if contents:
                preprocess = self._codec.backbone().preprocess
                name = chunk[0].name
                future = self._submit(executor, name, decode, contents, preprocess)
            waiting.append((chunk, future, size))
            ahead += size
            while len(waiting) > self._window or (ahead > _AHEAD and len(waiting) > 1):
                ahead -= waiting[0][2]
                yield from self._finish(*waiting.popleft()[:2])
        while waiting:
            yield from self._finish(*waiting.popleft()[:2])

    def _finish(self, chunk: list[Entry], future: Future[list[Any]] | None) -> Iterator[_Slot]:
        found: list[Any] = [] if future is None else self._result(future, chunk[0].name)
        decoded = iter(found)
        for id, name, content in chunk:
            kind: Any = "image"
            value: Any = content
            if isinstance(content, (str, bytes)):
                value = next(decoded)
            elif isinstance(content, np.ndarray):
                kind = (content.shape, content.dtype)
            yield _Slot(id, name, None if isinstance(value, ClipcodecError) else kind, value)

    def _embed(self, batch: list[_Slot]) -> None:
        """Pixels to embeddings, in place."""
        if batch:
            rows = self._codec.backbone().embed_pixels(np.stack([slot.value for slot in batch]))
            for slot, row in zip(batch, rows, strict=True):
                slot.value = row

    def _encode(self, executor: Executor, group: list[_Slot]) -> None:
        good = [slot for slot in group if slot.kind is not None]
        future = None
        if good:
            rows = np.stack([slot.value for slot in good])
            ours = good[0].kind == "image"
            name = good[0].name
            future = self._submit(executor, name, encode, rows, ours=ours, task=self._own)
        if group:
            self._encoding.append((group, future))

    def _encoded(self, most: int) -> Iterator[list[Result]]:
        """Results of the groups that are done, and of others until at most so many are left."""
        while self._encoding:
            group, future = self._encoding[0]
            if future is not None and not future.done() and len(self._encoding) <= most:
                return
            self._encoding.popleft()
            streams: Iterator[Any] = iter(())
            if future is not None:
                found = self._result(future, group[0].name)
                streams = iter(found.streams)
                self._warn(found)
            yield [
                Result(slot.id, slot.name, slot.value if slot.kind is None else next(streams))
                for slot in group
            ]

    def _warn(self, found: Encoded) -> None:
        """Once: what is odd about these images is odd about all."""
        if found.warnings and not self._warned:
            self._warned = True
            message, category = found.warnings[0]
            warnings.warn(message, category, stacklevel=2)

    def _submit(self, executor: Executor, name: str, *args: Any, **kwargs: Any) -> Any:
        """name: of the first entry that this is about."""
        try:
            return executor.submit(*args, **kwargs)
        except BrokenProcessPool as error:
            raise _died(name) from error

    def _result(self, future: Future[T], name: str) -> T:
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise _died(name) from error


def _died(name: str) -> WorkerError:
    return WorkerError(
        f"a worker process was killed, for want of memory perhaps, while {name} or one of those "
        "after it was under way: give fewer --workers, or 0 to see at which it ends"
    )


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """A few at a time, of bounded size."""
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        chunk.append(entry)
        size += len(entry.content) if isinstance(entry.content, bytes) else 0
        if len(chunk) == _CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
