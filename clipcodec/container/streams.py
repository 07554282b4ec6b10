"""Single streams beside containers: read from a file, and by what made them."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from ..bitstream import Header, split
from ..errors import DecodeError, InputError, UnknownProfileError, placed
from . import layout
from .names import STREAM_SUFFIX

if TYPE_CHECKING:
    from ..codec import Codec


def profile_name(stream: bytes) -> str:
    """The name of the profile that a stream was made with, as far as its header says.

    A private one is named by the first bytes of its digest. Raises DecodeError.
    """
    return _name(split(stream)[0])


@lru_cache(maxsize=64)
def _name(header: Header) -> str:
    from ..profile.registry import registered  # here: bytes alone need no profile

    if header.profile_id is None:
        return f"private, {(header.digest or b'').hex()}"
    names = {row.id: row.name for row in registered()}
    return names.get(header.profile_id, f"id {header.profile_id}, unknown here")


def read_stream(source: str | os.PathLike[str] | BinaryIO, codec: Codec | None) -> bytes:
    """The bytes of a file that holds one stream, checked in full if its profile is at hand.

    Without the profile, only the name of the file, `….clip`, says that it is a stream. Without a
    codec, nothing is checked. Raises DecodeError naming the file, or OSError.
    """
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else _called(source)
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            data = file.read(layout.MAX_STREAM + 1)
    else:
        source.seek(0)
        data = source.read(layout.MAX_STREAM + 1)
    with placed(source=name):
        if len(data) > layout.MAX_STREAM:
            raise DecodeError(f"more than {layout.MAX_STREAM} bytes: not a stream of one embedding")
        try:
            if codec is not None:
                codec.info(data)
        except UnknownProfileError:
            if not name.lower().endswith(STREAM_SUFFIX):
                raise
    return data


def _called(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "stream"


def id_of_stream(name: str) -> str:
    """The id that a stream's file gives to it: its path, with forward slashes, without `.clip`.

    That is the id that `clipcodec compress` gives to the image beside it. Raises InputError if the
    path is not UTF-8.
    """
    try:
        path = os.fsencode(name).decode().replace(os.sep, "/")
    except UnicodeError as error:
        raise InputError("its name is not UTF-8, so it cannot be an id: rename it") from error
    short = path[: -len(STREAM_SUFFIX)]
    return short if short and path.lower().endswith(STREAM_SUFFIX) else path
