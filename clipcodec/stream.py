"""Symbols ↔ whole streams: header, payload and check value (formats/clipcodec-1.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .bitstream import DIGEST_BYTES, VERSION, Header, check_seed, split
from .entropy import Symbols
from .errors import CorruptError, DecodeError, raise_rows
from .kinds import Parameters, Quantized
from .profile import Profile
from .text_form import BYTES, as_bytes, explain


class ParsedStream(NamedTuple):
    """A stream cut into its parts; nothing is decoded yet.

    start  the bytes of the header as they stand in the stream, parameters included
    """

    profile: Profile
    header: Header
    start: bytes
    parameters: Parameters
    payload: bytes

    def __repr__(self) -> str:
        from .system.shown import brief, counted, shown

        def parts() -> list[object]:
            size = len(self.start) + len(self.payload)
            quality = self.parameters.quality
            return [counted(size, "byte"), f"profile {brief(self.profile.name)}",
                    f"quality {quality}" if quality else None, f"entropy coder {self.header.coder}",
                    counted(self.dim, "dimension")]  # fmt: skip

        return shown("ParsedStream", parts)

    @property
    def dim(self) -> int:
        """Width D of its embedding."""
        return self.profile.dim or self.parameters.symbols


def parse(stream: bytes | str, owner: Callable[[Header], Profile]) -> ParsedStream:
    """Cut a stream, or its text, into its parts. `owner` finds the profile that a header names.

    Raises DecodeError: no bytes, TruncatedError, UnsupportedError, CorruptError, or as `owner`.
    """
    data = as_bytes(stream)
    try:
        header, rest = split(data)
        profile = owner(header)
        parameters, payload = profile.kind.split(rest)
    except DecodeError as error:
        raise explain(error, lambda row: data) from error.__cause__
    return ParsedStream(profile, header, data[: len(data) - len(payload)], parameters, payload)


def parse_all(
    streams: Iterable[bytes | str], owner: Callable[[Header], Profile]
) -> list[ParsedStream]:
    """`parse` of several streams. Raises DecodeError naming those at fault."""
    owner = remembered(owner)
    parsed: list[ParsedStream] = []
    faults: dict[int, DecodeError] = {}
    for i, stream in enumerate(several(streams)):
        try:
            parsed.append(parse(stream, owner))
        except DecodeError as error:
            faults[i] = error
    raise_rows(faults)
    return parsed


def several(streams: Iterable[bytes | str]) -> Iterable[bytes | str]:
    """The same, if these are several streams; else DecodeError."""
    if isinstance(streams, (*BYTES, str)) or not isinstance(streams, Iterable):
        raise DecodeError(f"expected several streams, got {type(streams).__name__}")
    return streams


def remembered(owner: Callable[[Header], Profile]) -> Callable[[Header], Profile]:
    """`owner`, asked once for each header."""
    known: dict[Header, Profile] = {}

    def known_owner(header: Header) -> Profile:
        if header not in known:
            known[header] = owner(header)
        return known[header]

    return known_owner


def start_of(profile: Profile, coder: str, parameters: Parameters) -> bytes:
    """The header of a stream, parameters included."""
    return _header(profile, coder).to_bytes(profile.kind.parameters(*parameters))


@lru_cache(maxsize=64)
def _header(profile: Profile, coder: str) -> Header:
    digest = profile.digest[:DIGEST_BYTES] if profile.id is None else None
    return Header(coder, profile.id, digest)


def pack(profile: Profile, quantized: Quantized, coders: Sequence[str]) -> list[bytes]:
    """Streams of symbols, each by the coder that makes it shortest; ties to the first."""
    kind, (symbols, qualities) = profile.kind, quantized
    best: list[bytes] = []
    for coder in coders:
        starts = {
            q: start_of(profile, coder, Parameters(q, symbols.shape[1]))
            for q in {*qualities.tolist()}
        }
        digest = profile.digest if profile.id is None else None
        seeds = {q: check_seed(start, digest) for q, start in starts.items()}
        rows = qualities.tolist()
        checks = kind.check_values(symbols, np.array([seeds[q] for q in rows], np.int64))
        payloads = kind.encode(coder, symbols, qualities, checks.tolist())
        streams = [starts[q] + payload for q, payload in zip(rows, payloads, strict=True)]
        best = [min(pair, key=len) for pair in zip(best, streams, strict=True)] if best else streams
    return best


def unpack(streams: Sequence[ParsedStream]) -> Symbols:
    """Symbols (N, n) of streams with one profile, coder and number of symbols.

    Their check values are verified. Raises TruncatedError or CorruptError.
    """
    first = streams[0]
    seeds = {start: seed_of(one) for start, one in {s.start: s for s in streams}.items()}
    return unpack_payloads(
        first.profile, first.header.coder, first.parameters.symbols, [s.payload for s in streams],
        qualities_of(streams), np.array([seeds[s.start] for s in streams], np.int64),
    )  # fmt: skip


def unpack_payloads(
    profile: Profile,
    coder: str,
    count: int,
    payloads: Sequence[bytes],
    qualities: Symbols,
    seeds: Symbols,
) -> Symbols:
    """`unpack` of N payloads of `count` symbols each. seeds: as `seed_of` each stream."""
    kind = profile.kind
    if coder not in kind.coders:
        raise CorruptError(
            f"profile {profile.name} has no streams with coder {coder}: damaged",
            rows=range(len(payloads)),
        )
    try:
        symbols, checks = kind.decode(coder, payloads, qualities, count)
        bad = np.flatnonzero(kind.check_values(symbols, seeds) != np.asarray(checks))
        if len(bad):
            raise CorruptError("check value does not match: damaged", rows=bad.tolist())
    except DecodeError as error:

        def whole(row: int) -> bytes:
            parameters = Parameters(int(qualities[row]), count)
            return start_of(profile, coder, parameters) + bytes(payloads[row])

        raise explain(error, whole) from error.__cause__
    return symbols


def seed_of(stream: ParsedStream) -> int:
    """State of the check value of a stream before its symbols."""
    digest = None if stream.header.digest is None else stream.profile.digest
    return check_seed(stream.start, digest)


def qualities_of(streams: Sequence[ParsedStream]) -> Symbols:
    """(N,) what the headers say; 0 for a fixed rate."""
    return np.array([s.parameters.quality for s in streams], np.int64)


@dataclass(frozen=True)
class StreamInfo:
    """What a stream is; `info` makes it.

    Attributes:
        version: Of the format (formats/clipcodec-1.md).
        profile: Its name.
        profile_id: Its registered number; None: a private profile.
        digest: SHA-256 of a private profile's file, in hex; None: a registered one.
        backbone: The model that makes the embeddings; "any": unknown.
        entropy: The entropy coder.
        quality: As in `Target`; None for a profile of one rate.
        dim: Width D of the embedding.
        symbols: How many the payload holds.
        size: Bytes of the whole stream.
        header_size: Bytes before the payload.
        information: Bytes: what the frequency tables say that these symbols hold, the least that a
            payload could take.
        bits_per_dimension: 8 · size / D.

    Examples:
        >>> found = clipcodec.info(clipcodec.open("photos.clpc")[0])
        >>> found.entropy, found.header_size < found.size
        ('rans', True)
    """

    version: int
    profile: str
    profile_id: int | None
    digest: str | None
    backbone: str
    entropy: str
    quality: float | None
    dim: int
    symbols: int
    size: int
    header_size: int
    information: float  # ideal payload in bytes: what the frequency tables say these symbols hold
    bits_per_dimension: float

    def __repr__(self) -> str:
        from .system.shown import brief, counted, shown

        def parts() -> list[object]:
            quality = None if self.quality is None else f"quality {self.quality:g}"
            return [counted(self.size, "byte"), f"profile {brief(self.profile)}", quality,
                    f"entropy coder {self.entropy}", counted(self.dim, "dimension"),
                    f"{self.bits_per_dimension:.2f} bits per dimension"]  # fmt: skip

        return shown("StreamInfo", parts)


def describe(parsed: ParsedStream) -> StreamInfo:
    """What a stream is, after checking it in full. Raises TruncatedError or CorruptError."""
    profile, header, start, parameters, payload = parsed
    symbols = unpack([parsed])
    size = len(start) + len(payload)
    bits = profile.kind.information(symbols, qualities_of([parsed]))
    return StreamInfo(
        version=VERSION,
        profile=profile.name,
        profile_id=profile.id,
        digest=None if profile.id is not None else profile.digest.hex(),
        backbone=profile.backbone,
        entropy=header.coder,
        quality=parameters.quality or None,
        dim=parsed.dim,
        symbols=symbols.shape[1],
        size=size,
        header_size=len(start),
        information=float(bits[0]) / 8,
        bits_per_dimension=8 * size / parsed.dim,
    )
