"""Formats of files: what the name of an output promises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ..errors import OptionError
from . import CONTAINER_SUFFIX, STREAM_SUFFIX


class Format(NamedTuple):
    """words: as messages call it; suffixes: of its files' names, the usual one first."""

    words: str
    suffixes: tuple[str, ...]


STREAM = Format("a stream", (STREAM_SUFFIX,))
CONTAINER = Format("a container", (CONTAINER_SUFFIX,))
ARRAY = Format("a NumPy array", (".npy",))
TABLE = Format("a Parquet table", (".parquet",))
PROFILE = Format("a profile file", (".safetensors",))
LINES = Format("lines of JSON", (".jsonl", ".json", ".ndjson", ".txt"))
IDS = Format("a list of ids", (".txt", ".ids", ".lst"))
JPEG = Format("a JPEG image", (".jpg", ".jpeg", ".jpe", ".jfif"))
PNG = Format("a PNG image", (".png", ".apng"))
WEBP = Format("a WebP image", (".webp",))
HEIF = Format("an AVIF or HEIF image", (".avif", ".avifs", ".heic", ".heics", ".heif", ".hif"))

IMAGES = {"JPEG": JPEG, "PNG": PNG, "WebP": WEBP, "AVIF or HEIF": HEIF}  # as carriers name them

_OTHERS = (  # no verb writes these
    Format("another image", (".gif", ".bmp", ".tif", ".tiff", ".jp2", ".jxl", ".svg")),
    Format("a table of text", (".csv", ".tsv")),
    Format("NumPy arrays", (".npz",)),
    Format("a PyTorch file", (".pt", ".pth")),
    Format("a pickle", (".pkl", ".pickle")),
    Format("an HDF5 file", (".h5", ".hdf5")),
    Format("an Arrow file", (".arrow", ".feather")),
    Format("an archive", (".tar", ".tgz", ".tbz2", ".txz", ".zip")),
    Format("a compressed file", (".gz", ".bz2", ".xz", ".zst")),
)
_ALL = (
    STREAM, CONTAINER, ARRAY, TABLE, PROFILE, LINES, IDS, *IMAGES.values(), *_OTHERS
)  # fmt: skip

_REMEDIES = {  # (what would be written, what the name says)
    (TABLE, CONTAINER): "leave out --column: a table becomes a table, with a column of streams",
    (ARRAY, LINES): "give --json",
    (LINES, ARRAY): "leave out --json",
}


def refuse_other_format(output: str | None, made: Format) -> None:
    """Raise OptionError if the name of the output file promises another format than is written.

    A suffix that belongs to no format promises nothing.
    """
    if output is None:
        return
    suffix = os.path.splitext(output)[1].lower()
    if suffix in made.suffixes:
        return
    for promised in _ALL:
        if suffix in promised.suffixes:
            remedy = _REMEDIES.get((made, promised))
            raise OptionError(
                f"{output}: its name says {promised.words}, and {made.words} would be written: "
                f"name it …{made.suffixes[0]}" + (f", or {remedy}" if remedy else "")
            )


def refuse_file_name(output: str, what: str) -> None:
    """Raise OptionError if a directory would be made whose name is that of a file.

    what  what the directory is for, for the message
    """
    suffix = os.path.splitext(output)[1].lower()
    if output.endswith(os.sep) or Path(output).exists():
        return
    for promised in _ALL:
        if suffix in promised.suffixes:
            raise OptionError(
                f"{output}: {what} need a directory, and this name says {promised.words}: "
                f"end it with {os.sep} for a directory of that name"
            )
