"""Symbols ↔ whole streams of one profile: which coder, and the check value."""

from __future__ import annotations

from collections.abc import Sequence

from .bitstream import DIGEST_BYTES, Header, check_seed, check_value
from .entropy import Symbols
from .errors import CorruptError
from .profile import Profile
from .schemes import Parameters


def header_size(profile: Profile, size: int) -> int:
    """Bytes of the header of every stream of `size` symbols."""
    return len(_header(profile, profile.scheme.coders[0]).to_bytes()) + len(
        profile.scheme.parameters(1, size)
    )


def _header(profile: Profile, coder: str) -> Header:
    return Header(coder, profile.id, profile.digest[:DIGEST_BYTES] if profile.id is None else None)


def pack(
    profile: Profile, symbols: Symbols, qualities: Symbols, names: Sequence[str]
) -> list[bytes]:
    """Streams of symbols (N, n), each by the coder that makes it shortest; ties to the first."""
    scheme = profile.scheme
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
    scheme = profile.scheme
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
