"""A feature of Hugging Face datasets: a column of streams that is read as vectors (docs/tables.md).

Importing this module registers the feature. Whoever opens a dataset that was saved with it imports
the module first.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import DecodeError, placed
from ..text_form import as_bytes, check_start
from .arrow_types import is_stream, is_text, storage_type
from .extras import need
from .values import streams_of

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")

features: Any = need("datasets.features.features", "datasets")

__all__ = ["ClipStream"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


@dataclass
class ClipStream:
    """A column of streams, whose rows are read as vectors: (D,) float32, unit norm.

    In the file it is a binary column, which all other readers take as it is. Rows that are missing
    are None. `cast_column` makes one of a column of bytes, or of their text; embeddings are encoded
    by `clipcodec.integrations.arrow.encode_table` first.

    A function given to `map` that reads the vectors needs `remove_columns`: datasets would write
    the vectors back, and that is an error, as streams made of decoded vectors are others.

    Attributes:
        profile: A registered name, or the path of a profile file, which private streams were made
            with; saved with the dataset.
        decode: Whether rows are read as vectors; else as the bytes that they are.
        id: For Hugging Face's own use.

    Examples:
        >>> from clipcodec.integrations.datasets import ClipStream
        >>> from datasets import Dataset
        >>> ds = Dataset.from_dict({"clip": clipcodec.open("photos.clpc")[:]})
        >>> ds = ds.cast_column("clip", ClipStream())
        >>> ds[0]["clip"].shape
        (512,)
    """

    profile: str | None = None
    decode: bool = True
    id: str | None = field(default=None, repr=False)
    dtype: ClassVar[str] = "bytes"
    pa_type: ClassVar[Any] = pa.binary()
    _type: str = field(default="ClipStream", init=False, repr=False)

    def __call__(self) -> Any:
        return self.pa_type

    def encode_example(self, value: bytes | str) -> bytes:
        """Give what is stored of a row: the bytes of its stream.

        Args:
            value: The bytes of a stream, or its text.

        Returns:
            The bytes.

        Raises:
            DecodeError: It begins no stream, or is the text of one as bytes.

        Examples:
            >>> from clipcodec.integrations.datasets import ClipStream
            >>> stream = clipcodec.open("photos.clpc")[0]
            >>> ClipStream().encode_example(clipcodec.to_text(stream)) == stream
            True
        """
        stream = as_bytes(value)
        check_start(stream)
        return stream

    def decode_example(self, value: bytes, token_per_repo_id: object = None) -> Embeddings:
        """Give the vector of a stored row.

        Args:
            value: The bytes of its stream.
            token_per_repo_id: Not used; datasets gives it to every feature.

        Returns:
            (D,) float32, unit norm.

        Raises:
            DecodeError: As for `clipcodec.decode`.

        Examples:
            >>> from clipcodec.integrations.datasets import ClipStream
            >>> ClipStream().decode_example(clipcodec.open("photos.clpc")[0]).shape
            (512,)
        """
        return _codec(self.profile).decode(value)

    def cast_storage(self, storage: Any) -> Any:
        """Make the column of bytes that is stored of an Arrow array.

        Args:
            storage: An array of a binary type, or of text.

        Returns:
            An array of type binary; null stays null.

        Raises:
            DecodeError: Another type, or a text that is none of a stream: names the row.

        Examples:
            >>> import pyarrow as pa
            >>> from clipcodec.integrations.datasets import ClipStream
            >>> text = clipcodec.to_text(clipcodec.open("photos.clpc")[0])
            >>> ClipStream().cast_storage(pa.array([text, None])).type
            DataType(binary)
        """
        if isinstance(storage, pa.ChunkedArray):
            return pa.chunked_array([self.cast_storage(one) for one in storage.chunks], pa.binary())
        if pa.types.is_null(storage_type(storage.type)):
            return pa.nulls(len(storage), pa.binary())
        if is_text(storage.type):
            return pa.array([*map(_stored, range(len(storage)), streams_of(storage))], pa.binary())
        if is_stream(storage.type):
            return pa.array(streams_of(storage), pa.binary())
        raise DecodeError(
            f"a column of {storage.type}: expected streams, binary or text. Embeddings are encoded "
            "by clipcodec.integrations.arrow.encode_table; map writes back the vectors that it has "
            "read: there give remove_columns, or ClipStream(decode=False) before it"
        )


@lru_cache(maxsize=8)
def _codec(profile: str | None) -> Codec:
    return Codec(profile)


def _stored(row: int, text: str | None) -> bytes | None:
    with placed(row, item="row"):
        if text is None:
            return None
        try:
            return as_bytes(text)
        except DecodeError as error:
            error.rows = (0,)
            raise


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # that features of others are new
    features.register_feature(ClipStream, "ClipStream")
