"""Texts and their embeddings: checked, and kept in a file that needs no torch to be read.

A text embedding is made where the weights are, and used anywhere: the file holds the texts, too.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .embeddings import Embeddings, as_embeddings
from .errors import EmbeddingError, OptionError, brief, placed
from .system.files import write_atomic
from .system.forks import loading

TEMPERATURE = 100.0  # exp(logit_scale) of OpenAI's CLIP checkpoints
METADATA_KEY = "clipcodec-texts"
VERSION = 1
SUFFIX = ".safetensors"
_LARGEST = 99_000_000  # bytes of metadata: what safetensors reads, with room for the rest


def as_texts(texts: Any, what: str = "texts") -> list[str]:
    """Texts as a list, none of them empty; OptionError names the one at fault.

    what  they are called in messages
    """
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise OptionError(f"{what}: a {type(texts).__name__}, expected several texts, as str")
    found = list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise OptionError(f"{what}: number {i} is {type(text).__name__}, expected str")
        if not text.strip():
            raise OptionError(f"{what}: number {i} is empty")
        try:
            text.encode()
        except UnicodeEncodeError as error:  # of a command line in another encoding
            raise OptionError(
                f"{what}: number {i} is no text, {brief(repr(text))}: its bytes are not UTF-8"
            ) from error
    return found


def as_labels(labels: Any) -> list[str]:
    """Texts, each of which names a class: at least one, and none twice."""
    found = as_texts(labels, "labels")
    if not found:
        raise OptionError("labels: none given, expected at least one")
    twice = [label for label, count in Counter(found).items() if count > 1]
    if twice:
        shown = ", ".join(repr(brief(label)) for label in twice[:3])
        raise OptionError(f"labels: {shown} given more than once: leave out the others")
    return found


@dataclass(frozen=True, eq=False)
class TextEmbeddings:
    """Texts and their embeddings, which a file can keep for use without torch.

    `len(texts)` counts them.

    Attributes:
        names: N texts.
        embeddings: (N, D) float32, unit norm (any norm is taken).
        backbone: The model that made them; None: unknown.
        temperature: Factor of the cosines in the model's softmax, exp(logit_scale).

    Raises:
        EmbeddingError: There are more embeddings than texts, or fewer, or one is at fault.
        OptionError: A text is empty, or the temperature is not positive.

    Examples:
        >>> names = ("cat", "dog", "horse")
        >>> rows = clipcodec.embed_texts(names)
        >>> labels = clipcodec.TextEmbeddings(names, rows, backbone="openai-vit-b-32")
        >>> labels.save("labels.safetensors")
        >>> clipcodec.TextEmbeddings.load("labels.safetensors").names
        ('cat', 'dog', 'horse')
    """

    names: tuple[str, ...]
    embeddings: Embeddings
    backbone: str | None = None
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(as_texts(self.names)))
        with placed(item="text"):
            object.__setattr__(self, "embeddings", as_embeddings(self.embeddings))
        if len(self.names) != len(self.embeddings):
            raise EmbeddingError(f"{len(self.embeddings)} embeddings of {len(self.names)} texts")
        check_temperature(self.temperature)

    def __repr__(self) -> str:
        from .system.shown import counted, named, shown

        def parts() -> list[object]:
            return [f"{counted(len(self.names), 'text')} ({named(self.names)})",
                    counted(self.embeddings.shape[1], "dimension"),
                    f"backbone {self.backbone or 'unknown'}"]  # fmt: skip

        return shown("TextEmbeddings", parts)

    def __len__(self) -> int:
        return len(self.names)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write a safetensors file: the tensor `embeddings`, and one metadata entry with the rest.

        Args:
            path: Of the file. It is written whole, or not at all.
            overwrite: Replace a file that exists.

        Raises:
            OutputExistsError: It exists, and `overwrite` is false.
            OptionError: These are too many texts for one file.
            OSError: It cannot be written.

        Examples:
            >>> clipcodec.TextEmbeddings.load("labels.safetensors").save("copy.safetensors")
        """
        write_atomic(path, self.to_bytes(), overwrite=overwrite)

    def to_bytes(self) -> bytes:
        """Make the bytes of the file that `save` writes.

        Returns:
            The bytes. The same content gives the same bytes.

        Raises:
            OptionError: These are too many texts for one file.

        Examples:
            >>> data = clipcodec.TextEmbeddings.load("labels.safetensors").to_bytes()
            >>> len(clipcodec.TextEmbeddings.load(data))
            3
        """
        with loading:
            import safetensors.numpy

        text = _metadata(self.names, self.backbone, self.temperature)
        data: bytes = safetensors.numpy.save(
            {"embeddings": self.embeddings}, metadata={METADATA_KEY: text}
        )
        return data

    @classmethod
    def load(cls, path: str | os.PathLike[str] | bytes) -> TextEmbeddings:
        """Read what `save` wrote; torch is not needed.

        Args:
            path: Of the file, or all its bytes.

        Returns:
            The texts and their embeddings.

        Raises:
            EmbeddingError: It is no file of text embeddings, or damaged.
            OSError: It cannot be read.

        Examples:
            >>> clipcodec.TextEmbeddings.load("labels.safetensors").embeddings.shape
            (3, 512)
        """
        from . import arrays  # what encodes and decodes needs none of its imports

        source = path if isinstance(path, bytes) else os.fspath(path)
        with placed(source=None if isinstance(source, bytes) else source):
            try:
                meta = json.loads(arrays.metadata(source)[METADATA_KEY])
                version = meta["version"]
                names, backbone = meta["texts"], meta["backbone"]
                temperature = meta["temperature"]
                if not (isinstance(names, list) and isinstance(backbone, str | None)):
                    raise TypeError("texts or backbone of another type")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise EmbeddingError(
                    "not a file of text embeddings: `clipcodec embed-text` makes one, and "
                    "clipcodec.TextEmbeddings(names, embeddings).save(FILE)"
                ) from error
            if type(version) is not int or version != VERSION:
                raise EmbeddingError(
                    f"text embeddings of version {version!r}; this release reads {VERSION}"
                )
            try:
                return cls(tuple(names), arrays.read(source, SUFFIX), backbone, temperature)
            except OptionError as error:
                raise EmbeddingError(f"damaged: {error.reason}") from error


def check_size(names: Sequence[str]) -> None:
    """Raise OptionError if these are too many texts for one file. Asked before long work."""
    _metadata(names, None, TEMPERATURE)


def _metadata(names: Sequence[str], backbone: str | None, temperature: float) -> str:
    meta = {"version": VERSION, "texts": names, "backbone": backbone, "temperature": temperature}
    text = json.dumps(meta, sort_keys=True, ensure_ascii=True)
    size = len(json.dumps(text))  # it becomes a string in the JSON of the header
    if size > _LARGEST:
        raise OptionError(
            f"{len(names)} texts are {size >> 20} MiB in the header of a file, which has at most"
            f" {_LARGEST >> 20}: put them into several files"
        )
    return text


def is_text_file(head: bytes) -> bool:
    """Is this a file of text embeddings, by its first bytes?"""
    return f'"__metadata__":{{"{METADATA_KEY}":'.encode() in head


def check_temperature(value: Any) -> float:
    """A temperature; OptionError unless it is a positive number."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not 0 < found <= 1e6:
        raise OptionError(f"temperature={value!r}: expected a positive number, such as 100")
    return found
