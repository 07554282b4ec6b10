"""rows.py on a device: large batches that torch encodes and decodes there.

Bytes and embeddings are the same. What a kind leaves undone, such as damaged streams and everything
that is an error, goes the way of rows.py, and so do small batches and kinds that know no device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .bitstream import check_seed
from .columns import Columns
from .embeddings import Embeddings
from .entropy import Payloads
from .errors import ClipcodecError, collected, raise_merged
from .kinds import Parameters
from .profile import Profile
from .rows import decode_columns, encode_rows
from .stream import start_of
from .system.optional import require
from .target import Target

if TYPE_CHECKING:
    import torch

    from .kinds.base import OnDevice

FEWEST = 1024  # rows of a batch; a device takes as long for fewer, and the processor less
SEARCHED = 8192  # and of one to be searched for, which takes ten times as long
TOGETHER = 1 << 17  # rows of a batch that keep a device busy
_ALONE = 2048  # rows at a time that the device has left undone


def used(device: str | None, count: int | None = None, target: Target | None = None) -> bool:
    """Whether batches of a codec with this `device` run there; with `count`: those of so many rows.

    target  where they are to be encoded

    Only on CUDA. What Apple calls "mps" has no floats of 64 bits, and None leaves batches to the
    processor: where a batch runs is for the caller to say.
    """
    return str(device).startswith("cuda") and (count is None or count >= fewest(target))


@lru_cache(maxsize=8)
def chosen(name: str) -> torch.device:
    """The device of this name, tried out.

    Raises OptionError if it cannot be used, and MissingDependencyError without torch.
    """
    require("torch")
    from .models.device import device_of

    return device_of(name)


def fewest(target: Target | None) -> int:
    """Rows that a batch needs so that it is encoded on a device; None: decoded."""
    searched = target is not None and (target.max_bytes, target.min_cosine) != (None, None)
    return SEARCHED if searched else FEWEST


def encodes(device: torch.device, profile: Profile, target: Target) -> bool:
    """Whether `encoded` can do this for the profile and target."""
    return _encoder(device, profile, target) is not None


def encoded(
    device: torch.device, profile: Profile, x: Embeddings, target: Target
) -> list[bytes] | None:
    """`encode_rows` on a device; None: it cannot do this for the profile or target."""
    on = _encoder(device, profile, target)
    if on is None:
        return None
    kind, (coder,) = profile.kind, target.coders(profile)
    starts = [
        start_of(profile, coder, Parameters(max(quality, 1), x.shape[1]))
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


def _encoder(device: torch.device, profile: Profile, target: Target) -> OnDevice | None:
    kind = profile.kind
    on = kind.on_device(device) if kind.qualities and len(target.coders(profile)) == 1 else None
    return on if on is not None and on.meets(target) else None


def decoded(device: torch.device, columns: Columns) -> Embeddings | None:
    """`decode_columns` on a device; None: it cannot do this for the profile."""
    kind = columns.profile.kind
    on = kind.on_device(device)
    if on is None or columns.header.coder not in kind.coders:
        return None
    payloads = Payloads.of(columns.payloads)
    found, undone = on.decode(payloads, columns.qualities, columns.seeds)

    def alone(rows: NDArray[np.int64]) -> None:
        part = replace(
            columns, rows=columns.rows[rows], qualities=columns.qualities[rows],
            seeds=columns.seeds[rows], payloads=payloads.take(rows),
        )  # fmt: skip
        found[rows] = decode_columns(part)

    _do(undone, alone)
    return found


def _do(undone: NDArray[np.bool_], alone: Callable[[NDArray[np.int64]], None]) -> None:
    """What a device has left undone, some rows at a time. Raises an error about rows at fault."""
    rows, faults = np.flatnonzero(undone), list[ClipcodecError]()
    for at in range(0, len(rows), _ALONE):
        part = rows[at : at + _ALONE]
        with collected(faults, part):
            alone(part)
    raise_merged(faults)
