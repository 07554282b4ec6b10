"""How many rows go through a device at a time, and what is done when its memory is full."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ....errors import OptionError

_SHARE = 0.5  # of the free memory that a batch may take
_LEAST = 256  # rows: a device without room for these is of no use
_OF_THE_PROCESSOR = 1 << 30  # bytes, where torch runs on the processor: its free memory is not ours


def room(device: torch.device) -> int:
    """Bytes that a batch may take on the device."""
    if device.type != "cuda":
        return _OF_THE_PROCESSOR
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(_SHARE * (free + unused))


class Parts:
    """Rows in parts that the device has memory for.

    most  rows of a part, at most
    each  bytes that a row takes on the device, about
    """

    def __init__(self, device: torch.device, most: int, each: int) -> None:
        self._device, self._most, self._each = device, most, each
        self._found: int | None = None  # after the memory was full: rows that it has room for

    def run(self, count: int, work: Callable[[slice], None]) -> None:
        """`work` on all of `count` rows, part by part; smaller ones if the memory is full.

        Raises OptionError if there is no room for the smallest part, or the device fails otherwise.
        """
        at = 0
        while at < count:
            size = min(self._most, max(room(self._device) // self._each, _LEAST))
            size = min(size, self._found or size)
            end = min(at + size, count)
            with failures_named(self._device):
                try:
                    work(slice(at, end))
                except torch.cuda.OutOfMemoryError:
                    if end - at <= _LEAST:
                        raise
                    self._smaller(end - at)
                    continue
            at = end

    def _smaller(self, size: int) -> None:
        """After `size` rows were too many."""
        if self._found is None:
            warnings.warn(
                f"device {str(self._device)!r} has no memory for {size} embeddings at a time: "
                "smaller parts are taken, which is slower",
                RuntimeWarning,
                stacklevel=2,
            )
        self._found = max(size // 2, _LEAST)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def failures_named(device: torch.device) -> Iterator[None]:
    """Errors of torch become an OptionError that names the device."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        full = isinstance(error, torch.cuda.OutOfMemoryError)
        what = "has no memory left" if full else "failed"
        remedy = "end what else runs on it, or give 'cpu'" if full else "give another, or 'cpu'"
        raise OptionError(f"device {str(device)!r} {what} ({reason}): {remedy}") from error
