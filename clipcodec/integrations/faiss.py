"""Streams to a faiss index, and a flat faiss index to streams (docs/search.md).

>>> from clipcodec.integrations.faiss import from_faiss, to_faiss
>>> index = to_faiss(clipcodec.open("photos.clpc"))           # an exact IndexFlatIP
>>> index = to_faiss(streams, faiss.read_index("trained.faiss"))
>>> streams = [stream for id, stream in from_faiss(index, max_bytes=50)]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..errors import EmbeddingError, InputError, OptionError, placed
from ..profile.registry import ProfileLike
from ..retrieval import codec_of, decoded
from ..target import Target, TargetOptions
from .extras import need

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["from_faiss", "to_faiss"]

_BLOCK = 8192  # rows encoded at a time


def to_faiss(
    source: Any, index: Any = None, *, ids: Any = None, profile: ProfileLike = None
) -> Any:
    """Add the decoded embeddings of `source` to a faiss index, block after block; return it.

    source   as for `clipcodec.search`
    index    any trained index of the same width; None makes an IndexFlatIP, whose scores are those
             of `clipcodec.search`
    ids      (N,) integers, one per stream, for an index that keeps ids, such as IndexIDMap or an
             IVF index
    profile  a private profile's file; a container brings its own

    Raises DecodeError naming damaged streams by their place in the source; the blocks before them
    have been added by then. Raises EmbeddingError for another width, OptionError for an index that
    is not trained, or for ids that it cannot keep.
    """
    faiss = need("faiss", "faiss")
    codec = codec_of(source, profile)
    if index is not None and not index.is_trained:
        raise OptionError(
            f"this {type(index).__name__} is not trained: train it, on decoded embeddings of a "
            "sample, say: index.train(clipcodec.decode_batch(streams[:100_000]))"
        )
    numbers = None if ids is None else _ids(ids)
    first = 0
    for rows in decoded(source, codec):
        if index is None:
            index = faiss.IndexFlatIP(rows.shape[1])
        if index.d != rows.shape[1]:
            raise EmbeddingError(
                f"the source has embeddings of {rows.shape[1]} dimensions, the index of {index.d}"
            )
        _add(index, rows, numbers, first)
        first += len(rows)
    if numbers is not None and len(numbers) != first:
        raise OptionError(f"{len(numbers)} ids for {first} streams")
    return faiss.IndexFlatIP(codec.profile.dim or 1) if index is None else index


def _ids(ids: Any) -> NDArray[np.int64]:
    numbers = np.asarray(ids)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise OptionError(f"ids of shape {numbers.shape}, {numbers.dtype}: expected (N,) integers")
    return numbers.astype(np.int64)


def _add(index: Any, rows: NDArray[np.float32], ids: NDArray[np.int64] | None, first: int) -> None:
    if ids is None:
        index.add(rows)
        return
    own = ids[first : first + len(rows)]
    if len(own) != len(rows):
        raise OptionError(f"{len(ids)} ids for {first + len(rows)} streams or more")
    try:
        index.add_with_ids(rows, own)
    except RuntimeError as error:
        raise OptionError(
            f"{type(index).__name__} keeps no ids: wrap it, faiss.IndexIDMap(index)"
        ) from error


def from_faiss(
    index: Any, *, profile: ProfileLike = None, **options: Unpack[TargetOptions]
) -> Iterator[tuple[int, bytes]]:
    """(id, stream) of every vector of a flat faiss index, in its order, in bounded memory.

    index    IndexFlat, or another without lists, such as IndexScalarQuantizer or IndexHNSWFlat:
             its vectors are what it kept of them. An IndexIDMap of one gives its ids; of others the
             id is the vector's place
    profile  as for `clipcodec.encode_embeddings`
    options  quality, max_bytes, min_cosine, entropy: see `clipcodec.target.Target`

    Raises InputError for any other index, OptionError, and EmbeddingError or RateError, whose
    `rows` are the ids of the vectors at fault.

    >>> with clipcodec.create("photos.clpc") as writer:
    ...     for id, stream in from_faiss(faiss.read_index("photos.faiss")):
    ...         writer.append(stream, id=str(id))
    """
    store, ids = _store(need("faiss", "faiss"), index)
    codec, target = Codec(profile), Target(**options)
    target.check(codec.profile)  # here, not when the first stream is asked for
    codec.check_width(store.d, store.ntotal)
    return _encoded(codec, target, store, ids)


def _store(faiss: Any, index: Any) -> tuple[Any, NDArray[np.int64]]:
    """What holds the vectors of an index, and their ids (N,). Raises InputError."""
    store = faiss.downcast_index(index) if isinstance(index, faiss.Index) else index
    if isinstance(store, (faiss.IndexIDMap, faiss.IndexIDMap2)):
        return _store(faiss, store.index)[0], faiss.vector_to_array(store.id_map)
    if isinstance(store, faiss.IndexPreTransform):
        _store(faiss, store.index)  # only to check it: the vectors come back through `store`
    elif not isinstance(store, (faiss.IndexFlatCodes, faiss.IndexHNSW)):
        raise InputError(
            f"{type(store).__name__} does not give its vectors back by place: only flat "
            "indexes can be compressed, IndexFlat or IndexIDMap of one, say"
        )
    return store, np.arange(store.ntotal)


def _encoded(
    codec: Codec, target: Target, store: Any, ids: NDArray[np.int64]
) -> Iterator[tuple[int, bytes]]:
    for at in range(0, store.ntotal, _BLOCK):
        rows = store.reconstruct_n(at, min(_BLOCK, store.ntotal - at))
        own = ids[at : at + _BLOCK].tolist()
        with placed(own, item="vector"):
            streams = codec.encode_embeddings(rows, target)
        yield from zip(own, streams, strict=True)
