"""Embeddings ↔ whole streams of one profile: the rate, the coder and the check value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .bitstream import DIGEST_BYTES, Header, check_seed, check_value
from .embeddings import Embeddings
from .entropy import Symbols
from .errors import CorruptError
from .kinds import Parameters
from .kinds.trellis.rate import Target, check_cosines, check_sizes, choose
from .profile.file import Profile

_PART = 512  # rows reconstructed at a time, which stay in cache


def encode_rows(
    profile: Profile, x: Embeddings, target: Target, names: Sequence[str], first: int = 0
) -> list[bytes]:
    """Streams of unit-norm embeddings x (N, D) that meet the target, each by the shortest coder.

    first  number of the first embedding, for errors
    Raises OptionError or RateError.
    """
    with np.errstate(all="ignore"):  # a private profile's numbers may overflow
        if profile.kind.qualities:
            return _searched(profile, x, target, names, first)
        symbols, qualities = profile.kind.quantize(x), np.zeros(len(x), np.int64)
    streams = pack(profile, symbols, qualities, names)
    check_sizes(target, streams, profile.name, first)
    if target.min_cosine is not None:
        check_cosines(target, _cosines(profile, x, symbols, qualities), profile.name, first)
    return streams


def _searched(
    profile: Profile, x: Embeddings, target: Target, names: Sequence[str], first: int
) -> list[bytes]:
    """As `encode_rows`, for a profile of many rates."""
    header = header_size(profile, x.shape[1])
    streams = [b""] * len(x)
    rows, sought = np.arange(len(x)), target
    while len(rows):  # more than once if the search misjudged; it raises RateError in the end
        at = first + int(rows[0])
        symbols, qualities = choose(profile.kind, x[rows], sought, header, profile.name, at)
        found = pack(profile, symbols, qualities, names)
        for i, stream in zip(rows.tolist(), found, strict=True):
            streams[i] = stream
        missed = np.zeros(len(rows), bool)
        if target.max_bytes is not None:
            missed = np.array([len(stream) > target.max_bytes for stream in found])
        if target.min_cosine is not None:
            missed = ~(_cosines(profile, x[rows], symbols, qualities) >= target.min_cosine)
        rows, sought = rows[missed], sought.stricter()
    return streams


def _cosines(
    profile: Profile, x: Embeddings, symbols: Symbols, qualities: Symbols
) -> NDArray[np.float64]:
    decoded = reconstruct(profile, symbols, qualities).astype(np.float64)
    cosines: NDArray[np.float64] = (x * decoded).sum(axis=1)
    return cosines


def reconstruct(
    profile: Profile, symbols: Symbols, qualities: Symbols, places: Sequence[int] | None = None
) -> Embeddings:
    """Symbols (N, n) → embeddings (N, D) of unit norm; CorruptError where there is no direction.

    places  of the streams in a batch, to name the one at fault
    """
    parts = [
        _reconstruct(
            profile, symbols[part], qualities[part], None if places is None else places[part]
        )
        for part in (slice(at, at + _PART) for at in range(0, len(symbols), _PART))
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _reconstruct(
    profile: Profile, symbols: Symbols, qualities: Symbols, places: Sequence[int] | None
) -> Embeddings:
    with np.errstate(all="ignore"):  # what overflows is judged at the end
        rows = profile.kind.reconstruct(symbols, qualities)
        # the squares of the smallest and the largest floats lie outside of float32
        norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(bad):
            stream = "" if places is None else f"stream {places[bad[0]]}: "
            raise CorruptError(
                f"{stream}these symbols of profile {profile.name} decode to no direction"
            )
        unit: Embeddings = (rows / norms).astype(np.float32)
    return unit


def header_size(profile: Profile, size: int) -> int:
    """Bytes of the header of every stream of `size` symbols."""
    return len(_header(profile, profile.kind.coders[0]).to_bytes()) + len(
        profile.kind.parameters(1, size)
    )


def _header(profile: Profile, coder: str) -> Header:
    return Header(coder, profile.id, profile.digest[:DIGEST_BYTES] if profile.id is None else None)


def pack(
    profile: Profile, symbols: Symbols, qualities: Symbols, names: Sequence[str]
) -> list[bytes]:
    """Streams of symbols (N, n), each by the coder that makes it shortest; ties to the first."""
    scheme = profile.kind
    packed = scheme.packed(symbols)
    distinct = sorted({*qualities.tolist()})
    best: list[bytes] = []
    for name in names:
        header = _header(profile, name)
        starts = {q: header.to_bytes() + scheme.parameters(q, symbols.shape[1]) for q in distinct}
        seeds = {q: _seed(profile, header, start) for q, start in starts.items()}
        rows = qualities.tolist()
        checks = [check_value(seeds[q], p) for q, p in zip(rows, packed, strict=True)]
        bodies = scheme.encode(name, symbols, qualities, checks)
        streams = [starts[q] + body for q, body in zip(rows, bodies, strict=True)]
        best = [min(pair, key=len) for pair in zip(best, streams, strict=True)] if best else streams
    return best


def unpack(
    profile: Profile, header: Header, parameters: Sequence[Parameters], bodies: list[bytes]
) -> Symbols:
    """Symbols (N, n) of bodies with one header, their check values verified."""
    scheme = profile.kind
    if header.coder not in scheme.coders:
        raise CorruptError(
            f"profile {profile.name} has no streams with coder {header.coder}: damaged"
        )
    symbols: Symbols
    symbols, checks = scheme.decode(header.coder, bodies, parameters)
    seeds = {
        p: _seed(profile, header, header.to_bytes() + scheme.parameters(*p)) for p in {*parameters}
    }
    packed = scheme.packed(symbols)
    for row, check, p in zip(packed, checks, parameters, strict=True):
        if check_value(seeds[p], row) != check:
            raise CorruptError("check value does not match: the stream is damaged")
    return symbols


def _seed(profile: Profile, header: Header, start: bytes) -> int:
    """The check value's state after the header and, if that is private, the profile's digest."""
    return check_seed(start, None if header.digest is None else profile.digest)
