"""Containers of a small profile, for the tests of search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import clipcodec
from clipcodec import Codec, Container, SearchIndex
from clipcodec.profile.file import Profile
from tests.helpers.profiles import cone

DIM = 24
COUNT = 150  # items of the container `photos`
QUERIES = cone(4, DIM, 99)


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


def opened(path: Path, rates: Profile) -> Container:
    return clipcodec.open(path, profile=rates)


def same_hits(a: SearchIndex, b: SearchIndex) -> bool:
    x, y = a.search(QUERIES, 9), b.search(QUERIES, 9)
    return x.indices.tolist() == y.indices.tolist() and x.scores.tolist() == y.scores.tolist()


def best_of(rows: np.ndarray, kept: Sequence[int], k: int) -> list[list[int]]:
    """Of the rows at the places `kept`, the places of the k best for each query."""
    scores = QUERIES @ rows[list(kept)].T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.array(kept, int)[order].tolist() if kept else [[]] * len(QUERIES)
