"""Check decoders against formats/vectors/1: the installed clipcodec, and the reference decoder.

    python formats/tools/check_vectors.py [package] [reference]

Without a name, both. Prints one line for each vector that is not met; exit 1 if there is one. Needs
what decoding needs, no more; the reference decoder needs nothing.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMATS = Path(__file__).resolve().parents[1]
FOLDER = FORMATS / "vectors" / "1"
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Vector:
    """One stream, and what is expected of it: "accept", or the class it is rejected with.

    says  of an accepted one: profile, coder, quality, symbols, symbols_sha256, embedding
    """

    name: str
    expect: str
    stream: bytes
    says: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a decoder made of a stream: `expect` as above."""

    expect: str
    symbols: Sequence[int] = ()
    embedding: Sequence[float] = ()
    says: dict[str, Any] | None = None


Decoder = Callable[[bytes], Found]


def vectors() -> Iterator[Vector]:
    """All of them, in the order of their files; those of one damage file one by one."""
    for path in sorted(FOLDER.glob("*/*.json")):
        content = json.loads(path.read_text("utf-8"))
        stream = bytes.fromhex(content.pop("stream"))
        if isinstance(content["expect"], str):
            yield Vector(path.stem, content["expect"], stream, content)
        else:
            for i, expect in enumerate(content["expect"]):
                damaged = stream[:i]
                if content["damage"] == "bit-flips":
                    flipped = stream[i // 8] ^ 0x80 >> i % 8
                    damaged = stream[: i // 8] + bytes([flipped]) + stream[i // 8 + 1 :]
                yield Vector(f"{path.stem} {i}", expect, damaged, {})


def private_profiles() -> list[Path]:
    """Of the streams that name a digest."""
    return sorted(FOLDER.glob("profiles/*.safetensors"))


def package() -> Decoder:
    """The installed clipcodec."""
    import clipcodec
    from clipcodec.errors import (
        CorruptError,
        DecodeError,
        TruncatedError,
        UnknownProfileError,
        UnsupportedError,
    )

    classes: dict[type[DecodeError], str] = {
        TruncatedError: "truncated",
        UnsupportedError: "unsupported",
        UnknownProfileError: "unknown-profile",
        CorruptError: "corrupt",
    }
    own = [clipcodec.Codec(path) for path in private_profiles()]
    by_digest = {codec.profile.digest[:4]: codec for codec in own}
    registered = clipcodec.Codec()

    def decode(stream: bytes) -> Found:
        codec = by_digest.get(stream[1:5], registered)
        try:
            embedding = codec.decode(stream)
        except DecodeError as error:
            return Found(classes[type(error)])
        info = codec.info(stream)
        says = {"profile": info.profile, "coder": info.entropy, "quality": info.quality}
        return Found("accept", codec.symbols(stream).tolist(), embedding.tolist(), says)

    return decode


def reference() -> Decoder:
    """The reference decoder, formats/reference/decoder.py."""
    sys.path.insert(0, str(FORMATS))
    from reference import decoder

    profiles = [*decoder.registered(), *map(decoder.Profile, private_profiles())]

    def decode(stream: bytes) -> Found:
        try:
            symbols = decoder.symbols(stream, profiles)
            return Found("accept", symbols, decoder.embedding(stream, profiles))
        except decoder.Rejected as rejection:
            return Found(rejection.kind)

    return decode


DECODERS = {"package": package, "reference": reference}


def fault(vector: Vector, found: Found) -> str | None:
    """How a decoder's answer differs from what the vector says, if it does."""
    if found.expect != vector.expect:
        return f"{found.expect}, not {vector.expect}"
    if vector.expect != "accept":
        return None
    said = vector.says
    packed = struct.pack(f">{len(found.symbols)}h", *found.symbols)
    if hashlib.sha256(packed).hexdigest() != said["symbols_sha256"]:
        return "other symbols"
    if found.says is not None and any(said[key] != value for key, value in found.says.items()):
        return f"says {found.says}"
    pairs = zip(found.embedding, said["embedding"], strict=True)
    if len(found.embedding) != len(said["embedding"]) or any(
        not abs(a - b) <= TOLERANCE for a, b in pairs
    ):
        return "another embedding"
    return None


def failures(decoder: Decoder) -> list[str]:
    """One line for each vector that a decoder does not meet."""
    lines = []
    for vector in vectors():
        problem = fault(vector, decoder(vector.stream))
        if problem is not None:
            lines.append(f"{vector.name}: {problem}")
    return lines


if __name__ == "__main__":
    bad = []
    for name in sys.argv[1:] or DECODERS:
        bad += [f"{name}: {line}" for line in failures(DECODERS[name]())]
    count = sum(1 for _ in vectors())
    print("\n".join(bad) or f"all {count} vectors are met")
    sys.exit(1 if bad else 0)
