"""One Arrow column, batch after batch: vectors or images to streams, and streams to vectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bulk.steering import Steering, StreamSize
from ..codec import Codec
from ..embeddings import Embeddings, normalise
from ..errors import (
    DecodeError,
    EmbeddingError,
    ImageError,
)
from ..profile.registry import ProfileLike
from ..retrieval.sources import parse_rows
from ..target import Target, TargetOptions
from .arrow_types import fixed_width, is_image, is_stream, is_text, is_vector, nesting, storage_type
from .bad_rows import Column
from .bad_rows import OnBadRow as OnBadRow
from .extras import need
from .values import (
    Places,
    binary_array,
    images_of,
    storage,
    streams_of,
    valid_places,
    vector_array,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    from typing_extensions import Unpack
else:
    pa = need("pyarrow", "arrow")
    pc = need("pyarrow.compute", "arrow")

_IMAGES = 64  # open at a time

ADAPTED = (
    "mean_bytes of a column that is not known in whole: the quality is adapted batch by batch, so "
    "a stream depends on the rows before it"
)

Profiles = ProfileLike | Codec


class EncodeOptions(TargetOptions, total=False):
    """What every function here that encodes takes besides, by name; all are optional.

    Attributes:
        quality: As for `clipcodec.encode_embeddings`.
        max_bytes: As for `clipcodec.encode_embeddings`.
        min_cosine: As for `clipcodec.encode_embeddings`.
        mean_bytes: As for `clipcodec.encode_embeddings`. It is found on the whole column, where
            that is known in whole and holds embeddings; else on the first batch, and adapted with
            each batch after it (a warning says so).
        weight: With a quality; see `clipcodec.Target`.
        entropy: As for `clipcodec.encode_embeddings`.
        effort: As for `clipcodec.encode_embeddings`.
        texts: As for `clipcodec.encode_embeddings`.
        profile: A registered name, the path of a profile file, or a `Codec`, which may have a
            backbone, a device and weights of its own.
        on_bad_row: None: rows that cannot be encoded raise an error. Else it is called with the
            error of each such row, `error.index`, and the row becomes null. Rows of one batch with
            the same wrong width are one call, with all of them in `error.rows`. (A rate that the
            profile cannot reach is the fault of the options, and always raises.)

    Examples:
        >>> import pyarrow as pa
        >>> from clipcodec.integrations.arrow import encode_array
        >>> bad = []
        >>> rows = pa.array([[1.0] * 512, [0.0] * 512])
        >>> streams = encode_array(rows, on_bad_row=lambda error: bad.append(error.index))
        >>> streams.is_valid().to_pylist(), bad
        ([True, False], [1])
    """

    profile: Profiles
    on_bad_row: OnBadRow


def as_codec(profile: Profiles) -> Codec:
    """The codec given, or one for the profile given."""
    return profile if isinstance(profile, Codec) else Codec(profile)


class ColumnEncoder(Column):
    """Vectors or images to streams. OptionError at once if the profile has no such streams."""

    def __init__(
        self,
        name: str | None = None,
        *,
        profile: Profiles = None,
        on_bad_row: OnBadRow = None,
        **options: Unpack[TargetOptions],
    ) -> None:
        super().__init__(name, on_bad_row)
        self.codec = as_codec(profile)
        self.width = self.codec.profile.dim  # None: any, until a row says it
        self._target = Target(**options)
        self._target.check(self.codec.profile)
        self._steering: Steering | None = None
        if self._target.mean_bytes is not None:
            self._steering = Steering(self.codec, self._target, StreamSize())
        self._begun = False

    def settle(self, arrays: Callable[[], Iterable[pa.Array]]) -> None:
        """Find what `mean_bytes` becomes on the whole column, if it holds embeddings.

        arrays  gives the column from its beginning, each time it is called

        Bad rows are passed over here. Raises RateError if it is out of reach.
        """
        if self._steering is None:
            return

        def parts() -> Iterator[Embeddings]:
            reader = ColumnEncoder(profile=self.codec, on_bad_row=lambda error: None)
            for array in arrays():
                yield from reader.units(array)

        with self._placed():
            target = self.codec.resolve_parts(parts, self._target)
        if target is not self._target:
            self._target, self._steering = target, None

    def units(self, array: pa.Array) -> Iterator[Embeddings]:
        """The next rows of a column of embeddings, with unit norm, without those at fault."""
        if not is_image(array.type) and not pa.types.is_null(storage_type(array.type)):
            rows, places = self._vectors(storage(array))
            made, _ = self._made(normalise, rows, places, EmbeddingError)
            if len(made):
                yield np.stack(made)
        self.row += len(array)

    def embedded(self, array: pa.Array) -> Iterator[Embeddings]:
        """As `units`, and of a column of images what the backbone makes of them."""
        if not is_image(array.type):
            yield from self.units(array)
            return
        for at in range(0, len(array), _IMAGES):
            pictures, places = self._pictures(array.slice(at, _IMAGES), at)
            made, _ = self._made(self.codec.embed_images, pictures, places, EmbeddingError)
            if len(made):
                yield np.stack(made)
        self.row += len(array)

    def check_type(self, type: pa.DataType) -> None:
        """Say early that no row of such a column can be encoded: EmbeddingError."""
        if is_image(type) or pa.types.is_null(storage_type(type)):
            return
        with self._placed():
            if not is_vector(type):
                raise EmbeddingError(
                    f"type {type}: expected embeddings (a list of floats) or images (binary, the "
                    "paths of files, a struct of bytes and path, or tensors of pixels)"
                )
            width = fixed_width(type)
            if width is not None:
                self._check_width(width)

    def _check_width(self, width: int) -> None:
        """Raise EmbeddingError unless rows of this width can be in the column."""
        if not width:
            raise EmbeddingError("0 numbers, expected an embedding")
        self.codec.check_width(width)
        if self.width not in (None, width):
            raise EmbeddingError(f"{width} numbers, expected {self.width}, as in the rows before")

    def encode(self, array: pa.Array) -> pa.Array:
        """The next rows of the column as binary; null stays null.

        Raises EmbeddingError, ImageError or RateError naming rows.
        """
        self.check_type(array.type)
        if is_image(array.type):
            result = binary_array(*self._encode_images(array), len(array))
        elif pa.types.is_null(storage_type(array.type)):
            result = pa.nulls(len(array), pa.binary())
        else:
            result = binary_array(*self._encode_vectors(storage(array)), len(array))
        self.row += len(array)
        return result

    def _encode_vectors(self, array: pa.Array) -> tuple[list[bytes], Places]:
        rows, places = self._vectors(array)
        made, places = self._made(self._encode, rows, places, EmbeddingError)
        return made, places

    def _encode(self, rows: NDArray[Any]) -> list[bytes]:
        if self._steering is None:
            return self.codec.encode_embeddings(rows, self._target)
        units = normalise(rows)
        if self._begun:
            warnings.warn(ADAPTED, UserWarning, stacklevel=2)
        self._begun = True
        target = self._steering.next([""] * len(rows), [*units], last=False)
        streams = self.codec.encode_embeddings(rows, target)
        self._steering.add([""] * len(rows), streams)
        return streams

    def _vectors(self, array: pa.Array) -> tuple[NDArray[Any], Places]:
        """The rows (n, D) that are numbers, a view where Arrow allows it, and their places."""
        places = valid_places(array)
        if array.null_count:
            array = array.take(pa.array(places))
        while nesting(array.type)[0] > 1:
            array, places = self._only_lists(array, places)
        width = fixed_width(array.type)
        if width is None:
            array, places = self._of_one_width(array, places)
            width = self.width or 1
        if len(array):
            self.width = width
        values = array.flatten()
        if values.null_count:
            nulls = values.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)
            holed = np.flatnonzero(nulls.any(axis=1))
            self._bad(EmbeddingError("a null among its numbers", rows=holed.tolist()), places)
            values, places = _without(array, holed).flatten(), np.delete(places, holed)
        return values.to_numpy(zero_copy_only=False).reshape(-1, width), places

    def _only_lists(self, array: pa.Array, places: Places) -> tuple[pa.Array, Places]:
        """The one list in each of the lists, and their places."""
        lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != 1)
        if len(wrong):
            reasons = {int(i): f"{lengths[i]} lists, expected one embedding" for i in wrong}
            self._bad(EmbeddingError.of_rows(reasons), places)
            array, places = _without(array, wrong), np.delete(places, wrong)
        array = storage(array.flatten())
        if array.null_count:
            nulls = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
            self._bad(EmbeddingError("null in a list", rows=nulls.tolist()), places)
            array, places = _without(array, nulls), np.delete(places, nulls)
        return array, places

    def _of_one_width(self, array: pa.Array, places: Places) -> tuple[pa.Array, Places]:
        """The lists that are as long as the column is wide, and their places."""
        lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
        if self.width is None:  # as wide as the first that is not empty
            self.width = next((int(n) for n in lengths if n), None)
        wrong = np.flatnonzero(lengths != (self.width or -1))
        if not len(wrong):
            return array, places
        for width in dict.fromkeys(lengths[wrong].tolist()):
            rows = np.flatnonzero(lengths == width)
            try:
                self._check_width(width)
            except EmbeddingError as error:
                fault = EmbeddingError(error.reason, rows=range(len(rows)))
            self._bad(fault, places[rows], together=True)
        return _without(array, wrong), np.delete(places, wrong)

    def _encode_images(self, array: pa.Array) -> tuple[list[bytes], Places]:
        results: list[Any] = []
        places: list[Places] = []
        steered = self._steering is not None
        work = self.codec.embed_images if steered else self._encode_pictures
        for at in range(0, len(array), _IMAGES):
            pictures, own = self._pictures(array.slice(at, _IMAGES), at)
            made, own = self._made(work, pictures, own, EmbeddingError)
            results += [*made]
            places.append(own)
        every = np.concatenate(places) if places else np.empty(0, np.int64)
        if steered and results:  # all of a batch have one quality
            return self._made(self._encode, np.stack(results), every, EmbeddingError)
        return results, every

    def _encode_pictures(self, pictures: list[Any]) -> list[bytes]:
        return self.codec.encode_batch(pictures, self._target)

    def _pictures(self, array: pa.Array, first: int) -> tuple[list[Any], Places]:
        """The images of a part, open, and their places in the array."""
        from ..images import load_rgb

        pictures, places, faults = [], list[int](), list[ImageError]()
        for place, image in images_of(array):
            try:
                pictures.append(load_rgb(image()))
                places.append(first + place)
            except ImageError as error:
                error.rows = (first + place,)
                faults.append(error)
        for fault in faults:
            self._bad(fault, np.arange(first + len(array)))
        return pictures, np.array(places, np.int64)


class ColumnDecoder(Column):
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
        """Say early that such a column holds no streams: DecodeError."""
        with self._placed():
            if not (is_stream(type) or is_text(type) or pa.types.is_null(storage_type(type))):
                raise DecodeError(
                    f"type {type}: expected streams, a binary column, or one of their text"
                )

    def find_width(self, arrays: Iterator[pa.Array]) -> int:
        """The width, known or of the first stream that is whole; of nulls: the profile's."""
        if self.width is None:
            streams = (stream for array in arrays for stream in streams_of(array))
            self.width = next(filter(None, map(self._width_of, streams)), None)
        self.width = self.width or self.codec.profile.dim or 1
        return self.width

    def _width_of(self, stream: bytes | str | None) -> int | None:
        try:  # its header does not do: where that is damaged, it may say any width
            return None if stream is None else len(self.codec.decode(stream))
        except DecodeError:
            return None  # reported when its turn comes

    def decode(self, array: pa.Array) -> pa.Array:
        """The next rows of the column as a fixed-size list of float32; null stays null.

        Raises DecodeError naming rows.
        """
        self.check_type(array.type)
        array = storage(array)
        width = self.find_width(iter([array]))
        places = valid_places(array)
        streams = [stream for stream in streams_of(array) if stream is not None]
        rows, places = self._made(self.decode_some, streams, places, DecodeError)
        vectors = np.reshape(rows, (-1, width)).astype(np.float32, copy=False)
        result = vector_array(vectors, places, len(array), width)
        self.row += len(array)
        return result

    def decode_some(self, streams: list[bytes | str]) -> Embeddings:
        """Streams, bytes or text, to rows (n, D); their rows count from 0 in errors."""
        width = self.width or next(filter(None, map(self._width_of, streams)), 1)
        return self.codec._decode_columns(parse_rows(self.codec, streams, width))


def _without(array: pa.Array, rows: NDArray[np.int64]) -> pa.Array:
    return array.take(pa.array(np.delete(np.arange(len(array)), rows)))
