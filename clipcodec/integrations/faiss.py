"""Streams to a faiss index, and a flat faiss index to streams (docs/search.md).

>>> from clipcodec.integrations.faiss import from_faiss, to_faiss
>>> index = to_faiss(clipcodec.open("photos.clpc"))  # an exact IndexFlatIP
>>> streams = [stream for id, stream in from_faiss(index, quality=20)]
>>> len(streams)
100
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..embeddings import Embeddings, normalise
from ..errors import InputError, OptionError, brief, placed
from ..profile.registry import ProfileLike
from ..target import Target, TargetOptions
from .exported import check_width, counted, integers, rows_of, width_of
from .extras import need

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["from_faiss", "to_faiss"]

_BLOCK = 8192  # rows encoded at a time
_NO_HIT = -1  # what faiss gives as the id of a hit that it has not found
_NO_IDS = "keeps no ids: wrap it, faiss.IndexIDMap(index)"


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def to_faiss(
    source: Any, index: Any = None, *, ids: Any = None, profile: ProfileLike = None
) -> Any:
    """Add the decoded embeddings of a source of streams to a faiss index, block after block.

    Args:
        source: As for `clipcodec.search`, or a `SearchIndex`, whose rows are not decoded again.
        index: Any trained index of the same width; None makes an IndexFlatIP, whose scores are
            those of `clipcodec.search`.
        ids: (N,) integers, one per stream, for an index that keeps ids, such as IndexIDMap or an
            IVF index; within 64 bits with sign, and not -1, faiss's "no hit". An iterator's streams
            are all taken first to count them.
        profile: A private profile's file; a container brings its own.

    Returns:
        The index.

    Raises:
        DecodeError: Names damaged streams by their position in the source; the blocks before them
            have been added by then.
        EmbeddingError: The index has another width.
        OptionError: Before anything is added: the index is not trained, cannot keep these ids, or
            there are more or fewer of them than streams.
        MissingDependencyError: faiss is not installed.

    Examples:
        >>> import faiss
        >>> from clipcodec.integrations.faiss import to_faiss
        >>> index = faiss.IndexIDMap(faiss.IndexFlatIP(512))
        >>> to_faiss(clipcodec.open("photos.clpc"), index, ids=range(1000, 1100)).ntotal
        100
    """
    faiss = need("faiss", "faiss")
    if index is not None:
        _check_takes(faiss, index, with_ids=ids is not None)
    elif ids is not None:
        raise OptionError(f"IndexFlatIP {_NO_IDS}")
    numbers = None if ids is None else _ids(ids)
    if numbers is not None:
        source = _counted(source, len(numbers))
    first = 0
    for rows in rows_of(source, profile):
        if index is None:
            index = faiss.IndexFlatIP(rows.shape[1])
        check_width(rows, index.d)
        own = () if numbers is None else (numbers[first : first + len(rows)],)
        if own and len(own[0]) != len(rows):
            raise OptionError(f"{len(own[0]) + first} ids for {first + len(rows)} streams or more")
        try:
            (index.add_with_ids if own else index.add)(rows, *own)
        except RuntimeError as error:  # of a type of index that this module does not know
            what = "these embeddings with ids" if own else "these embeddings without ids"
            raise OptionError(f"{_name(index)} does not take {what}: {brief(error)}") from error
        first += len(rows)
    if numbers is not None and len(numbers) != first:
        raise OptionError(f"{len(numbers)} ids for {first} streams")
    return faiss.IndexFlatIP(width_of(source, profile)) if index is None else index


def _check_takes(faiss: Any, index: Any, *, with_ids: bool) -> None:
    """Raise OptionError unless vectors can be added to this index, with or without ids."""
    if not isinstance(index, faiss.Index):
        raise OptionError(
            f"{_name(index)} is not a faiss index of float vectors: give one, such as "
            "faiss.IndexFlatIP(512)"
        )
    layers = [layer for layer, _ in _layers(faiss, index)]
    if not all(layer.is_trained for layer in layers):
        raise OptionError(
            f"this {_name(layers[-1])} is not trained: train it, on decoded embeddings of a "
            "sample, say: index.train(clipcodec.decode_batch(streams[:100_000]))"
        )
    maps = [isinstance(layer, _maps(faiss)) for layer in layers]
    if any(maps) and not with_ids:
        raise OptionError(f"{_name(layers[maps.index(True)])} needs an id for each stream: ids=…")
    if with_ids and not any(maps) and isinstance(layers[-1], _placed_only(faiss)):
        raise OptionError(f"{_name(layers[-1])} {_NO_IDS}")
    if sum(maps) > 1:
        raise OptionError("an IndexIDMap of an IndexIDMap takes no vectors: wrap the index once")


def _placed_only(faiss: Any) -> tuple[Any, ...]:
    return faiss.IndexFlatCodes, faiss.IndexFastScan, faiss.IndexHNSW, faiss.IndexNSG


def _maps(faiss: Any) -> tuple[Any, ...]:
    return faiss.IndexIDMap, faiss.IndexIDMap2


def _name(index: Any) -> str:
    return type(index).__name__


def _layers(faiss: Any, index: Any) -> Iterator[tuple[Any, Any]]:
    """The index, the one inside it, and so on, each as what it is; and what is inside it, or None.

    They are views into the outermost index: the caller holds it as long as it uses them.
    """
    while isinstance(index, faiss.Index):
        layer = faiss.downcast_index(index)
        wraps = isinstance(layer, (*_maps(faiss), faiss.IndexPreTransform))
        index = layer.index if wraps else None
        yield layer, index


def _ids(ids: Any) -> NDArray[np.int64]:
    """Ids as faiss keeps them. Raises OptionError for those that it would change."""
    numbers = integers(ids, "ids")
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    wrong = (numbers < low) | (numbers > high) | (numbers == _NO_HIT)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        if numbers[row] == _NO_HIT:
            why = f'faiss says {_NO_HIT} for "no hit": leave such rows out, or choose another id'
        else:
            why = "faiss keeps ids of 64 bits with sign, up to 2**63 - 1: choose smaller ones"
        raise OptionError(f"id {numbers[row]}, of stream {row}: {why}")
    return numbers.astype(np.int64)


def _counted(source: Any, count: int) -> Any:
    """The source, if it has `count` streams; of an iterator, a list of them. Raises OptionError."""
    if isinstance(source, Iterable) and not isinstance(source, Sized):
        source = list(islice(source, count + 1))
    if isinstance(source, Sized) and not isinstance(source, (str, bytes, bytearray, memoryview)):
        there = counted(source)[1]
        if there != count:
            more = " or more" if isinstance(source, list) and there == count + 1 else ""
            raise OptionError(f"{count} ids for {there} streams{more}")
    return source


def from_faiss(
    index: Any, *, profile: ProfileLike = None, **options: Unpack[TargetOptions]
) -> Iterator[tuple[int, bytes]]:
    """Compress the vectors of a flat faiss index, in its order and in bounded memory.

    Args:
        index: IndexFlat, or another without lists, such as IndexScalarQuantizer or IndexHNSWFlat:
            its vectors are what it kept of them. An IndexIDMap and transforms may be around it, in
            any order. The IndexIDMap gives the ids; without one, an id is the vector's position.
        profile: As for `clipcodec.encode_embeddings`.
        **options: The fields of `clipcodec.Target` by name.

    Returns:
        An iterator over (id, stream) of every vector.

    Raises:
        InputError: It is any other index, or one whose transforms cannot be undone.
        OptionError: An option is out of range.
        EmbeddingError: Its `rows` are the ids of the vectors at fault, and so with RateError.
        MissingDependencyError: faiss is not installed.

    Examples:
        >>> import faiss
        >>> from clipcodec.integrations.faiss import from_faiss
        >>> index = faiss.IndexFlatIP(512)
        >>> index.add(np.load("embeddings.npy"))
        >>> with clipcodec.create("new.clpc") as writer:
        ...     for id, stream in from_faiss(index, quality=20):
        ...         writer.append(stream, id=str(id))
        >>> len(writer)
        100
    """
    vectors = _Vectors(need("faiss", "faiss"), index)
    codec, target = Codec(profile), Target(**options)
    target.check(codec.profile)  # here, not when the first stream is asked for
    codec.check_width(index.d, vectors.count)
    return _encoded(codec, target, vectors)


def _encoded(codec: Codec, target: Target, vectors: _Vectors) -> Iterator[tuple[int, bytes]]:
    def units() -> Iterator[Embeddings]:
        for own, rows in vectors.blocks():
            with placed(own, item="vector"):
                x = normalise(rows)
            yield x

    if target.mean_bytes is not None:
        with placed(None):
            target = codec.resolve_parts(units, target)
    for own, rows in vectors.blocks():
        with placed(own, item="vector"):
            streams = codec.encode_embeddings(rows, target)
        yield from zip(own, streams, strict=True)


class _Vectors:
    """The vectors of an index, by place. Raises InputError if it does not give them back.

    faiss ends the whole process where a layer cannot do what another one asks of it. So every layer
    is asked alone, and only for what it was seen to be able to do.
    """

    def __init__(self, faiss: Any, index: Any) -> None:
        self._held = index  # faiss frees what is inside it, which `_store` refers to
        self._transforms: list[Any] = []
        ids, store, counts = None, index, []
        for layer, inside in _layers(faiss, index):
            counts.append(layer.ntotal)
            if isinstance(layer, _maps(faiss)) and ids is None:
                ids = faiss.vector_to_array(layer.id_map)
                counts.append(len(ids))
            elif isinstance(layer, faiss.IndexPreTransform):
                self._transforms += _transforms(faiss, layer)
            store = layer if inside is None else inside
        if isinstance(store, faiss.IndexHNSW):
            store = faiss.downcast_index(store.storage)
            counts.append(0 if store is None else store.ntotal)
        if not isinstance(store, faiss.IndexFlatCodes):
            raise InputError(
                f"{_name(store)} does not give its vectors back by place: only flat "
                "indexes can be compressed, IndexFlat or IndexIDMap of one, say"
            )
        self._store, self.count = store, int(store.ntotal)
        if {*counts} != {self.count} or store.codes.size() < self.count * store.code_size:
            raise InputError(
                f"{_name(index)}: its parts have different numbers of vectors, so it was changed "
                "from outside or is damaged: build it again"
            )
        if self.count:
            self._check_undone(index.d)
        self._ids = np.arange(self.count) if ids is None else ids

    def _check_undone(self, width: int) -> None:
        """Raise InputError unless every transform gives back what was put into it."""
        for transform in self._transforms:
            fits = transform.d_in == width
            width = transform.d_out
            matrix = getattr(transform, "A", None)
            if matrix is not None and matrix.size() < transform.d_in * transform.d_out:
                fits = False
            try:
                if not (fits and transform.is_trained):
                    raise RuntimeError("its size or its training does not fit")
                transform.reverse_transform(np.zeros((1, width), np.float32))
            except RuntimeError as error:
                raise InputError(
                    f"the transform {_name(transform)} of this index cannot be undone, so its "
                    "vectors are lost: compress those that were added to it"
                ) from error
        if self._store.d != width or not self._store.is_trained:
            raise InputError(f"{_name(self._store)} of this index is not trained: build it again")

    def blocks(self) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """All ids and values, some thousand at a time."""
        for at in range(0, self.count, _BLOCK):
            yield self.read(at, min(_BLOCK, self.count - at))

    def read(self, first: int, count: int) -> tuple[list[int], NDArray[np.float32]]:
        """The ids and values of `count` vectors from place `first` on."""
        if self._store.ntotal < first + count:
            raise InputError("vectors were removed from the index while it was read: begin again")
        try:
            rows = self._store.reconstruct_n(first, count)
            for transform in reversed(self._transforms):
                rows = transform.reverse_transform(rows)
        except RuntimeError as error:
            raise InputError(
                f"{_name(self._store)} does not give its vectors back: {brief(error)}"
            ) from error
        return self._ids[first : first + count].tolist(), rows


def _transforms(faiss: Any, layer: Any) -> list[Any]:
    """What an IndexPreTransform does to a vector, in that order."""
    chain = layer.chain
    return [faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())]
