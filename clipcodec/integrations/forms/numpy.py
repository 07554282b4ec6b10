"""`.npy`: decoded embeddings (N, D), float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ... import arrays
from ...container import Container
from ...embeddings import as_rows
from ...errors import InputError, placed
from ..converting import How, Incoming, with_ids
from .coding import beside_ids, codec_of, encoded, file_size, own_profile

WORDS = "a NumPy array"
_ROWS = 8192  # encoded at a time


@contextmanager
def read(name: str, how: How) -> Iterator[Incoming]:
    how.refuse(WORDS, "column", "id_column", "embeddings", "shard_items")
    kind = arrays.kind_of_file(name)
    if kind != ".npy":
        open(name, "rb").close()  # Python's OSError names the file
        raise InputError(f"{name} is not a NumPy array, whatever its name says")
    with placed(source=name):
        rows = as_rows(arrays.read(name, kind))
    codec = codec_of(how)
    codec.check_width(rows.shape[1], len(rows))
    streams = encoded(
        codec, how, lambda: (rows[at : at + _ROWS] for at in range(0, len(rows), _ROWS))
    )
    yield Incoming(with_ids(streams, how, len(rows)), profile=own_profile(codec))


def write(container: Container, name: str, how: How) -> int:
    how.refuse(WORDS, "column", "id_column", "embeddings", "shard_items")
    with beside_ids(container, name, how) as file:
        width = arrays.write_npy(file, container.decode_blocks())
        if width is None:
            file.seek(0)
            arrays.write_npy(file, [container.no_rows()])
    return file_size(name)
