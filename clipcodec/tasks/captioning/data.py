"""What a captioner learns from: embeddings, as the codec gives them back, and their captions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ... import arrays
from ...codec import Codec
from ...embeddings import Embeddings, as_rows, forget_pages, normalise
from ...errors import EmbeddingError, TrainingError, placed
from ...target import Target

_BLOCK = 16384  # embeddings encoded and decoded at a time
_LARGEST = 1 << 30  # bytes of a file of captions
_NUMBERED = re.compile(r"(\d+)\t(.*)")


class Pair(NamedTuple):
    """A caption, the number of the embedding that it is of, and where it was read, for messages."""

    row: int
    caption: str
    place: str


def read_captions(path: str | os.PathLike[str], rows: int) -> list[Pair]:
    """The captions of a text file (UTF-8), for `rows` embeddings. It has one of two forms:

    * one caption per line, in the order of the embeddings, none left out;
    * `NUMBER<tab>CAPTION` in every line, where NUMBER is that of the embedding, counted from 0:
      so an embedding can have several captions, or none.

    Raises TrainingError naming the file and line.
    """
    name = os.fspath(path)
    try:
        if os.path.getsize(name) > _LARGEST:
            raise TrainingError(f"{name}: more than {_LARGEST} bytes: not a file of captions")
        with open(name, encoding="utf-8-sig", newline=None) as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise TrainingError(
            f"{name}: {error.strerror or error}: give a file of captions"
        ) from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{name} is not UTF-8 text: save it as UTF-8") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise TrainingError(f"{name} has no captions: expected one per line")
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    if all(matches):
        pairs = [
            Pair(int(match[1]), match[2], f"{name}, line {number}")
            for number, match in enumerate(matches, 1)
            if match is not None
        ]
    else:
        if len(lines) != rows:
            raise TrainingError(
                f"{name} has {len(lines)} lines, and there are {rows} embeddings: give one caption "
                "for each, in order, or begin every line with the embedding's number (from 0) and "
                "a tab"
            )
        pairs = [Pair(i, line, f"{name}, line {i + 1}") for i, line in enumerate(lines)]
    return checked_pairs(pairs, rows)


def checked_pairs(pairs: Iterable[Pair], rows: int) -> list[Pair]:
    """Raise TrainingError for a caption that is empty or of no embedding."""
    found = []
    for row, caption, place in pairs:
        if not 0 <= row < rows:
            raise TrainingError(
                f"{place}: a caption of embedding {row}, and there are {rows}, counted from 0"
            )
        text = " ".join(caption.split())
        if not text:
            raise TrainingError(
                f"{place}: an empty caption: to leave an embedding out, begin every line with the "
                "embedding's number (from 0) and a tab"
            )
        found.append(Pair(row, text, place))
    return found


@dataclass(frozen=True)
class Decoded:
    """Embeddings as a captioner will see them.

    rows          (N, D) float32, unit norm
    profile       of the codec; None: they were not compressed
    cosine        mean to the embeddings before; 1 if they were not compressed
    stream_bytes  mean of a stream; None if they were not compressed
    """

    rows: Embeddings
    profile: str | None = None
    backbone: str | None = None
    cosine: float = 1.0
    stream_bytes: float | None = None


def load_rows(source: Any) -> Any:
    """The rows (N, D) of a file of embeddings, memory-mapped where it can be, or of an array."""
    if not isinstance(source, (str, os.PathLike)):
        return as_rows(source)
    name = os.fspath(source)
    kind = arrays.kind_of_file(name)
    if kind is None:
        why = "no file of embeddings" if os.path.isfile(name) else "no such file"
        raise TrainingError(
            f"{name}: {why}: expected .npy, .npz, .safetensors, .pt or .csv with a row for each "
            "caption or image"
        )
    with placed(None, source=name):
        return as_rows(arrays.read(name, kind))


def through_codec(source: Any, codec: Codec | None, target: Target) -> Decoded:
    """Embeddings (N, D) after they were encoded and decoded, as the paper does it.

    codec  None: they are only brought to unit norm

    Raises EmbeddingError, OptionError or RateError naming the rows at fault.
    """
    rows = load_rows(source)
    if not len(rows):
        raise EmbeddingError("no embeddings: at least one is needed")
    if codec is None:
        return Decoded(normalise(rows))
    target = codec.resolve(rows, target)  # one quality for all, where an average is asked for
    decoded = np.empty(rows.shape, np.float32)
    cosines = sizes = 0.0
    for at in range(0, len(rows), _BLOCK):
        part = slice(at, at + _BLOCK)
        with placed(at):
            streams = codec.encode_embeddings(rows[part], target)
            decoded[part] = codec.decode_batch(streams)
            cosines += float((normalise(rows[part]) * decoded[part]).sum())
        sizes += sum(map(len, streams))
        forget_pages(source)
    profile = codec.profile
    return Decoded(
        decoded, profile.name, codec.chosen_backbone, cosines / len(rows), sizes / len(rows)
    )
