"""Formats of files: what the name of an output promises, what the bytes of an input are.

So every verb knows the files of the others, and says which verb takes them.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from .. import arrays
from ..bitstream import begins
from ..carriers import format_of
from ..codec import Codec
from ..container.layout import MAGIC
from ..errors import ClipcodecError, OptionError
from ..retrieval.layout import MAGIC as INDEX_MAGIC
from ..retrieval.layout import SUFFIX as INDEX_SUFFIX
from ..texts import is_text_file
from .inputs import first_bytes
from .suffixes import CONTAINER_SUFFIX, STREAM_SUFFIX


class Format(NamedTuple):
    """words: as messages call it; suffixes: of its files' names, the usual one first."""

    words: str
    suffixes: tuple[str, ...]


STREAM = Format("a stream", (STREAM_SUFFIX,))
CONTAINER = Format("a container", (CONTAINER_SUFFIX,))
INDEX = Format("a search index", (INDEX_SUFFIX,))
ARRAY = Format("a NumPy array", (".npy",))
TABLE = Format("a Parquet table", (".parquet",))
PROFILE = Format("a profile file", (".safetensors",))
TEXTS = Format("a file of text embeddings", (".safetensors",))
LINES = Format("lines of JSON", (".jsonl", ".json", ".ndjson", ".txt"))
IDS = Format("a list of ids", (".txt", ".ids", ".lst"))
JPEG = Format("a JPEG image", (".jpg", ".jpeg", ".jpe", ".jfif"))
PNG = Format("a PNG image", (".png", ".apng"))
WEBP = Format("a WebP image", (".webp",))
HEIF = Format("an AVIF or HEIF image", (".avif", ".avifs", ".heic", ".heics", ".heif", ".hif"))

IMAGES = {"JPEG": JPEG, "PNG": PNG, "WebP": WEBP, "AVIF or HEIF": HEIF}  # as carriers name them

IMAGE = Format("an image", (".gif", ".bmp", ".tif", ".tiff", ".jp2", ".jxl", ".svg"))
SAFETENSORS = Format("a safetensors file", ())
ARCHIVE = Format("an archive", (".tar", ".tgz", ".tbz2", ".txz", ".tzst", ".zip"))
COMPRESSED = Format("a compressed file", (".gz", ".bz2", ".xz", ".zst"))
FOLDER = Format("a directory", ())

PICTURES = (*IMAGES.values(), IMAGE)
_NUMBERS = Format("a table of text", (".csv", ".tsv"))
_ARRAYS = Format("NumPy arrays", (".npz",))
_TORCH = Format("a PyTorch file", (".pt", ".pth"))
_TENSORS = Format("a safetensors file of tensors", ())
EMBEDDINGS = (ARRAY, _ARRAYS, _TENSORS, _TORCH, _NUMBERS)
_KINDS = {
    ".npy": ARRAY, ".npz": _ARRAYS, ".safetensors": _TENSORS, ".pt": _TORCH, ".csv": _NUMBERS
}  # fmt: skip
_OTHERS = (  # no verb writes these, nor IMAGE
    _NUMBERS,
    _ARRAYS,
    _TORCH,
    Format("a pickle", (".pkl", ".pickle")),
    Format("an HDF5 file", (".h5", ".hdf5")),
    Format("an Arrow file", (".arrow", ".feather")),
    ARCHIVE,
    COMPRESSED,
)
_ALL = (
    STREAM, CONTAINER, INDEX, ARRAY, TABLE, PROFILE, LINES, IDS, *PICTURES, *_OTHERS
)  # fmt: skip

_REMEDIES = {  # (what would be written, what the name says)
    (STREAM, ARRAY): "….clpc for a container of many embeddings",
    (TABLE, CONTAINER): "leave out --column: a table becomes a table, with a column of streams",
    (ARRAY, LINES): "give --json",
    (LINES, ARRAY): "leave out --json",
    (TEXTS, ARRAY): "keep the texts beside their embeddings: .npy has no place for them",
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


# inputs

_AHEAD = 1 << 14  # bytes; more than any stream of a registered profile has
_BEGINNINGS = (  # first bytes of formats, and where they are
    (0, MAGIC, CONTAINER),
    (0, INDEX_MAGIC, INDEX),
    (0, b"PAR1", TABLE),
    (0, b"GIF8", IMAGE),
    (0, b"II*\0", IMAGE),
    (0, b"MM\0*", IMAGE),
    (257, b"ustar", ARCHIVE),
    (0, b"PK\x03\x04", ARCHIVE),
    (0, b"\x1f\x8b", COMPRESSED),
    (0, b"BZh", COMPRESSED),
    (0, b"\xfd7zXZ\0", COMPRESSED),
    (0, b"\x28\xb5\x2f\xfd", COMPRESSED),
)
# that begin as a stream may, but are too long for one to begin so by chance
_SIGNATURES = (MAGIC, INDEX_MAGIC, arrays.NPY, b"\x89PNG\r\n\x1a\n")
_IMAGE_VERBS = "`clipcodec compress` makes a stream of it"
_MANY_VERBS = "`clipcodec compress … -o OUT.clpc` makes a container of its images"
_VERBS = {
    STREAM: "`clipcodec info` and `clipcodec decompress` read it",
    CONTAINER: "`clipcodec info`, `clipcodec decompress` and `clipcodec search` read it",
    INDEX: "`clipcodec search` takes it in place of the containers that it was made of",
    **dict.fromkeys(EMBEDDINGS, "`clipcodec compress` makes a container of its rows"),
    TABLE: "`clipcodec compress --column NAME` and `clipcodec decompress --column NAME` convert it",
    IMAGE: _IMAGE_VERBS,
    SAFETENSORS: "as it is a profile, `clipcodec profiles FILE` shows it, and --profile takes it",
    TEXTS: "`clipcodec search --text-embeddings` and `clipcodec classify --labels` take it",
    ARCHIVE: _MANY_VERBS,
    COMPRESSED: "uncompress it first; of a tar archive `clipcodec compress … -o OUT.clpc` makes a "
    "container",
    FOLDER: _MANY_VERBS,
}


_MANY = (*EMBEDDINGS, TABLE, ARCHIVE, COMPRESSED, FOLDER)  # what can become a container


def known(name: str, codec: Codec | None = None) -> Format | None:
    """The format of an input by its first bytes, which are not lost; None if it is unknown.

    Of embeddings, which may be text, the name counts where the bytes say nothing.

    A stream begins as files of several other formats may, so it is decoded to be sure.

    codec  has the private profile that streams may have. A stream of a profile that is not at hand
           is known by the name of its file.

    An input that cannot be read is left to the verb, whose error says so.
    """
    if os.path.isdir(name):
        return FOLDER
    head = _head(name)
    if _is_stream(head, codec):
        return STREAM
    found = _by_beginning(head, name)
    return STREAM if found is None and name.lower().endswith(STREAM_SUFFIX) else found


def _head(name: str) -> bytes:
    try:
        return first_bytes(name, _AHEAD)
    except OSError:
        return b""


def _by_beginning(head: bytes, name: str) -> Format | None:
    kind = arrays.kind_of("", head)
    if kind == ".safetensors" and arrays.is_profile(head):
        return SAFETENSORS
    if kind == ".safetensors" and is_text_file(head):
        return TEXTS
    if kind is not None:
        return _KINDS[kind]
    for at, beginning, found in _BEGINNINGS:
        if head.startswith(beginning, at):
            return found
    image = format_of(head)
    if image is not None:
        return IMAGES[image]
    kind = arrays.suffix_of(name)
    return None if kind is None else _KINDS[kind]


def _is_stream(head: bytes, codec: Codec | None) -> bool:
    if not begins(head) or head.startswith(_SIGNATURES):
        return False
    try:
        (codec or Codec()).info(head)
    except ClipcodecError:
        return False
    return True


def verbs_for(found: Format) -> str:
    """Which verbs take a file of this format."""
    verbs = _VERBS.get(found)
    if verbs is None:  # an image that can carry streams
        verbs = f"{_IMAGE_VERBS}, `clipcodec extract` gets the stream that it may carry"
    return verbs


def refuse_foreign(
    name: str,
    takes: str,
    *taken: Format,
    codec: Codec | None = None,
    error: type[ClipcodecError] = OptionError,
    also: str = "",
) -> None:
    """Raise if an input is known to be of another format than the verb takes.

    takes  what the verb takes, for the message, which says which verb takes the input
    also   another remedy, for the message
    """
    if not os.path.isdir(name):
        found = _by_beginning(_head(name), name)
        if found in taken or (found is None and STREAM in taken):
            return  # not decoded here to be sure: it takes time
    found = known(name, codec)
    if found is None or found in taken:
        return
    more = also if found in _MANY else ""
    raise error(f"{found.words}, expected {takes}: {verbs_for(found)}{more}")
