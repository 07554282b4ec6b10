"""What forms of embeddings share: rows to streams, items to rows, ids beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ...codec import Codec
from ...container import Container
from ...container.copying import refuse_own
from ...container.id_lists import lines_of
from ...container.profiles import profile_of
from ...embeddings import normalise
from ...errors import OptionError, placed
from ...profile import Profile
from ...system.files import replacing
from ..converting import How, note_lost

Parts = Callable[[], Iterable[Any]]


def codec_of(how: How) -> Codec:
    """What encodes. Raises OptionError if the profile cannot do what is asked."""
    codec = Codec(None if how.profile is None else profile_of(how.profile))
    how.target.check(codec.profile)
    return codec


def own_profile(codec: Codec) -> Profile | None:
    """The profile that a container of these streams is to carry: a private one."""
    return codec.profile if codec.profile.id is None else None


def encoded(codec: Codec, how: How, parts: Parts) -> Iterator[bytes]:
    """The streams of all rows, which `parts` gives (n, D) at a time, whenever it is called."""
    target = how.target

    def units() -> Iterator[Any]:
        first = 0
        for rows in parts():
            with placed(first, item="row"):
                yield normalise(rows)
            first += len(rows)

    if target.mean_bytes is not None:
        with placed(None):
            target = codec.resolve_parts(units, target)
    first = 0
    for rows in parts():
        with placed(first, item="row"):
            streams = codec.encode_embeddings(rows, target)
        yield from streams
        first += len(streams)


@contextmanager
def beside_ids(container: Container, name: str, how: How) -> Iterator[BinaryIO]:
    """A new file for embeddings, and the list of ids if there is to be one: both, or none."""
    list_of_ids = how.ids_to_write()
    note_lost(container, how, ids=list_of_ids is None, metadata=True)
    if list_of_ids is not None:
        if os.path.realpath(list_of_ids) == os.path.realpath(name):
            raise OptionError(f"the embeddings and their ids cannot both go to {name}")
        refuse_own(container, list_of_ids)
    with replacing(name, overwrite=how.overwrite) as file:
        yield file
        if list_of_ids is not None:
            with replacing(list_of_ids, overwrite=how.overwrite) as text:
                text.write(lines_of(container.ids).encode())


def file_size(name: str) -> int:
    """Bytes of a file, or of all files in a folder; 0 if it is not on this machine."""
    with suppress(OSError):
        path = Path(name)
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(one.stat().st_size for one in files if one.is_file())
    return 0
