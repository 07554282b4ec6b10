"""What a learned profile keeps of rows that it was not learned from, beside any/rotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import mean
from ..codec import Codec
from ..container.layout import pack_items
from ..embeddings import Embeddings
from ..errors import RateError
from ..profile import Profile
from ..profile.file import parse_profile
from ..profile.registry import UNTRAINED
from ..target import Target
from .data import thinned

_BLOCK = 1024  # items of a block in a container
_COMPARED = 400  # rows that are coded with any/rotation, several times
_DIGEST = slice(1, 5)  # of a private profile, in the header of a stream


@dataclass(frozen=True)
class Part:
    """A profile file, and rows (N, D) of unit norm that it was not learned from."""

    profile: bytes
    rows: Embeddings


@dataclass(frozen=True)
class Measured:
    """Mean cosine of rows with what is decoded, and bytes of each in a container."""

    cosine: float
    bytes: float


def measure(parts: Sequence[Part], target: Target) -> Measured:
    """Code rows at the target, each part with its own profile, as if in one container."""
    streams: list[bytes] = []
    cosines = []
    for part in parts:
        made, found = _coded(parse_profile(part.profile, path=None), part.rows, target)
        streams += [b"".join((s[:1], bytes(4), s[_DIGEST.stop :])) for s in made]
        cosines.append(found)
    return Measured(float(np.concatenate(cosines).mean()), in_container(streams))


def in_container(streams: Sequence[bytes]) -> float:
    """Bytes of each of these streams in a container."""
    blocks = [pack_items(streams[at : at + _BLOCK]) for at in range(0, len(streams), _BLOCK)]
    return sum(map(len, blocks)) / len(streams)


def _coded(profile: Profile, x: Embeddings, target: Target) -> tuple[list[bytes], Embeddings]:
    """Streams of rows at the target, and their cosines (N,). Rows out of reach are left out."""
    codec = Codec(profile)
    if target.mean_bytes is not None:
        streams = _on_average(codec, x, target)
    else:
        try:
            streams = codec.encode_embeddings(x, target)
        except RateError as error:
            kept = np.setdiff1d(np.arange(len(x)), error.rows)
            if not len(kept):
                raise
            x = x[kept]
            streams = codec.encode_embeddings(x, target)
    return streams, (codec.decode_batch(streams) * x).sum(axis=1)


def _on_average(codec: Codec, x: Embeddings, target: Target) -> list[bytes]:
    def encode(rows: Sequence[Embeddings], asked: Target) -> list[bytes]:
        return codec.encode_embeddings(np.stack(rows), asked)

    return mean.resolve(encode, list(x), target, codec.profile, in_container).streams


def rotation(x: Embeddings, size: float, target: Target) -> float:
    """Mean cosine that any/rotation keeps of rows in `size` bytes each, in a container.

    With the target's limit for each stream, if it has one, else on average.
    """
    codec = Codec(UNTRAINED)
    x = thinned(x, _COMPARED)
    if target.max_bytes is None:
        for goal in (Target(mean_bytes=size), Target(quality=codec.profile.qualities)):
            try:
                streams, cosines = _coded(codec.profile, x, goal)
            except RateError:
                continue
            if in_container(streams) <= size * (1 + mean.NEAR):
                return float(cosines.mean())
        return 0.0  # it has no streams as small as these
    limit, tried = max(round(size) + 2, 6), dict[int, tuple[float, float]]()
    for _ in range(6):
        if limit not in tried:
            try:
                streams, cosines = _coded(codec.profile, x, Target(max_bytes=limit))
                tried[limit] = in_container(streams), float(cosines.mean())
            except RateError:
                tried[limit] = 0.0, 0.0
        limit += 1 if tried[limit][0] <= size else -1
        if limit in tried:
            break
    sizes, cosines = np.array(sorted(tried.values())).T
    return float(np.interp(size, sizes, cosines))
