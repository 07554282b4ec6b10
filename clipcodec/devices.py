"""rows.py on a device: large batches that torch encodes and decodes there.

Bytes and embeddings are the same. What a kind leaves undone, such as damaged streams and everything
that is an error, goes the way of rows.py, and so do small batches and kinds that know no device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .bitstream import check_seed
from .embeddings import Embeddings
from .errors import ClipcodecError, collected, raise_merged
from .kinds import Parameters, Payloads
from .profile import Profile
from .rows import decode_rows, encode_rows
from .stream import ParsedStream, qualities_of, start_of
from .system.optional import require
from .target import Target

if TYPE_CHECKING:
    import torch

FEWEST = 1024  # rows of a batch; a device takes as long for fewer, and the processor less
TOGETHER = 1 << 17  # rows of a batch that keep a device busy
_ALONE = 2048  # rows at a time that the device has left undone


def used(device: str | None, count: int | None = None) -> bool:
    """Whether batches of a codec with this `device` run there; with `count`: those of so many rows.

    Only on CUDA. What Apple calls "mps" has no floats of 64 bits, and None leaves batches to the
    processor: where a batch runs is for the caller to say.
    """
    return str(device).startswith("cuda") and (count is None or count >= FEWEST)


@lru_cache(maxsize=8)
def chosen(name: str) -> torch.device:
    """The device of this name, tried out.

    Raises OptionError if it cannot be used, and MissingDependencyError without torch.
    """
    require("torch")
    from .models.device import device_of

    return device_of(name)


def encoded(
    device: torch.device, profile: Profile, x: Embeddings, target: Target
) -> list[bytes] | None:
    """`encode_rows` on a device; None: it cannot do this for the profile or target."""
    kind, coders = profile.kind, target.coders(profile)
    on = kind.on_device(device) if kind.qualities and len(coders) == 1 else None
    if on is None or not on.meets(target):
        return None
    starts = [
        start_of(profile, coders[0], Parameters(max(quality, 1), x.shape[1]))
        for quality in range(kind.qualities + 1)
    ]
    digest = profile.digest if profile.id is None else None
    seeds = np.array([check_seed(start, digest) for start in starts])
    payloads, qualities, undone = on.encode(x, target, len(starts[1]), seeds)
    streams = [starts[q] + p for q, p in zip(qualities.tolist(), payloads, strict=True)]

    def alone(rows: NDArray[np.int64]) -> None:
        made = encode_rows(profile, x[rows], target)
        for row, stream in zip(rows.tolist(), made, strict=True):
            streams[row] = stream

    _do(undone, alone)
    return streams


def decoded(device: torch.device, streams: Sequence[ParsedStream]) -> Embeddings | None:
    """`decode_rows` on a device; None: it cannot do this for the profile."""
    profile, header = streams[0].profile, streams[0].header
    on = profile.kind.on_device(device)
    if on is None or header.coder not in profile.kind.coders:
        return None
    digest = None if header.digest is None else profile.digest
    seeds = {start: check_seed(start, digest) for start in {s.start for s in streams}}
    found, undone = on.decode(
        _joined([s.payload for s in streams]),
        qualities_of(streams),
        np.array([seeds[s.start] for s in streams]),
    )

    def alone(rows: NDArray[np.int64]) -> None:
        found[rows] = decode_rows([streams[i] for i in rows.tolist()])

    _do(undone, alone)
    return found


def _joined(payloads: Sequence[bytes]) -> Payloads:
    lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
    data = np.frombuffer(b"".join(payloads), np.uint8)
    return Payloads(data, np.cumsum(lengths) - lengths, lengths)


def _do(undone: NDArray[np.bool_], alone: Callable[[NDArray[np.int64]], None]) -> None:
    """What a device has left undone, some rows at a time. Raises an error about rows at fault."""
    rows, faults = np.flatnonzero(undone), list[ClipcodecError]()
    for at in range(0, len(rows), _ALONE):
        part = rows[at : at + _ALONE]
        with collected(faults, part):
            alone(part)
    raise_merged(faults)
