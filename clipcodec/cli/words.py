"""Texts on the command line: words, a file of lines, or embeddings made elsewhere."""

from __future__ import annotations

import argparse
import os
import re

from ..errors import OptionError, placed
from ..models.templates import TEMPLATES
from ..models.templates import templates_of as sentences
from ..texts import TextEmbeddings, is_text_file
from .formats import LINES, TEXTS
from .inputs import first_bytes, is_pipe, label_of, open_input, path_or_bytes

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
    label = label_of(name)
    try:
        # not splitlines(), which ends a line at rare characters within a text, too
        lines = re.split("\r\n|\n|\r", data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise OptionError(f"{label}: expected texts in UTF-8, one per line ({error})") from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise OptionError(f"{label}: no texts, expected one per line")
    return found


def labels_of(values: list[str]) -> list[str] | TextEmbeddings:
    """What --labels means: words, or one file of lines or of text embeddings.

    Raises OptionError for what is meant as a file, by its name, and cannot be taken as one.
    """
    name = values[0]
    if len(values) > 1:
        for value in values:
            if _named_as_file(value) and os.path.isfile(value):
                raise OptionError(
                    f"--labels: {value} is a file, and more is given: give one file alone, or words"
                )
        return values
    if not (os.path.isfile(name) or is_pipe(name)):
        if os.path.isdir(name):
            raise OptionError(f"--labels: {name} is a directory: give a file, or several words")
        if _named_as_file(name):
            raise OptionError(
                f"--labels: there is no file {name}: check its name; if it is a word, give several"
            )
        return values
    return read_text_embeddings(name) if is_text_embeddings(name) else read_lines(name)


def _named_as_file(value: str) -> bool:
    """Does a value end as the names of files of labels do?"""
    return os.path.splitext(value)[1].lower() in (*LINES.suffixes, *TEXTS.suffixes)


def templates_of(args: argparse.Namespace) -> str | list[str] | None:
    """What --templates means: one of open_clip's lists by name, or sentences of your own."""
    values: list[str] | None = args.templates
    if values is None:
        return None
    templates = values[0] if len(values) == 1 else values
    if templates not in list(TEMPLATES):
        sentences(templates)  # raises before any weights are looked for
    return templates
