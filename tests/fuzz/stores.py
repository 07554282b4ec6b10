"""Containers and image files: what carries streams, and what must hold whatever is in it."""

from __future__ import annotations

import io
import json
import sys
import zlib
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

import clipcodec
from clipcodec import CorruptError, DecodeError, ImageError
from tests.helpers.paths import FORMATS, TOOLS

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
    assert found["pipe"][:2] == found["reference"][:2], "pipe and reference differ"
    if found["pipe"][0] == "accept":
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
            assert opened.complete or good == whole, "good blocks differ"
    except DecodeError:
        pass
    return outcome


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
    Target("carrier", 0.02, image_file, check_image_file),
]
