"""Ray Data: columns of embeddings or images ↔ columns of streams, on many workers (docs/ray.md).

Ray does the scheduling, the retries and the files; this module is what its workers run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..bulk.program import adopt, captured
from ..errors import WorkerError
from .arrow import decode_table, encode_table
from .arrow_types import is_image
from .carried import metadata_of
from .columns import ColumnEncoder, EncodeOptions, OnBadRow, Profiles
from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data
    from typing_extensions import Unpack

need("ray.data", "ray")

__all__ = ["compress_dataset", "decompress_dataset"]

_BATCH_ROWS = 4096  # enough for fast matrix products on two cores


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


class Encoder:
    """Each worker makes one of these, and calls it with every batch, a pyarrow table.

    The profile, and the backbone if the column holds images, are loaded once per worker.

    setup  what the program has set up for reading images (`bulk.program.captured`), or why workers
           cannot have it: that matters only if the column holds images
    """

    def __init__(self, column: str, setup: bytes | WorkerError, **options: Any) -> None:
        self._column = column
        self._setup = setup
        self._options = options

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self._column in batch.column_names and is_image(batch.schema.field(self._column).type):
            if isinstance(self._setup, WorkerError):
                raise self._setup
            adopt(self._setup)
        return encode_table(batch, self._column, **self._options)


def _captured() -> bytes | WorkerError:
    try:
        return captured()
    except WorkerError as error:
        return WorkerError(error.reason)  # without its traceback, which cannot be pickled


def compress_dataset(
    ds: ray.data.Dataset,
    column: str,
    *,
    into: str | None = None,
    keep: bool = False,
    embed_profile: bool = False,
    concurrency: int | tuple[int, int] = 1,
    num_gpus: float | None = None,
    batch_size: int = _BATCH_ROWS,
    ray_remote_args: dict[str, Any] | None = None,
    **options: Unpack[EncodeOptions],
) -> ray.data.Dataset:
    """Encode a column of a dataset, which holds embeddings or images, on Ray's workers.

    Lazy, as Ray's own transformations. Options are checked here, before any worker starts. What the
    program has set up in Pillow by now (MAX_IMAGE_PIXELS, LOAD_TRUNCATED_IMAGES, plugins) holds in
    the workers, too. The file of a private profile, and weights given by path, must be at the same
    path on every node. Errors in a worker are those of `arrow.encode_table`, inside an error of
    Ray; they count rows from 0 in each batch.

    Encoding is deterministic, and Ray runs a batch again if its worker dies, so no row is lost or
    doubled. About files see docs/ray.md: write with mode="overwrite" or "error"; writing twice with
    the default, "append", doubles the rows.

    Args:
        ds: The dataset.
        column: The column of embeddings or images.
        into: As in `arrow.encode_batches`.
        keep: As in `arrow.encode_batches`.
        embed_profile: As in `arrow.encode_batches`.
        concurrency: Number of workers, or (least, most); each loads profile and backbone once.
        num_gpus: GPUs per worker, for the backbone; None: it runs on the CPU.
        batch_size: Rows per batch; for images 256 is enough.
        ray_remote_args: Further arguments of `ray.data.Dataset.map_batches`: num_cpus, memory, …
        **options: See `arrow.EncodeOptions`; on_bad_row is called in the worker.

    Returns:
        A dataset with streams (binary) in place of `column`.

    Raises:
        OptionError: An option is out of range, or contradicts another.
        ProfileError: There is no such profile.

    Examples:
        >>> import pyarrow.parquet as pq
        >>> import ray
        >>> from clipcodec.integrations.ray import compress_dataset
        >>> ds = ray.data.from_arrow(pq.read_table("table.parquet"))  # or read_parquet
        >>> ds = compress_dataset(ds, "embedding", max_bytes=48)
        >>> len(ds.take(1)[0]["embedding"]) <= 48
        True
    """
    encoder: Any = Encoder
    options["profile"] = codec = ColumnEncoder(column, **options).codec
    if embed_profile:
        metadata_of(codec.profile)  # can it be?
    return ds.map_batches(
        encoder,
        fn_constructor_kwargs={
            "column": column,
            "setup": _captured(),
            "into": into,
            "keep": keep,
            "embed_profile": embed_profile,
            **options,
        },
        batch_format="pyarrow",
        batch_size=batch_size,
        concurrency=concurrency,
        num_gpus=num_gpus,
        **(ray_remote_args or {}),
    )


def decompress_dataset(
    ds: ray.data.Dataset,
    column: str | None = None,
    *,
    into: str | None = None,
    keep: bool = False,
    batch_size: int = _BATCH_ROWS,
    ray_remote_args: dict[str, Any] | None = None,
    profile: Profiles = None,
    on_bad_row: OnBadRow = None,
) -> ray.data.Dataset:
    """Decode a column of streams of a dataset, on Ray's workers.

    Args:
        ds: The dataset.
        column: As in `arrow.decode_batches`.
        into: As in `arrow.encode_batches`.
        keep: As in `arrow.encode_batches`.
        batch_size: Rows per batch.
        ray_remote_args: As in `compress_dataset`.
        profile: As in `arrow.decode_array`.
        on_bad_row: As in `arrow.EncodeOptions`.

    Returns:
        A dataset with vectors in place of the column of streams.

    Examples:
        >>> import pandas as pd
        >>> import ray
        >>> from clipcodec.integrations.ray import decompress_dataset
        >>> ds = ray.data.from_pandas(pd.DataFrame({"clip": clipcodec.open("photos.clpc")[:]}))
        >>> len(decompress_dataset(ds, "clip").take(1)[0]["clip"])
        512
    """
    work = partial(
        decode_table, column=column, into=into, keep=keep, profile=profile, on_bad_row=on_bad_row
    )
    return ds.map_batches(
        work, batch_format="pyarrow", batch_size=batch_size, **(ray_remote_args or {})
    )
