"""Containers of a small profile, for the tests of search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import clipcodec
from clipcodec import Codec
from clipcodec.profile.file import Profile
from tests.helpers.profiles import cone

DIM = 24


def stored(
    path: Path, rates: Profile, count: int, *, seed: int = 0, mode: str = "w", first: int = 0,
    ids: bool = True, block: int = 16,
) -> np.ndarray:  # fmt: skip
    """Write `count` items into a container; what they decode to."""
    codec = Codec(rates)
    streams = codec.encode_embeddings(cone(count, DIM, seed))
    names: Sequence[str | None] = [f"{seed}-{first + i}.jpg" for i in range(count)]
    with clipcodec.ContainerWriter(path, mode, block_items=block) as writer:
        writer.extend(streams, ids=names if ids else None)
    return codec.decode_batch(streams)
