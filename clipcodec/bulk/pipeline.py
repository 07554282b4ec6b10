"""Many entries to streams: workers decode and encode while the backbone runs here, in batches.

Results come in the order of the entries, and do not depend on the number of workers; what the
program has set up when its first image is read holds in them, too (`program`). Where the codec has
a device for batches, embeddings are encoded there, from this process, more of them together. Memory
is bounded: at most `decoding.AHEAD` bytes of files and some hundred images are in the pipeline.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from .. import devices
from ..codec import Codec
from ..errors import ClipcodecError, OptionError
from ..models import BATCH
from ..target import Target
from . import decoding
from .decoding import Decoder, Slot
from .entries import Entry
from .steering import LAG, Steering
from .workers import Encoded, Here, Task, Workers, check_not_imported, check_possible, encode, pool

GROUP = 256  # embeddings that are encoded together
ON_DEVICE = 1 << 15  # on a device: enough for most of its speed, and some 100 MB of rows
_SECONDS = 5.0  # or as many as there are after this time

DECODE = ("exact", "device")


class Result(NamedTuple):
    """What became of an entry: a stream, or an error."""

    id: str
    name: str
    stream: bytes | ClipcodecError
    rows: int


_Group = tuple[list[Slot], "Future[Encoded] | None"]


def default_workers() -> int:
    """One per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_settings(workers: int | None, batch_size: int, decode: str = "exact") -> None:
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
    if decode not in DECODE:
        raise OptionError(f"decode={decode!r}: expected {', '.join(DECODE)}")


def started(codec: Codec, target: Target, workers: int | None, images: int | None) -> Workers:
    """Workers for `compress`, all at once, and the codec's backbone loaded while they start.

    images  how many there are to do; None: unknown

    Raises as `compress`; then no worker is left.
    """
    count = default_workers() if workers is None else workers
    check_possible(count)
    needed = count if images is None else min(count, -(-images // decoding.CHUNK))
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
    decode: str = "exact",
) -> Generator[list[Result], None, None]:
    """Entries (`sources.find`) to streams, in order, some hundred at a time.

    workers     processes; 0: this process does all the work; None: one per core
    batch_size  images that the backbone embeds at a time; a value may change by about 1e-5 with it
    steering    gives each chunk its target, where `target` has mean_bytes
    executor    `started` with the same codec, target and workers; they are ended here
    decode      "exact", or "device": plain JPEGs are decoded where the backbone runs

    An entry that fails is a result with its error. Raises OptionError, what loading the backbone
    raises, and WorkerError if workers cannot start or one is killed. Close the iterator to end
    them.
    """
    check_settings(workers, batch_size, decode)
    target = target or Target()
    target.check(codec.profile)
    count = default_workers() if workers is None else workers
    check_possible(count)
    task = Task(codec.profile, target)
    work = _Pipeline(codec, task, count, batch_size, steering, on_device=decode == "device")
    return work.run(entries, executor)


class _Pipeline:
    def __init__(
        self, codec: Codec, task: Task, workers: int, batch_size: int, steering: Steering | None,
        *, on_device: bool,
    ) -> None:  # fmt: skip
        self._codec, self._task, self._batch_size = codec, task, batch_size
        self._workers = workers
        self._own_task = None if workers else task  # workers have it already
        self._on_device = on_device
        # of embeddings; not where every few hundred have another target
        device = codec.device if steering is None else None
        self._device = device if devices.used(device) else None
        self._fewest = devices.fewest(task.target)
        self._warned = False
        self._encoding: deque[_Group] = deque()
        self._steering = steering
        self._held: list[Slot] = []  # embedded, too few for a chunk of the steering
        self._chunks: deque[list[_Group]] = deque()  # whose sizes the steering does not know yet

    def run(
        self, entries: Iterable[Entry], executor: Workers | None
    ) -> Generator[list[Result], None, None]:
        self._executor = executor or pool(self._workers, self._task)
        self._decoder = Decoder(
            self._codec, self._executor, self._workers, self._batch_size, on_device=self._on_device
        )
        try:
            yield from self._run(iter(entries))
        finally:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._decoder.close()

    def _run(self, entries: Iterator[Entry]) -> Iterator[list[Result]]:
        group: list[Slot] = []
        images: list[Slot] = []  # those of the group that are not embedded yet
        batch: Any = None
        since = time.monotonic()
        for slot in self._decoder.slots(entries):
            if slot.batch is not None and batch not in (None, slot.batch):
                self._embed(images)
                self._encode(group)
                group, images, batch = [], [], None
            group.append(slot)
            batch = batch or slot.batch
            if slot.pixels:
                images.append(slot)
            # a long group is mostly errors, which must be told in time, too
            if len(images) == self._batch_size or self._enough(len(group) - self._batch_size):
                self._embed(images)
                images = []
            late = time.monotonic() - since > _SECONDS
            if not images and (self._enough(len(group)) or late):
                self._encode(group)
                group, batch, since = [], None, time.monotonic()
            yield from self._encoded(2 * self._workers)
        self._embed(images)
        self._encode(group)
        self._steer(last=True)
        yield from self._encoded(0)

    def _embed(self, images: list[Slot]) -> None:
        """Pixels to embeddings, in place."""
        pixels = self._decoder.pixels(images)
        good = [slot for slot in images if slot.batch is not None]
        if good:
            rows = self._codec.backbone().embed_pixels(pixels)
            for slot, row in zip(good, rows, strict=True):
                slot.value = row
        self._decoder.free()

    def _encode(self, group: list[Slot]) -> None:
        if self._steering is None:
            self._encode_group(group)
        else:
            self._held += group
            self._steer(last=False)

    def _enough(self, count: int) -> bool:
        """Are so many entries a group to be encoded?"""
        if self._device is None or count < GROUP:
            return count >= GROUP
        return count >= ON_DEVICE or (count >= self._fewest and not self._takes)

    @cached_property
    def _takes(self) -> bool:
        """Whether the device encodes with this profile and target. Raises OptionError."""
        device = devices.chosen(str(self._device))
        return devices.encodes(device, self._codec.profile, self._task.target)

    def _encode_group(self, group: list[Slot]) -> None:
        """On the device if the group is large, else in workers."""
        if self._device is None:
            self._submit_group(group, None)
            return
        good = [slot for slot in group if slot.batch is not None]
        if len(good) >= self._fewest and self._takes:
            rows, ours = np.stack([slot.value for slot in good]), good[0].batch == "image"
            future = Here().submit(encode, rows, ours=ours, task=self._task, device=self._device)
            self._encoding.append((group, future))
            return
        for at in range(0, len(group), GROUP):
            self._submit_group(group[at : at + GROUP], None)

    def _submit_group(self, group: list[Slot], target: Target | None) -> None:
        good = [slot for slot in group if slot.batch is not None]
        future = None
        if good:
            rows = np.stack([slot.value for slot in good])
            ours = good[0].batch == "image"
            name = good[0].name
            future = self._executor.give(
                name, encode, rows, ours=ours, task=self._own_task, target=target
            )
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
                found = self._executor.result(future, group[0].name).streams
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
                found = self._executor.result(future, group[0].name)
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
