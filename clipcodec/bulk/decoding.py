"""Image files to pixels that the backbone takes: in workers, in order, some hundred ahead of it.

Pixels come through shared memory where there is any (`shared`). With `on_device`, workers only look
at the headers of JPEGs; plain ones are decoded where the backbone runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import Codec
from ..errors import ClipcodecError
from ..models.jpegs import DeviceJpegs, Jpeg
from ..system.forks import loading
from .entries import Entry
from .program import captured
from .shared import Place, Ring, decode_into, ring
from .workers import Workers, decode

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

CHUNK = 32  # images that a worker decodes at a time
AHEAD = 1 << 28  # bytes of archive members in work, at most
_CHUNK_BYTES = 1 << 24  # of them in a chunk, at most

_Waiting = tuple[list[Entry], "Future[list[Any]] | None", "Place | None"]


@dataclass
class Slot:
    """An entry in the pipeline, without the bytes of its file.

    batch   slots of equal value are encoded together; None: there is an error, nothing to encode
    value   pixels, the number of their place in shared memory, or a JPEG; then an embedding; or the
            error
    pixels  is the value still to be embedded?
    path    of its file, if it has one
    """

    id: str
    name: str
    rows: int
    batch: Any
    value: Any
    pixels: bool
    path: str | None


class Decoder:
    """`slots` gives the entries, `pixels` what the backbone is given of some of them."""

    def __init__(
        self, codec: Codec, executor: Workers, workers: int, batch_size: int, *, on_device: bool
    ) -> None:
        self._codec, self._executor, self._workers = codec, executor, workers
        self._batch_size, self._on_device = batch_size, on_device
        # chunks in work: enough that workers do not wait while the backbone runs
        self._window = 0 if not workers else max(2 * workers + 2, 2 * batch_size // CHUNK)
        self._ring: Ring | None = None
        self._seen = 0  # places whose images have come, or errors in their stead
        self._setup: bytes | None = None
        self._preprocess: Any = None
        self._jpegs: DeviceJpegs | None = None

    def slots(self, entries: Iterator[Entry]) -> Iterator[Slot]:
        """Entries with their pixels, rows or errors, in order.

        Raises OptionError if JPEGs cannot be decoded on the device.
        """
        waiting: deque[tuple[_Waiting, int]] = deque()
        ahead = 0
        for chunk in _chunks(entries):
            contents = [e.content for e in chunk if isinstance(e.content, (str, bytes))]
            size = sum(len(c) for c in contents if isinstance(c, bytes))
            future, place = self._begin(chunk[0].name, contents) if contents else (None, None)
            waiting.append(((chunk, future, place), size))
            ahead += size
            while len(waiting) > self._window or (ahead > AHEAD and len(waiting) > 1):
                done, size = waiting.popleft()
                ahead -= size
                yield from self._finish(*done)
        while waiting:
            yield from self._finish(*waiting.popleft()[0])

    def pixels(self, slots: list[Slot]) -> NDArray[np.uint8] | torch.Tensor:
        """(N, H, W, 3) of those slots that are no error; a file that cannot be decoded becomes one.

        To be used before `free` is called.
        """
        if any(isinstance(slot.value, Jpeg) for slot in slots):
            return self._with_jpegs(slots)
        found = [slot.value for slot in slots]
        if not found:
            return np.empty((0, 0, 0, 3), np.uint8)
        return self._ring.stack(found) if self._ring is not None else np.stack(found)

    def free(self) -> None:
        """The pixels of all slots that have come are not needed any more."""
        if self._ring is not None:
            self._ring.free(self._seen)

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _begin(
        self, name: str, contents: list[str | bytes]
    ) -> tuple[Future[list[Any]], Place | None]:
        backbone = self._codec.backbone()
        if self._preprocess is None:
            self._preprocess = backbone.preprocess
            if self._on_device:
                with loading:
                    self._jpegs = DeviceJpegs(backbone.preprocess, backbone.device)
            if self._workers:
                self._setup = captured()
                self._ring = self._places()
        place = None if self._ring is None else self._ring.take(len(contents))
        future = self._executor.give(
            name, decode_into, place, contents, self._preprocess, self._setup,
            jpegs=self._on_device,
        )  # fmt: skip
        return future, place

    def _places(self) -> Ring | None:
        """Shared memory for all images in work; whole batches, so that they lie in one piece."""
        size = getattr(self._preprocess, "size", None)
        batches = -(-(self._window + 1) * CHUNK // self._batch_size) + 1
        return ring(batches * self._batch_size, size) if size else None

    def _finish(
        self, chunk: list[Entry], future: Future[list[Any]] | None, place: Place | None
    ) -> Iterator[Slot]:
        found: list[Any] = []
        if future is not None:
            found = self._executor.result(future, chunk[0].name)
        decoded = iter(found)
        for id, name, content, rows, ours in chunk:
            batch: Any = "image"
            value: Any = content
            pixels = isinstance(content, (str, bytes))
            if pixels:
                value = next(decoded)
                if place is not None and self._ring is not None:
                    value = self._ring.found(value, self._seen)
                    self._seen += 1
            elif isinstance(content, np.ndarray) and not ours:
                batch = (content.shape, content.dtype)
            if isinstance(value, ClipcodecError):
                batch, pixels = None, False
            path = content if isinstance(content, str) else None
            yield Slot(id, name, rows, batch, value, pixels, path)

    def _with_jpegs(self, slots: list[Slot]) -> torch.Tensor:
        """`pixels`, on the device."""
        import torch

        assert self._jpegs is not None
        files = [slot for slot in slots if isinstance(slot.value, Jpeg)]
        for slot, found in zip(
            files, self._jpegs.pixels([slot.value for slot in files]), strict=True
        ):
            # a file that the device does not decode: the exact path knows whether it is damaged
            slot.value = found if found is not None else self._exact(slot)
            if isinstance(slot.value, ClipcodecError):
                slot.batch, slot.pixels = None, False
        rows = []
        for slot in slots:
            if slot.batch is not None:
                value = slot.value
                if isinstance(value, int) and self._ring is not None:
                    (value,) = self._ring.stack([value])
                if isinstance(value, np.ndarray):  # torch warns of what cannot be written
                    value = torch.from_numpy(np.require(value, requirements=("C", "W")))
                rows.append(value.to(self._jpegs.device))
        return torch.stack(rows) if rows else torch.empty(0)

    def _exact(self, slot: Slot) -> Any:
        return decode([slot.path or bytes(slot.value.data)], self._preprocess)[0]


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """A few entries at a time, of bounded size."""
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        chunk.append(entry)
        size += len(entry.content) if isinstance(entry.content, bytes) else 0
        if len(chunk) == CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
