"""Arrow arrays ↔ their values: images, streams, vectors. Null is None, or not among the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import ImageError, InputError
from .arrow_types import is_tensor, is_text, nesting, value_type
from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = need("pyarrow", "arrow")
    pc = need("pyarrow.compute", "arrow")

Places = NDArray[np.int64]
"""Rows of an array, in order: those that have a value, or a result."""

_MOST_BYTES = 2**31 - 1  # of one array with offsets of 32 bits


def valid_places(array: pa.Array) -> Places:
    """The rows that are not null."""
    places = np.arange(len(array))
    return places[array.is_valid().to_numpy(zero_copy_only=False)] if array.null_count else places


def streams_of(array: pa.Array) -> list[Any]:
    """The bytes of every row of a binary column, cut from one buffer; None for null.

    Of a column of text, the text.
    """
    array = storage(array)
    if is_text(array.type):
        return list(array.to_pylist())
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


def images_of(array: pa.Array) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Each row of an image column that is not null, and a function that gives its image.

    That is what `load_rgb` takes; ImageError if the row holds none.
    """
    shape = getattr(value_type(array.type), "shape", None) if is_tensor(array.type) else None
    for place, row in enumerate(storage(array)):
        if row.is_valid:
            yield place, partial(_image, row, shape)


def _image(row: Any, shape: tuple[int, ...] | None) -> Any:
    if isinstance(row, pa.StructScalar):
        if "bytes" not in row:  # a tensor with a shape of its own
            if not row["data"].is_valid or not row["shape"].is_valid:
                raise ImageError("a tensor without data or shape")
            return _pixels(row["data"].values, row["shape"].as_py())
        value = row.as_py()  # as Hugging Face's Image: a path where there are no bytes
        image = value["bytes"] if value["bytes"] is not None else value.get("path")
        if image is None:
            raise ImageError("neither bytes nor a path: a row without image should be null")
        return image
    depth = nesting(row.type)[0]
    if not depth:
        return row.as_py()
    return _pixels(row.values, shape if depth == 1 else None)


def _pixels(values: pa.Array, shape: Sequence[int] | None) -> NDArray[Any]:
    """The numbers in an array of this shape; None: that of the lists around them."""
    values = storage(values)
    if shape is None:
        sizes = [len(values)]
        while nesting(values.type)[0]:
            lengths = pc.unique(pc.list_value_length(values)).to_pylist()
            if len(lengths) != 1 or None in lengths:
                raise ImageError("rows of different lengths, or null among them")
            sizes += lengths
            values = storage(values.flatten())
        shape = sizes
    if values.null_count:
        raise ImageError("a null among its numbers")
    if None in shape or math.prod(shape) != len(values):
        raise ImageError(f"{len(values)} numbers in a tensor of shape {list(shape)}")
    pixels: NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(shape)
    return pixels


def storage(array: pa.Array) -> pa.Array:
    """The values themselves, without extension types, dictionaries and runs around them."""
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif isinstance(array, pa.DictionaryArray):
            array = _taken(storage(array.dictionary), array.indices)
        elif isinstance(array, pa.RunEndEncodedArray):
            ends = array.run_ends.to_numpy()
            rows = np.arange(array.offset, array.offset + len(array))
            places = pa.array(np.searchsorted(ends, rows, "right"))
            array = _taken(storage(array.values), places)
        else:
            return array


def _taken(values: pa.Array, places: pa.Array) -> pa.Array:
    """The values at these places, null where the place is."""
    try:
        return values.take(places)
    except pa.ArrowNotImplementedError:  # views
        rows = [None if i is None else values[i].as_py() for i in places.to_pylist()]
        return pa.array(rows, values.type)


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
