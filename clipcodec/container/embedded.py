"""The bytes of a profile in a container: the block `prof` (formats/container-1.md, section 12)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import CorruptError, OptionError, TruncatedError, placed
from ..system.remote import Source
from . import layout
from .files import SeekableFile

MAX_PROFILE = 1 << 25  # bytes of a profile file that is carried, before it is deflated
CARRIED = "the profile that the container carries"
_PIECE = 1 << 20  # bytes that are inflated at a time
_PART = 1 << 13  # bytes that are deflated in one way
_STRATEGIES = (zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY)


@dataclass(frozen=True)
class Embedded:
    """A profile file as it lies in a container. Two are equal if the files have one digest.

    body    deflated: the body of the block
    size    bytes of the profile file
    digest  its SHA-256
    """

    body: bytes = field(compare=False, repr=False)
    size: int = field(compare=False)
    digest: bytes

    @classmethod
    def of(cls, data: bytes) -> Embedded:
        """Of the bytes of a profile file. Raises OptionError if they are too many."""
        if len(data) > MAX_PROFILE:
            raise OptionError(
                f"a profile of more than {MAX_PROFILE:,} bytes is not carried in a container: keep "
                "it beside the container, and give it as profile=FILE"
            )
        # the numbers of a basis repeat seldom: Huffman codes alone are shorter; those of tables do
        bodies = [_deflated(data, [(how, 0)]) for how in _STRATEGIES]
        bodies.append(_deflated(data, _by_part(data)))
        return cls(min(bodies, key=len), len(data), hashlib.sha256(data).digest())

    @classmethod
    def parse(cls, body: bytes) -> Embedded:
        """Of the body of a block, which is inflated once. Raises CorruptError."""
        digest, size = hashlib.sha256(), 0
        for piece in _inflated(body):
            digest.update(piece)
            size += len(piece)
        return cls(body, size, digest.digest())

    @property
    def data(self) -> bytes:
        """The bytes of the profile file."""
        return b"".join(_inflated(self.body))

    @property
    def block(self) -> bytes:
        """The bytes of the whole block."""
        return layout.block(layout.PROFILE, self.body)


def check_order(number: int, first: bytes) -> None:
    """Raise CorruptError unless a profile may be block `number` after one of the kind `first`."""
    if number > 1 or (number == 1 and first != layout.METADATA):
        raise CorruptError("a profile that is not at the front of the container")


def _by_part(data: bytes) -> list[tuple[int, int]]:
    """The shortest strategy for each part of the data: (strategy, where the part begins)."""
    found: list[tuple[int, int]] = []
    for at in range(0, len(data) or 1, _PART):
        part = data[at : at + _PART]
        how = min(_STRATEGIES, key=lambda how: len(_deflated(part, [(how, 0)])))
        if not found or found[-1][0] != how:
            found.append((how, at))
    return found or [(_STRATEGIES[0], 0)]


def _deflated(data: bytes, parts: list[tuple[int, int]]) -> bytes:
    """One DEFLATE stream; each of its parts begins anew, so that it can have its own strategy."""
    made = []
    ends = [at for _, at in parts[1:]] + [len(data)]
    for (how, at), end in zip(parts, ends, strict=True):
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, how)
        last = zlib.Z_FINISH if end == len(data) else zlib.Z_SYNC_FLUSH
        made.append(deflate.compress(data[at:end]) + deflate.flush(last))
    return b"".join(made)


def _inflated(body: bytes) -> Iterator[bytes]:
    """The profile file, piece by piece: its size is checked before memory is taken for it."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left, size = body, 0
    while not inflate.eof:
        try:
            piece = inflate.decompress(left, _PIECE)
        except zlib.error as error:
            raise CorruptError(f"{CARRIED} cannot be inflated: {error}") from error
        left = inflate.unconsumed_tail
        size += len(piece)
        if size > MAX_PROFILE:
            raise CorruptError(f"{CARRIED} is above {MAX_PROFILE} bytes")
        if not (piece or left or inflate.eof):
            raise CorruptError(f"{CARRIED} cannot be inflated: it is cut")
        yield piece
    if inflate.unused_data:
        raise CorruptError(f"{CARRIED} is followed by {len(inflate.unused_data)} bytes")


# in a file


def place(file: SeekableFile) -> tuple[int, layout.Head] | None:
    """Where the block begins, and its head; None if the front of the container has none.

    Reads the heads of two blocks at most. Raises TruncatedError or CorruptError for one that is
    cut or damaged.
    """
    at = len(layout.OPENING)
    for _ in range(2):
        start = file.read_at(at, layout.HEAD_BYTES)
        if not start:
            return None
        head = layout.parse_head(start)
        if head.kind == layout.PROFILE:
            return at, head
        if head.kind != layout.METADATA:
            return None
        at += head.whole
    return None


def embedded_in(file: SeekableFile) -> Embedded | None:
    """What the front of a container carries, finished or not. Raises DecodeError."""
    try:
        found = place(file)
    except (TruncatedError, CorruptError) as error:
        raise type(error)(
            f"{error.reason}: at the front, where {CARRIED} would be; give the file of the "
            "profile, profile=FILE or --profile FILE"
        ) from error
    if found is None:
        return None
    at, head = found
    try:
        _, body = layout.parse_block(file.read_at(at, head.whole))
    except (TruncatedError, CorruptError) as error:
        raise type(error)(
            f"{CARRIED} is damaged ({error.reason}): give its file, profile=FILE or --profile FILE"
        ) from error
    return Embedded.parse(body)


def embedded_at(path: Source) -> Embedded | None:
    """What a container carries, by its path or object. Raises DecodeError naming it, or OSError."""
    file = SeekableFile(path)
    try:
        with placed(source=file.name):
            layout.check_opening(file.read_at(0, len(layout.OPENING)))
            return embedded_in(file)
    finally:
        file.close()
