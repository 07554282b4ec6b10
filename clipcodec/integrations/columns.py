"""One Arrow column, batch after batch: vectors or images to streams, and streams to vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..api import ProfileLike
from ..codec import AUTO, Codec
from ..embeddings import Embeddings
from ..errors import ClipcodecError, DecodeError, EmbeddingError, ImageError, InputError, RateError
from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = need("pyarrow", "arrow")
    pc = need("pyarrow.compute", "arrow")

_IMAGES = 64  # open at a time
_MOST_BYTES = 2**31 - 1  # of one array with offsets of 32 bits
_NUMBERED = re.compile(r"(?:embedding|stream) (\d+)(:?) ")

Profiles = ProfileLike | Codec
OnBadRow = Callable[[ClipcodecError], object] | None


class EncodeOptions(TypedDict, total=False):
    """What every function here that encodes takes besides, by name; all are optional.

    profile     a registered name, the path of a profile file, or a `Codec`, which may have a
                backbone, a device and weights of its own
    quality, max_bytes, min_cosine, entropy    as for `clipcodec.encode_embeddings`
    on_bad_row  None: the first row that cannot be encoded raises its error. Else it is called with
                each such error, which names the row, and the row becomes null. (A rate that the
                profile cannot reach is the options' fault, and always raises.)
    """

    profile: Profiles
    quality: float | None
    max_bytes: int | None
    min_cosine: float | None
    entropy: str
    on_bad_row: OnBadRow


def as_codec(profile: Profiles) -> Codec:
    return profile if isinstance(profile, Codec) else Codec(profile)


class _Column:
    """Where we are in a column, to name rows in errors; they are counted over all batches."""

    def __init__(self, name: str | None, on_bad_row: OnBadRow) -> None:
        self.row = 0
        self._label = "" if name is None else f"column {name!r}"
        self._on_bad_row = on_bad_row

    def _named(self, text: str, place: int | None = None) -> str:
        row = "" if place is None else f"row {self.row + int(place)}"
        return f"{', '.join(filter(None, (self._label, row))) or 'the array'}: {text}"

    def _bad(self, error: type[ClipcodecError], place: int, text: str) -> None:
        """Raise the error of a row, or hand it to whoever asked for that."""
        bad = error(self._named(text, place))
        if self._on_bad_row is None:
            raise bad
        self._on_bad_row(bad)

    def _renamed(self, error: ClipcodecError, places: NDArray[np.int64]) -> ClipcodecError:
        """An error that counts within what it was given, with column and row instead."""
        found = _NUMBERED.match(str(error))
        if found is None:
            return type(error)(self._named(str(error)))
        # "embedding 3 takes …" → "row 1003: it takes …"; "stream 3: check …" → "row 1003: check …"
        text = ("" if found[2] else "it ") + str(error)[found.end() :]
        return type(error)(self._named(text, places[int(found[1])]))


class ColumnEncoder(_Column):
    """Vectors or images to streams. OptionError at once if the options contradict each other."""

    def __init__(
        self,
        name: str | None = None,
        *,
        profile: Profiles = None,
        quality: float | None = None,
        max_bytes: int | None = None,
        min_cosine: float | None = None,
        entropy: str = AUTO,
        on_bad_row: OnBadRow = None,
    ) -> None:
        super().__init__(name, on_bad_row)
        self.codec = as_codec(profile)
        self.width = self.codec.profile.dim  # None, until a row says it: any
        self._options: dict[str, Any] = dict(
            quality=quality, max_bytes=max_bytes, min_cosine=min_cosine, entropy=entropy
        )
        self.codec.encode_embeddings(np.empty((0, self.width or 1)), **self._options)

    def check_type(self, type: pa.DataType) -> None:
        """Say early what no row of such a column can be: EmbeddingError."""
        if _is_image(type) or pa.types.is_null(type):
            return
        given, type = type, _stored(type)
        if _is_tensor(given) or not _is_list(type) or not _is_real(type.value_type):
            raise EmbeddingError(
                self._named(
                    f"type {given}: expected embeddings (a list of floats) or images (binary, the "
                    "paths of files, a struct of bytes and path, or tensors of pixels)"
                )
            )
        if pa.types.is_fixed_size_list(type):
            self._check_width(type.list_size)

    def _check_width(self, width: int) -> None:
        if width == 0 or self.width not in (None, width):
            raise EmbeddingError(self._named(self._width_text(width)))

    def _width_text(self, width: int) -> str:
        if self.codec.profile.dim is None:
            return f"{width} numbers, expected {self.width or 'some'}, as in the rows before"
        return (
            f"{width} numbers, expected {self.width}, the width of profile "
            f"{self.codec.profile.name}; profile any/rotation takes any"
        )

    def encode(self, array: pa.Array) -> pa.Array:
        """The next rows of the column as binary; null stays null."""
        self.check_type(array.type)
        if _is_image(array.type):
            result = binary_array(*self._encode_images(array), len(array))
        elif pa.types.is_null(array.type):
            result = pa.nulls(len(array), pa.binary())
        else:
            result = binary_array(*self._encode_vectors(_storage(array)), len(array))
        self.row += len(array)
        return result

    def _encode_vectors(self, array: pa.Array) -> tuple[list[bytes], NDArray[np.int64]]:
        rows, places = self._vectors(array)
        if not len(rows):
            return [], places
        try:
            return self.codec.encode_embeddings(rows, **self._options), places
        except (RateError, EmbeddingError) as error:
            raise self._renamed(error, places) from error

    def _vectors(self, array: pa.Array) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Rows that can be encoded, a view where Arrow allows it, and their places."""
        present = np.arange(len(array))
        if array.null_count:
            present = present[array.is_valid().to_numpy(zero_copy_only=False)]
            array = array.take(pa.array(present))
        if pa.types.is_fixed_size_list(array.type):
            width = array.type.list_size
        else:
            lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
            if self.width is None:  # as wide as the first that has any
                self.width = next((int(n) for n in lengths if n), None)
            wrong = np.flatnonzero(lengths != (self.width or -1))
            for i in wrong:
                self._bad(EmbeddingError, present[i], self._width_text(int(lengths[i])))
            if len(wrong):
                array, present = _without(array, wrong), np.delete(present, wrong)
            width = self.width or 1
        if len(array):
            self.width = width
        values = array.flatten()
        if values.null_count:
            holes = np.unique(
                np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)) // width
            )
            for i in holes:
                self._bad(EmbeddingError, present[i], "a null among its numbers")
            values, present = _without(array, holes).flatten(), np.delete(present, holes)
        rows = values.to_numpy(zero_copy_only=False).reshape(-1, width)
        fine = np.isfinite(rows).all(axis=1)
        fine &= rows.any(axis=1)
        if not fine.all():
            for i in np.flatnonzero(~fine):
                zero = np.isfinite(rows[i]).all()
                why = "all zero, which has no direction" if zero else "NaN or infinite values"
                self._bad(EmbeddingError, present[i], why)
            rows, present = rows[fine], present[fine]
        return rows, present

    def _encode_images(self, array: pa.Array) -> tuple[list[bytes], NDArray[np.int64]]:
        streams: list[bytes] = []
        places: list[int] = []
        for at in range(0, len(array), _IMAGES):
            pictures, found = self._pictures(array.slice(at, _IMAGES), at)
            try:
                streams += self.codec.encode_batch(pictures, **self._options)
            except (RateError, EmbeddingError) as error:
                raise self._renamed(error, np.array(found)) from error
            places += found
        return streams, np.array(places, np.int64)

    def _pictures(self, array: pa.Array, first: int) -> tuple[list[Any], list[int]]:
        from ..images import load_rgb

        pictures, places = [], []
        for place, image in enumerate(_images(array), first):
            if image is None:
                continue
            try:
                pictures.append(load_rgb(image))
                places.append(place)
            except ImageError as error:
                self._bad(ImageError, place, str(error))
        return pictures, places


class ColumnDecoder(_Column):
    """Streams to vectors of one width.

    width  what the column must decode to; None: what its first stream says
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        profile: Profiles = None,
        width: int | None = None,
        on_bad_row: OnBadRow = None,
    ) -> None:
        super().__init__(name, on_bad_row)
        self.codec = as_codec(profile)
        self.width = width

    def check_type(self, type: pa.DataType) -> None:
        if not _is_binary(_stored(type)) and not pa.types.is_null(type):
            raise DecodeError(self._named(f"type {type}: expected streams, a binary column"))

    def find_width(self, arrays: Iterator[pa.Array]) -> int:
        """The width, known or read from the first stream that is fine; of nulls: the profile's."""
        for array in arrays if self.width is None else ():
            for stream in _slices(array):
                try:
                    self.width = self.codec.info(stream).dim if stream is not None else None
                except DecodeError:
                    continue  # decoding it will name it
                if self.width is not None:
                    return self.width
        self.width = self.width or self.codec.profile.dim or 1
        return self.width

    def decode(self, array: pa.Array) -> pa.Array:
        """The next rows of the column as a fixed-size list of float32; null stays null."""
        self.check_type(array.type)
        streams = _slices(array)
        places = np.arange(len(array))
        if array.null_count:
            places = places[array.is_valid().to_numpy(zero_copy_only=False)]
            streams = [stream for stream in streams if stream is not None]
        rows, places = self._rows(streams, places)
        if self.width is None:
            self.width = rows.shape[1] or self.codec.profile.dim or 1
        if len(rows) and rows.shape[1] != self.width:
            raise DecodeError(
                self._named(f"streams of {rows.shape[1]} dimensions, expected {self.width}")
            )
        result = vector_array(rows, places, len(array), self.width)
        self.row += len(array)
        return result

    def _rows(
        self, streams: list[Any], places: NDArray[np.int64]
    ) -> tuple[Embeddings, NDArray[np.int64]]:
        try:
            return self.codec.decode_batch(streams), places
        except DecodeError as error:
            if self._on_bad_row is None:
                raise self._renamed(error, places) from error
        fine = []
        for i, stream in enumerate(streams):
            try:
                self.codec.info(stream)
                fine.append(i)
            except DecodeError as error:
                self._bad(type(error), places[i], str(error))
        return self.codec.decode_batch([streams[i] for i in fine]), places[fine]


def binary_array(streams: list[bytes], places: NDArray[np.int64], length: int) -> pa.Array:
    """A binary array of `length` rows with the streams at `places`, null elsewhere."""
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


def vector_array(rows: Embeddings, places: NDArray[np.int64], length: int, width: int) -> pa.Array:
    """A fixed-size list array of `length` rows with the vectors at `places`, null elsewhere."""
    if len(rows) != length:
        spread = np.zeros((length, width), np.float32)
        spread[places] = rows.reshape(-1, width)
        rows = spread
    values = pa.array(rows.reshape(-1))
    type = pa.list_(pa.float32(), width)
    return pa.Array.from_buffers(type, length, [_validity(places, length)], children=[values])


def _validity(places: NDArray[np.int64], length: int) -> pa.Buffer | None:
    if len(places) == length:
        return None
    valid = np.zeros(length, bool)
    valid[places] = True
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _without(array: pa.Array, places: NDArray[np.int64]) -> pa.Array:
    return array.take(pa.array(np.delete(np.arange(len(array)), places)))


def _slices(array: pa.Array) -> list[Any]:
    """The bytes of every row, cut from one buffer; None for null."""
    array = _storage(array)
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


def _images(array: pa.Array) -> Iterator[Any]:
    """What `load_rgb` takes for each row of an image column; None for null."""
    if _is_tensor(array.type):
        for row in _storage(array):
            if not row.is_valid:
                yield None
            elif isinstance(row, pa.StructScalar):
                yield row["data"].values.to_numpy().reshape(row["shape"].as_py())
            else:
                yield row.values.to_numpy().reshape(array.type.shape)
        return
    for value in _storage(array).to_pylist():
        if isinstance(value, dict):  # as Hugging Face's Image: a path where there are no bytes
            yield value["bytes"] if value["bytes"] is not None else value.get("path")
        else:
            yield value


def _storage(array: pa.Array) -> pa.Array:
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array


def _stored(type: pa.DataType) -> pa.DataType:
    while isinstance(type, pa.BaseExtensionType):
        type = type.storage_type
    return type


def _is_list(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_fixed_size_list(type)
        or kinds.is_list(type)
        or kinds.is_large_list(type)
        or kinds.is_list_view(type)
        or kinds.is_large_list_view(type)
    )


def _is_real(type: pa.DataType) -> bool:
    return bool(pa.types.is_floating(type) or pa.types.is_integer(type))


def _is_binary(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_binary(type)
        or kinds.is_large_binary(type)
        or kinds.is_fixed_size_binary(type)
        or kinds.is_binary_view(type)
    )


def _is_tensor(type: pa.DataType) -> bool:
    """Tensors of more than one dimension: Arrow's, or those of Ray, of one shape or of many."""
    if not isinstance(type, pa.BaseExtensionType):
        return False
    stored = _stored(type)
    if pa.types.is_struct(stored):
        return {field.name for field in stored} == {"data", "shape"}
    return len(getattr(type, "shape", ())) > 1


def _is_image(type: pa.DataType) -> bool:
    if _is_tensor(type):
        if pa.types.is_struct(_stored(type)):  # each has its own shape
            return True
        order = list(getattr(type, "permutation", None) or ())
        return len(type.shape) <= 3 and order == sorted(order)
    type = _stored(type)
    if pa.types.is_struct(type):
        place = type.get_field_index("bytes")
        return place >= 0 and _is_binary(type.field(place).type)
    text = pa.types.is_string(type) or pa.types.is_large_string(type)
    return bool(_is_binary(type) or text or pa.types.is_string_view(type))
