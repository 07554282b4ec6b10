"""Containers and image files: what carries streams, and what must hold whatever is in it."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np

import clipcodec
from clipcodec import Codec, CorruptError, DecodeError, ImageError, WeightsError
from clipcodec.bitstream import DIGEST_BYTES
from clipcodec.container import layout
from clipcodec.container.embedded import Embedded
from clipcodec.profile.file import parse_profile
from tests.helpers.paths import FORMATS, TOOLS

from . import profiles, seeds
from .mutate import damaged
from .targets import Target

_LARGEST = 4096  # bytes of an input to begin with
_STREAM = bytes.fromhex("683c0434324a8802")


@lru_cache(maxsize=1)
def _readers() -> dict[str, Callable[[bytes], Any]]:
    sys.path.insert(0, str(TOOLS))
    try:
        import check_containers

        return {name: make() for name, make in check_containers.READERS.items()}
    finally:
        sys.path.remove(str(TOOLS))


@lru_cache(maxsize=2)
def _vectors(folder: str, key: str) -> list[bytes]:
    paths = sorted((FORMATS / "vectors" / folder).rglob("*.json"))
    files = [json.loads(path.read_text("utf-8")) for path in paths]
    found = [bytes.fromhex(file[key]) for file in files if isinstance(file["expect"], str)]
    return [data for data in found if len(data) <= _LARGEST]


def container(r: Random) -> bytes:
    """A damaged container; as a rule its check values are right again, so that it is read on."""
    others = _vectors("container-1", "container")
    data = bytearray(damaged(r, r.choice(others), others))
    if r.random() < 0.3:
        return bytes(data)
    at = 8
    while at + 20 <= len(data):
        end = at + 20 + int.from_bytes(data[at + 4 : at + 8], "big")
        if end > len(data):
            break
        data[at + 12 : at + 16] = zlib.crc32(data[at : at + 12]).to_bytes(4, "big")
        data[end - 4 : end] = zlib.crc32(data[at : end - 4]).to_bytes(4, "big")
        at = end
    return bytes(data)


def check_container(data: bytes) -> str:
    """All readers find the same; what is good of a damaged one is read by two of them."""
    found = {name: read(data) for name, read in _readers().items()}
    if found["pipe"][0] != "unsupported":  # it cannot know that items are deleted further on
        assert found["pipe"][:2] == found["reference"][:2], "pipe and reference differ"
    if found["reference"][0] == "accept":
        assert found["file"] == found["reference"], "file and reference differ"
    whole = []
    try:
        for item in clipcodec.read_items(io.BytesIO(data)):
            whole.append(item)
        return "read"
    except DecodeError as error:
        outcome = type(error).__name__
    try:
        with clipcodec.open(io.BytesIO(data), partial=True) as opened:
            good = list(opened.items())[: len(whole)]  # after damage there may be more
            assert opened.complete or opened.deleted or good == whole, "good blocks differ"
    except DecodeError:
        pass
    return outcome


def carrying(r: Random) -> bytes:
    """A container that carries a damaged profile, or a sound one, with streams that name it."""
    profile = profiles.damaged_file(r)
    digest = hashlib.sha256(profile).digest()[:DIGEST_BYTES]
    own = [s for s in seeds.small() if s[0] & 15 == 0]  # of private profiles
    named = [s[:1] + digest + s[1 + DIGEST_BYTES :] for s in r.choices(own, k=r.randint(1, 9))]
    with suppress(WeightsError):
        named = [seeds.extreme(r, parse_profile(profile, path=None))[1] for _ in named]
    if r.random() < 0.3:
        named = [damaged(r, stream, own) or b"\x69" for stream in named]
    blocks = [Embedded.of(profile).block, layout.pack_items([*named, _STREAM])]
    if r.random() < 0.3:
        blocks.insert(r.choice((0, 0, 1, 2)), layout.pack_metadata({"a": 1}))
    entries = [(len(one), int.from_bytes(one[8:12], "big")) for one in blocks]
    data = layout.OPENING + b"".join(blocks) + layout.pack_index(np.array(entries, np.int64))
    return damaged(r, data, [data]) if r.random() < 0.3 else data


def check_carrying(data: bytes) -> str:
    """Items are given whatever the profile is; each decodes, or says why, by file and by pipe."""
    outcomes = []
    try:
        with clipcodec.open(io.BytesIO(data), partial=True) as opened:
            streams = [*opened]
            outcomes = [_decoded(opened.codec, stream) for stream in streams]
    except DecodeError as error:
        return type(error).__name__
    reading = clipcodec.read_items(io.BytesIO(data))
    try:
        piped = [item.stream for item in reading]
    except DecodeError as error:
        return f"pipe: {type(error).__name__}"
    assert piped == streams
    found = [_decoded(reading.codec, stream) for stream in piped]
    assert found == outcomes, "pipe and file differ"
    kinds = {outcome for outcome in outcomes if not outcome.startswith("decoded")}
    return ", ".join(sorted(kinds)) or "decoded"


def _decoded(codec: Codec, stream: bytes) -> str:
    try:
        row = codec.decode(stream)
    except DecodeError as error:
        return type(error).__name__
    assert abs(float(np.linalg.norm(row.astype(np.float64))) - 1) < 1e-5, "not of unit norm"
    return f"decoded {row.tobytes().hex()}"


def image_file(r: Random) -> bytes:
    """A damaged image file with streams inside."""
    others = _vectors("inside-images", "file")
    return damaged(r, r.choice(others), others)


def check_image_file(data: bytes) -> str:
    """ImageError or CorruptError; or streams, and one more is found once it is attached."""
    try:
        before = clipcodec.extract(data)
        after = clipcodec.attach(data, _STREAM)
    except (ImageError, CorruptError) as error:
        return type(error).__name__
    assert _STREAM in clipcodec.extract(after), "what was attached is not found"
    assert len(clipcodec.extract(after)) <= len(before) + 1
    assert clipcodec.attach(after, _STREAM) == after, "attached again, it is another file"
    return "attached"


TARGETS = [
    Target("container", 0.05, container, check_container),
    Target("carried", 0.01, carrying, check_carrying),
    Target("carrier", 0.02, image_file, check_image_file),
]
