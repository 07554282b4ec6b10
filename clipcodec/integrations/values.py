"""Arrow arrays ↔ their values: images, streams, vectors. Null is None, or not among the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import InputError
from .arrow_types import is_tensor
from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")

Places = NDArray[np.int64]
"""Rows of an array, in order: those that have a value, or a result."""

_MOST_BYTES = 2**31 - 1  # of one array with offsets of 32 bits


def valid_places(array: pa.Array) -> Places:
    """The rows that are not null."""
    places = np.arange(len(array))
    return places[array.is_valid().to_numpy(zero_copy_only=False)] if array.null_count else places


def streams_of(array: pa.Array) -> list[Any]:
    """The bytes of every row of a binary column, cut from one buffer; None for null."""
    array = storage(array)
    if pa.types.is_binary_view(array.type):  # not to be cast before pyarrow 18
        array = pa.array(array.to_pylist(), pa.large_binary())
    array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    if not len(array):
        return []
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    first = int(bounds[0])
    block = b"" if data is None else bytes(memoryview(data)[first : int(bounds[-1])])
    cuts = (bounds - first).tolist()
    rows: list[Any] = [block[a:b] for a, b in pairwise(cuts)]
    if array.null_count:
        for i in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)):
            rows[i] = None
    return rows


def images_of(array: pa.Array) -> Iterator[Any]:
    """What `load_rgb` takes for each row of an image column; None for null."""
    if is_tensor(array.type):
        for row in storage(array):
            if not row.is_valid:
                yield None
            elif isinstance(row, pa.StructScalar):
                yield row["data"].values.to_numpy().reshape(row["shape"].as_py())
            else:
                yield row.values.to_numpy().reshape(array.type.shape)
        return
    for value in storage(array).to_pylist():
        if isinstance(value, dict):  # as Hugging Face's Image: a path where there are no bytes
            yield value["bytes"] if value["bytes"] is not None else value.get("path")
        else:
            yield value


def storage(array: pa.Array) -> pa.Array:
    """The values themselves, without extension types around them."""
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array


def binary_array(streams: Sequence[bytes], places: Places, length: int) -> pa.Array:
    """A binary array of `length` rows with the streams at `places`, null elsewhere.

    Raises InputError for more than 2 GiB.
    """
    sizes = np.zeros(length + 1, np.int64)
    sizes[1 + places] = [len(stream) for stream in streams]
    offsets = np.cumsum(sizes)
    if offsets[-1] > _MOST_BYTES:
        raise InputError(f"{length} streams in one array, more than 2 GiB: give it in parts")
    buffers = [
        _validity(places, length),
        pa.py_buffer(offsets.astype(np.int32)),
        pa.py_buffer(b"".join(streams)),
    ]
    return pa.Array.from_buffers(pa.binary(), length, buffers)


def vector_array(rows: Embeddings, places: Places, length: int, width: int) -> pa.Array:
    """A fixed-size list array of `length` rows, the vectors (n, width) at `places`, else null."""
    if len(rows) != length:
        wider = np.zeros((length, width), np.float32)
        wider[places] = rows.reshape(-1, width)
        rows = wider
    values = pa.array(rows.reshape(-1))
    type = pa.list_(pa.float32(), width)
    return pa.Array.from_buffers(type, length, [_validity(places, length)], children=[values])


def _validity(places: Places, length: int) -> pa.Buffer | None:
    """Arrow's bits for null; None: no row is."""
    if len(places) == length:
        return None
    valid = np.zeros(length, bool)
    valid[places] = True
    return pa.py_buffer(np.packbits(valid, bitorder="little"))
