"""Texts on the command line: words, a file of lines, or embeddings made elsewhere."""

from __future__ import annotations

import argparse
import os

from ..errors import OptionError, placed
from ..texts import TextEmbeddings, is_text_file
from .inputs import first_bytes, is_pipe, open_input, path_or_bytes

_HEAD = 1 << 10


def is_text_embeddings(name: str) -> bool:
    """Does this input begin as a file of text embeddings does? Nothing of a pipe is taken away."""
    try:
        return is_text_file(first_bytes(name, _HEAD))
    except OSError:
        return False


def read_text_embeddings(name: str) -> TextEmbeddings:
    """A file of text embeddings, as `clipcodec embed-text` makes it. Raises EmbeddingError."""
    with placed(source=name):
        return TextEmbeddings.load(path_or_bytes(name))


def read_lines(name: str) -> list[str]:
    """The lines of a file of texts, in UTF-8, without empty ones; OptionError if there are none."""
    with open_input(name) as file:
        data = file.read()
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise OptionError(f"{name}: expected texts in UTF-8, one per line ({error})") from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise OptionError(f"{name}: no texts, expected one per line")
    return found


def labels_of(values: list[str]) -> list[str] | TextEmbeddings:
    """What --labels means: words, or one file of lines or of text embeddings."""
    name = values[0]
    if len(values) > 1 or not (os.path.isfile(name) or is_pipe(name)):
        return values
    return read_text_embeddings(name) if is_text_embeddings(name) else read_lines(name)


def templates_of(args: argparse.Namespace) -> str | list[str] | None:
    """What --templates means: one of open_clip's lists by name, or sentences of your own."""
    values: list[str] | None = args.templates
    if values is None:
        return None
    return values[0] if len(values) == 1 else values
