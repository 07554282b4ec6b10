"""clipcodec: an image's meaning in a few dozen bytes.

>>> stream = clipcodec.encode("photo.jpg", max_bytes=50)
>>> len(stream) <= 50
True
>>> clipcodec.decode(stream).shape  # float32, unit norm
(512,)

Every name below is imported when it is first used: `import clipcodec` costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    BackboneWarning,
    ClipcodecError,
    CorruptError,
    DecodeError,
    EmbeddingError,
    ImageError,
    ImageFileError,
    InputError,
    LockedError,
    MismatchError,
    MissingDependencyError,
    OptionError,
    OutputExistsError,
    ProfileError,
    RateError,
    ReplacedError,
    StoreError,
    TrainingError,
    TruncatedError,
    UnknownItemError,
    UnknownProfileError,
    UnsupportedError,
    WeightsError,
    WeightsUnavailableError,
    WorkerError,
)
from .system.forks import loading as _loading  # before any thread can be importing it

if TYPE_CHECKING:
    from .api import (
        decode,
        decode_batch,
        embed_images,
        embed_texts,
        encode,
        encode_batch,
        encode_embedding,
        encode_embeddings,
        info,
        profiles,
    )
    from .carriers import attach, extract
    from .codec import Codec
    from .container import Container, ContainerWriter, Item, create, read_items
    from .container import open_container as open
    from .integrations.converting import convert
    from .profile.registry import ProfileInfo
    from .retrieval import Hits, SearchIndex, search
    from .stream import StreamInfo
    from .target import Target
    from .tasks.naming import Classes, classify
    from .text_form import from_text, to_text
    from .texts import TextEmbeddings

__version__ = "0.1.0"

_LAZY = {
    "Codec": "codec",
    "StreamInfo": "stream",
    "Target": "target",
    "ProfileInfo": "profile.registry",
    "encode": "api",
    "encode_batch": "api",
    "encode_embedding": "api",
    "encode_embeddings": "api",
    "decode": "api",
    "decode_batch": "api",
    "embed_images": "api",
    "embed_texts": "api",
    "info": "api",
    "profiles": "api",
    "Container": "container",
    "ContainerWriter": "container",
    "Item": "container",
    "convert": "integrations.converting",
    "create": "container",
    "open": "container",
    "read_items": "container",
    "attach": "carriers",
    "extract": "carriers",
    "search": "retrieval",
    "SearchIndex": "retrieval",
    "Hits": "retrieval",
    "to_text": "text_form",
    "from_text": "text_form",
    "TextEmbeddings": "texts",
    "classify": "tasks.naming",
    "Classes": "tasks.naming",
}
_NAMES = {"open": "open_container"}  # where a module's name for it differs from the public one

__all__ = [
    "Codec",
    "Target",
    "StreamInfo",
    "ProfileInfo",
    "encode",
    "encode_batch",
    "encode_embedding",
    "encode_embeddings",
    "decode",
    "decode_batch",
    "embed_images",
    "embed_texts",
    "info",
    "profiles",
    "Container",
    "ContainerWriter",
    "Item",
    "convert",
    "create",
    "open",
    "read_items",
    "attach",
    "extract",
    "search",
    "SearchIndex",
    "Hits",
    "to_text",
    "from_text",
    "TextEmbeddings",
    "classify",
    "Classes",
    "ClipcodecError",
    "InputError",
    "ImageError",
    "ImageFileError",
    "EmbeddingError",
    "OptionError",
    "RateError",
    "UnknownItemError",
    "MismatchError",
    "DecodeError",
    "TruncatedError",
    "CorruptError",
    "UnsupportedError",
    "UnknownProfileError",
    "ProfileError",
    "WeightsError",
    "WeightsUnavailableError",
    "TrainingError",
    "OutputExistsError",
    "LockedError",
    "WorkerError",
    "MissingDependencyError",
    "StoreError",
    "ReplacedError",
    "BackboneWarning",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import clipcodec` costs nothing."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _loading:
        value = getattr(import_module(f".{_LAZY[name]}", __name__), _NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names: what `dir`, completion and a misspelt name's suggestion show."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
