"""pandas Series of embeddings or images ↔ Series of streams; the form of Spark's `pandas_udf`.

>>> from pyspark.sql.functions import pandas_udf
>>> encode = pandas_udf(partial(encode_series, max_bytes=48), "binary")
>>> df = df.withColumn("clip", encode("embedding"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DecodeError, EmbeddingError, brief
from .arrow import decode_array, encode_array
from .columns import EncodeOptions, OnBadRow, Profiles
from .extras import need

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from typing_extensions import Unpack
else:
    pa = need("pyarrow", "arrow")


def encode_series(series: pd.Series, **options: Unpack[EncodeOptions]) -> pd.Series:
    """A Series of vectors (arrays or lists) or images (bytes or paths) as one of bytes.

    None and NaN become None; index and name stay. Options as in `arrow.EncodeOptions`. Raises
    EmbeddingError or ImageError naming the row, counted from 0.
    """
    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError) as error:
        raise EmbeddingError(
            f"a Series that is no column of vectors or images of one kind: {brief(error)}"
        ) from error
    return _like(series, encode_array(array, **options).to_pandas())


def decode_series(
    series: pd.Series, *, profile: Profiles = None, on_bad_row: OnBadRow = None
) -> pd.Series:
    """A Series of streams as one of float32 arrays (D,); None stays None. Raises DecodeError."""
    try:
        array = pa.Array.from_pandas(series, type=pa.binary())
    except (pa.ArrowException, TypeError) as error:
        raise DecodeError(f"a Series that is no column of bytes: {brief(error)}") from error
    return _like(series, decode_array(array, profile=profile, on_bad_row=on_bad_row).to_pandas())


def _like(series: pd.Series, made: Any) -> Any:
    made.index, made.name = series.index, series.name
    return made
