"""`.faiss`: an index of faiss with the embeddings in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ...container import Container
from ...container.layout import Item
from ...errors import InputError, OptionError, brief
from ..converting import How, Incoming, with_ids
from ..extras import need
from ..faiss import from_faiss, to_faiss
from .coding import beside_ids, codec_of, file_size, own_profile

WORDS = "an index of faiss"


@contextmanager
def read(name: str, how: How) -> Iterator[Incoming]:
    """Vectors get the ids of the index as text, if it keeps some."""
    how.refuse(WORDS, "column", "id_column", "embeddings", "shard_items")
    faiss = need("faiss", "faiss")
    open(name, "rb").close()  # Python's OSError names the file
    try:
        index = faiss.read_index(name)
    except RuntimeError as error:
        raise InputError(f"{name} is not an index of faiss: {brief(error)}") from error
    codec = codec_of(how)
    options: Any = asdict(how.target)
    vectors = from_faiss(index, profile=codec.profile, **options)
    items: Iterator[Item]
    named = isinstance(index, (faiss.IndexIDMap, faiss.IndexIDMap2))
    if how.ids is not None:
        if named:
            raise OptionError(f"{name} has ids of its own: leave ids out")
        items = with_ids((stream for _, stream in vectors), how, index.ntotal)
    else:
        items = (Item(stream, str(id) if named else None) for id, stream in vectors)
    yield Incoming(items, profile=own_profile(codec))


def write(container: Container, name: str, how: How) -> int:
    how.refuse(WORDS, "column", "id_column", "embeddings", "shard_items")
    faiss = need("faiss", "faiss")
    with beside_ids(container, name, how) as file:
        index = to_faiss(container)
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
    return file_size(name)
