"""Header and check value of a stream (formats/clipcodec-1.md, sections 2 and 3).

Bytes to fields and back, nothing else: no files, no profiles, no coders.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass
from functools import lru_cache

from .errors import CorruptError, TruncatedError, UnsupportedError

VERSION = 1
CODERS = ("raw", "huffman", "rans")  # index = number in the stream; append-only
DIGEST_BYTES = 4  # of a private profile, in the header
MAX_PROFILE_ID = 15 + (1 << 14) - 1

# The short form: one byte says this profile (the default), this coder, and the quality
SHORT_PROFILE_ID, SHORT_CODER, SHORT_QUALITIES = 7, "rans", 100

_PRIVATE = 0
_EXTENDED = 15
# First bytes from here on: long form, short form, reserved
_LONG, _SHORT, _RESERVED = VERSION << 6, 0x80, 0x80 + SHORT_QUALITIES


@dataclass(frozen=True)
class Header:
    """What a stream says about itself before its parameters and payload.

    Exactly one of `profile_id` (1 … MAX_PROFILE_ID) and `digest` (first four bytes of the
    SHA-256 of a private profile's file) is given.
    """

    coder: str
    profile_id: int | None = None
    digest: bytes | None = None

    def to_bytes(self, parameters: bytes = b"") -> bytes:
        """The whole header in its only form; `parameters` are the bytes of the profile's kind.

        The short form is one byte. In the long form the parameters follow 1 byte for ids below 15,
        2 or 3 for others, and 5 for a private profile.
        """
        first = _LONG | CODERS.index(self.coder) << 4
        if self.digest is not None:
            if self.profile_id is not None or len(self.digest) != DIGEST_BYTES:
                raise ValueError(f"a private profile is named by {DIGEST_BYTES} digest bytes alone")
            return bytes([first | _PRIVATE]) + self.digest + parameters
        if self.profile_id is None or not 1 <= self.profile_id <= MAX_PROFILE_ID:
            raise ValueError(f"profile id {self.profile_id} is not in 1 … {MAX_PROFILE_ID}")
        if (self.coder, self.profile_id) == (SHORT_CODER, SHORT_PROFILE_ID):
            if len(parameters) != 1 or not 1 <= parameters[0] <= SHORT_QUALITIES:
                raise ValueError(f"profile {SHORT_PROFILE_ID} needs a quality in one byte, 1 … 100")
            return bytes([_SHORT - 1 + parameters[0]])
        if self.profile_id < _EXTENDED:
            return bytes([first | self.profile_id]) + parameters
        rest = self.profile_id - _EXTENDED
        tail = [rest] if rest < 0x80 else [0x80 | rest & 0x7F, rest >> 7]
        return bytes([first | _EXTENDED, *tail]) + parameters


_SHORT_HEADER = Header(SHORT_CODER, SHORT_PROFILE_ID)
_NEVER_LONG = _LONG | CODERS.index(SHORT_CODER) << 4 | SHORT_PROFILE_ID
_NO_STREAM = "not a clipcodec stream, or one from a later release (upgrade clipcodec)"


def begins(head: bytes) -> bool:
    """Whether bytes that begin so may be a stream of this version."""
    return bool(head) and _LONG <= head[0] < _RESERVED


def split(stream: bytes) -> tuple[Header, bytes]:
    """A stream cut into its header, as far as the profile, and its parameters and payload.

    Of the short form, too: its quality comes as the byte of parameters that it stands for.

    Raises TruncatedError, UnsupportedError (first byte, coder) or CorruptError (header not in its
    shortest form).
    """
    if not stream:
        raise TruncatedError("empty: expected at least a header byte")
    first = stream[0]
    if _SHORT <= first < _RESERVED:
        return _SHORT_HEADER, bytes([first - _SHORT + 1]) + stream[1:]
    if first >= _RESERVED:
        raise UnsupportedError(
            f"first byte 0x{first:02x} is reserved, this release reads 0x{_LONG:02x} to "
            f"0x{_RESERVED - 1:02x}: {_NO_STREAM}"
        )
    version, coder, low = first >> 6, first >> 4 & 3, first & 15
    if version != VERSION:
        raise UnsupportedError(
            f"first byte 0x{first:02x} says format version {version}, this release reads version "
            f"{VERSION}: {_NO_STREAM}"
        )
    if coder >= len(CODERS):
        raise UnsupportedError(
            f"entropy coder {coder} is unknown: this release knows 0 to {len(CODERS) - 1} "
            f"({', '.join(CODERS)}); upgrade clipcodec"
        )
    if first == _NEVER_LONG:
        raise CorruptError(
            f"first byte 0x{first:02x} is the long form of a header that has a short one "
            f"(profile {SHORT_PROFILE_ID}, {SHORT_CODER}: 0x{_SHORT:02x} to "
            f"0x{_RESERVED - 1:02x}): damaged, or made before the format was frozen (encode again)"
        )
    name = CODERS[coder]
    if low == _PRIVATE:
        end = 1 + DIGEST_BYTES
        _need(stream, end, "profile digest")
        return Header(name, digest=stream[1:end]), stream[end:]
    if low < _EXTENDED:
        return _registered(name, low), stream[1:]
    _need(stream, 2, "profile id")
    if stream[1] < 0x80:
        return Header(name, profile_id=_EXTENDED + stream[1]), stream[2:]
    _need(stream, 3, "profile id")
    if not 0 < stream[2] < 0x80:
        raise CorruptError(f"profile id bytes {stream[1:3].hex()} are not in their shortest form")
    return Header(name, profile_id=_EXTENDED + (stream[1] & 0x7F | stream[2] << 7)), stream[3:]


@lru_cache(maxsize=64)
def _registered(coder: str, profile_id: int) -> Header:
    """Most streams have one of few headers."""
    return Header(coder, profile_id=profile_id)


def _need(stream: bytes, length: int, what: str) -> None:
    if len(stream) < length:
        raise TruncatedError(f"ends inside its {what}, after {len(stream)} bytes")


def check_seed(header: bytes, digest: bytes | None) -> int:
    """CRC-16 state after the header and, for a private profile, its whole 32-byte digest."""
    return crc_hqx(header + (digest or b""), 0xFFFF)


def check_value(seed: int, packed: bytes) -> int:
    """The check value: CRC-16 (polynomial 0x1021) continued over the raw-packed symbols."""
    return crc_hqx(packed, seed)
