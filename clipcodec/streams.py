"""Symbols ↔ whole streams of one profile: which coder, and the check value."""

from __future__ import annotations

from collections.abc import Sequence

from .bitstream import DIGEST_BYTES, Header, check_seed, check_value
from .entropy import Symbols
from .errors import CorruptError
from .profile import Profile


def pack(profile: Profile, symbols: Symbols, names: Sequence[str]) -> list[bytes]:
    """Streams of symbols (N, n), each by the coder that makes it shortest; ties to the first."""
    packed = profile.packer.pack(symbols)
    digest = profile.digest[:DIGEST_BYTES] if profile.id is None else None
    best: list[bytes] = []
    for name in names:
        header = Header(name, profile.id, digest)
        seed, start = _seed(profile, header), header.to_bytes()
        bodies = profile.coders[name].encode(symbols, [check_value(seed, p) for p in packed])
        streams = [start + body for body in bodies]
        best = [min(pair, key=len) for pair in zip(best, streams, strict=True)] if best else streams
    return best


def unpack(profile: Profile, header: Header, bodies: list[bytes]) -> Symbols:
    """Symbols (N, n) of bodies with one header, their check values verified."""
    symbols, checks = profile.coders[header.coder].decode(bodies)
    seed = _seed(profile, header)
    for packed, check in zip(profile.packer.pack(symbols), checks, strict=True):
        if check_value(seed, packed) != check:
            raise CorruptError("check value does not match: the stream is damaged")
    return symbols


def _seed(profile: Profile, header: Header) -> int:
    """The check value's state after the header and, if that is private, the profile's digest."""
    return check_seed(header.to_bytes(), None if header.digest is None else profile.digest)
