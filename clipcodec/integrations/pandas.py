"""pandas Series of embeddings or images ↔ Series of streams, also for Spark's `pandas_udf`.

In Spark: `pandas_udf(partial(encode_series, max_bytes=48), "binary")` (docs/tables.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DecodeError, EmbeddingError, brief
from ..text_form import BYTES
from .arrow import decode_array, encode_array
from .columns import EncodeOptions, OnBadRow, Profiles
from .extras import need

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from typing_extensions import Unpack
else:
    pa = need("pyarrow", "arrow")


__all__ = ["decode_series", "encode_series"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def encode_series(series: pd.Series, **options: Unpack[EncodeOptions]) -> pd.Series:
    """Encode a Series of vectors (arrays or lists) or images (bytes or paths).

    Args:
        series: None and NaN become None.
        **options: See `arrow.EncodeOptions`.

    Returns:
        A Series of bytes, of the same index and name.

    Raises:
        EmbeddingError: Names the row at fault, counted from 0.
        ImageError: Names the row at fault, counted from 0.
        OptionError: As for `clipcodec.encode`, and so is RateError.

    Examples:
        >>> import pandas as pd
        >>> from clipcodec.integrations.pandas import encode_series
        >>> series = pd.Series(list(np.load("embeddings.npy")[:3]), index=["a", "b", "c"])
        >>> [len(stream) <= 50 for stream in encode_series(series, max_bytes=50)]
        [True, True, True]
    """
    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise EmbeddingError(
            f"a Series that is no column of vectors or images of one kind: {brief(error)}"
        ) from error
    return _like(series, encode_array(array, **options).to_pandas())


def decode_series(
    series: pd.Series, *, profile: Profiles = None, on_bad_row: OnBadRow = None
) -> pd.Series:
    """Decode a Series of streams.

    Args:
        series: Bytes, or their text (`clipcodec.to_text`), as a CSV file keeps it; None stays
            None.
        profile: The profile that private streams were made with, or a `Codec`.
        on_bad_row: As in `arrow.EncodeOptions`.

    Returns:
        A Series of float32 arrays (D,) of unit norm, of the same index and name.

    Raises:
        DecodeError: Names the row at fault, counted from 0.

    Examples:
        >>> import pandas as pd
        >>> from clipcodec.integrations.pandas import decode_series
        >>> decode_series(pd.Series(clipcodec.open("photos.clpc")[:3]))[0].shape
        (512,)
    """
    if getattr(series.dtype, "kind", "O") in "biufcmM":  # Arrow would take a number's own bytes
        if series.notna().any():
            raise DecodeError(f"a Series of {series.dtype}: expected one of bytes, the streams")
        series = series.astype(object).where(series.notna(), None)
    type = pa.string() if _holds_text(series) else pa.binary()
    try:
        array = pa.Array.from_pandas(series, type=type)
    except (pa.ArrowException, TypeError) as error:
        raise DecodeError(
            f"a Series that is no column of bytes, or of their text: {brief(error)}"
        ) from error
    return _like(series, decode_array(array, profile=profile, on_bad_row=on_bad_row).to_pandas())


def _holds_text(series: pd.Series) -> bool:
    """Whether its values are text; Arrow would take the characters of text for bytes.

    Raises DecodeError for text and bytes in one Series, as Arrow would make one of both.
    """
    kinds = {type(value) for value in series if isinstance(value, (str, *BYTES))}
    texts = [issubclass(kind, str) for kind in kinds]
    if any(texts) and not all(texts):
        raise DecodeError("a Series of both text and bytes: keep one, see clipcodec.to_text")
    return any(texts)


def _like(series: pd.Series, made: Any) -> Any:
    made.index, made.name = series.index, series.name
    return made
