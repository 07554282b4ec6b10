"""Many entries to streams: workers decode and encode while the backbone runs here, in batches.

Results come in the order of the entries, and do not depend on the number of workers; what the
program has set up when its first image is read holds in them, too (`program`). Memory is
bounded: at most `_AHEAD` bytes of files and some hundred images are in the pipeline.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..codec import Codec
from ..errors import ClipcodecError, OptionError
from ..models import BATCH
from ..target import Target
from .entries import Entry
from .program import captured
from .shared import Place, Ring, decode_into, ring
from .steering import LAG, Steering
from .workers import Encoded, Task, Workers, check_not_imported, check_possible, encode, pool

GROUP = 256  # embeddings that are encoded together
_SECONDS = 5.0  # or as many as there are after this time
_CHUNK = 16  # images that a worker decodes at a time
_CHUNK_BYTES = 1 << 24  # of archive members, at most
_AHEAD = 1 << 28

T = TypeVar("T")


class Result(NamedTuple):
    """What became of an entry: a stream, or an error."""

    id: str
    name: str
    stream: bytes | ClipcodecError
    rows: int


@dataclass
class _Slot:
    """An entry in the pipeline, without the bytes of its file.

    batch   slots of equal value are encoded together; None: there is an error, nothing to encode
    value   pixels, or the number of their place in shared memory; then an embedding; or the error
    pixels  is the value still to be embedded?
    """

    id: str
    name: str
    rows: int
    batch: Any
    value: Any
    pixels: bool


_Group = tuple[list[_Slot], "Future[Encoded] | None"]
_Decoding = tuple[list[Entry], "Future[list[Any]] | None", "Place | None"]


def default_workers() -> int:
    """One per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_settings(workers: int | None, batch_size: int) -> None:
    """Raise OptionError unless `compress` can run with these.

    Raises WorkerError in a worker that imports a program without `__main__` guard: before it
    touches any output.
    """
    if workers != 0:
        check_not_imported()
    if workers is not None and not 0 <= workers <= 256:
        raise OptionError(f"workers={workers}: expected 0 (this process alone) to 256")
    if batch_size < 1:
        raise OptionError(f"batch_size={batch_size}: at least 1")


def started(codec: Codec, target: Target, workers: int | None, images: int | None) -> Workers:
    """Workers for `compress`, all at once, and the codec's backbone loaded while they start.

    images  how many there are to do; None: unknown

    Raises as `compress`; then no worker is left.
    """
    count = default_workers() if workers is None else workers
    check_possible(count)
    needed = count if images is None else min(count, -(-images // _CHUNK))
    executor = pool(count, Task(codec.profile, target), start=needed)
    try:
        codec.backbone()
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
    return executor


def compress(
    codec: Codec,
    entries: Iterable[Entry],
    target: Target | None = None,
    *,
    workers: int | None = None,
    batch_size: int = BATCH,
    steering: Steering | None = None,
    executor: Workers | None = None,
) -> Generator[list[Result], None, None]:
    """Entries (`sources.find`) to streams, in order, some hundred at a time.

    workers     processes; 0: this process does all the work; None: one per core
    batch_size  images that the backbone embeds at a time; a value may change by about 1e-5 with it
    steering    gives each chunk its target, where `target` has mean_bytes
    executor    `started` with the same codec, target and workers; they are ended here

    An entry that fails is a result with its error. Raises OptionError, what loading the backbone
    raises, and WorkerError if workers cannot start or one is killed. Close the iterator to end
    them.
    """
    check_settings(workers, batch_size)
    target = target or Target()
    target.check(codec.profile)
    count = default_workers() if workers is None else workers
    check_possible(count)
    work = _Pipeline(codec, Task(codec.profile, target), count, batch_size, steering)
    return work.run(entries, executor)


class _Pipeline:
    def __init__(
        self, codec: Codec, task: Task, workers: int, batch_size: int, steering: Steering | None
    ) -> None:
        self._codec, self._task, self._batch_size = codec, task, batch_size
        self._workers = workers
        self._own_task = None if workers else task  # workers have it already
        # chunks in work: enough that workers do not wait while the backbone runs
        self._window = 0 if not workers else max(2 * workers + 2, 2 * batch_size // _CHUNK)
        self._warned = False
        self._encoding: deque[_Group] = deque()
        self._steering = steering
        self._held: list[_Slot] = []  # embedded, too few for a chunk of the steering
        self._chunks: deque[list[_Group]] = deque()  # whose sizes the steering does not know yet
        self._ring: Ring | None = None
        self._seen = 0  # places of images that have come so far, or of errors in their stead

    def run(
        self, entries: Iterable[Entry], executor: Workers | None
    ) -> Generator[list[Result], None, None]:
        self._executor = executor or pool(self._workers, self._task)
        try:
            yield from self._run(iter(entries))
        finally:
            self._executor.shutdown(wait=True, cancel_futures=True)
            if self._ring is not None:
                self._ring.close()

    def _run(self, entries: Iterator[Entry]) -> Iterator[list[Result]]:
        group: list[_Slot] = []
        images: list[_Slot] = []  # those of the group that are not embedded yet
        batch: Any = None
        since = time.monotonic()
        for slot in self._decoded(entries):
            if slot.batch is not None and batch not in (None, slot.batch):
                self._embed(images)
                self._encode(group)
                group, images, batch = [], [], None
            group.append(slot)
            batch = batch or slot.batch
            if slot.pixels:
                images.append(slot)
            # a long group is mostly errors, which must be told in time, too
            if len(images) == self._batch_size or len(group) >= GROUP + self._batch_size:
                self._embed(images)
                images = []
            late = time.monotonic() - since > _SECONDS
            if not images and (len(group) >= GROUP or late):
                self._encode(group)
                group, batch, since = [], None, time.monotonic()
            yield from self._encoded(2 * self._workers)
        self._embed(images)
        self._encode(group)
        self._steer(last=True)
        yield from self._encoded(0)

    def _decoded(self, entries: Iterator[Entry]) -> Iterator[_Slot]:
        """Entries with their pixels, rows or errors, in order."""
        waiting: deque[tuple[_Decoding, int]] = deque()
        ahead = 0
        setup: bytes | None = None
        for chunk in _chunks(entries):
            contents = [e.content for e in chunk if isinstance(e.content, (str, bytes))]
            size = sum(len(c) for c in contents if isinstance(c, bytes))
            future, place = None, None
            if contents:
                preprocess = self._codec.backbone().preprocess
                if self._workers and setup is None:
                    setup = captured()
                    self._ring = self._places(preprocess)
                if self._ring is not None:
                    place = self._ring.take(len(contents))
                future = self._submit(
                    chunk[0].name, decode_into, place, contents, preprocess, setup
                )
            waiting.append(((chunk, future, place), size))
            ahead += size
            while len(waiting) > self._window or (ahead > _AHEAD and len(waiting) > 1):
                done, size = waiting.popleft()
                ahead -= size
                yield from self._finish(*done)
        while waiting:
            yield from self._finish(*waiting.popleft()[0])

    def _places(self, preprocess: Any) -> Ring | None:
        """Shared memory for all images in work; whole batches, so that they lie in one piece."""
        size = getattr(preprocess, "size", None)
        batches = -(-(self._window + 1) * _CHUNK // self._batch_size) + 1
        return ring(batches * self._batch_size, size) if size else None

    def _finish(
        self, chunk: list[Entry], future: Future[list[Any]] | None, place: Place | None
    ) -> Iterator[_Slot]:
        found: list[Any] = [] if future is None else self._result(future, chunk[0].name)
        decoded = iter(found)
        for id, name, content, rows, ours in chunk:
            batch: Any = "image"
            value: Any = content
            pixels = isinstance(content, (str, bytes))
            if pixels:
                value = next(decoded)
                if place is not None:
                    value = self._seen if value is None else value
                    self._seen += 1
            elif isinstance(content, np.ndarray) and not ours:
                batch = (content.shape, content.dtype)
            if isinstance(value, ClipcodecError):
                batch, pixels = None, False
            yield _Slot(id, name, rows, batch, value, pixels)

    def _embed(self, images: list[_Slot]) -> None:
        """Pixels to embeddings, in place."""
        if images:
            found = [slot.value for slot in images]
            pixels = self._ring.stack(found) if self._ring else np.stack(found)
            rows = self._codec.backbone().embed_pixels(pixels)
            for slot, row in zip(images, rows, strict=True):
                slot.value = row
        if self._ring is not None:
            self._ring.free(self._seen)

    def _encode(self, group: list[_Slot]) -> None:
        if self._steering is None:
            self._submit_group(group, None)
        else:
            self._held += group
            self._steer(last=False)

    def _submit_group(self, group: list[_Slot], target: Target | None) -> None:
        good = [slot for slot in group if slot.batch is not None]
        future = None
        if good:
            rows = np.stack([slot.value for slot in good])
            ours = good[0].batch == "image"
            name = good[0].name
            future = self._submit(name, encode, rows, ours=ours, task=self._own_task, target=target)
        if group:
            self._encoding.append((group, future))

    def _steer(self, *, last: bool) -> None:
        """Whole chunks of what is held to be encoded, each with its own target."""
        steering = self._steering
        while steering is not None and (
            len(self._held) >= steering.next_size or (last and self._held)
        ):
            while len(self._chunks) >= LAG:
                steering.add(*self._streams(self._chunks.popleft()))
            chunk = self._held[: steering.next_size]
            self._held = self._held[len(chunk) :]
            good = [slot for slot in chunk if slot.batch is not None]
            target = steering.next(
                [slot.id for slot in good], [slot.value for slot in good],
                last=last and not self._held,
            )  # fmt: skip
            before = len(self._encoding)
            for _, alike in groupby(chunk, lambda slot: slot.batch):
                self._submit_group([*alike], target)
            self._chunks.append([*self._encoding][before:])

    def _streams(self, groups: list[_Group]) -> tuple[list[str], list[bytes]]:
        """Ids and streams of what could be encoded; waits for it."""
        ids, streams = list[str](), list[bytes]()
        for group, future in groups:
            if future is not None:
                good = [slot for slot in group if slot.batch is not None]
                found = self._result(future, group[0].name).streams
                for slot, stream in zip(good, found, strict=True):
                    if isinstance(stream, bytes):
                        ids.append(slot.id)
                        streams.append(stream)
        return ids, streams

    def _encoded(self, most: int) -> Iterator[list[Result]]:
        """Results of the groups that are done; waits for others while more than `most` are left."""
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
                Result(slot.id, slot.name, slot.value if slot.batch is None else next(streams),
                       slot.rows)
                for slot in group
            ]  # fmt: skip

    def _warn(self, found: Encoded) -> None:
        """The first warning only: the others say the same of other images."""
        if found.warnings and not self._warned:
            self._warned = True
            message, category = found.warnings[0]
            warnings.warn(message, category, stacklevel=2)

    def _submit(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """name: of the first entry that the work is about."""
        try:
            return self._executor.submit(*args, **kwargs)
        except BrokenExecutor as error:
            raise self._executor.ended(name) from error

    def _result(self, future: Future[T], name: str) -> T:
        try:
            return future.result()
        except BrokenExecutor as error:
            raise self._executor.ended(name) from error


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """A few entries at a time, of bounded size."""
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
