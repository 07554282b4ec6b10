"""The public names of the package, and a folder of files for their examples."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, is_typeddict

import numpy as np

import clipcodec
from tests.helpers.pictures import write_picture

# Modules whose `__all__` are for users; the others are for those who work on the package, see
# CONTRIBUTING.md.
MODULES = (
    "clipcodec", "clipcodec.bulk", "clipcodec.carriers", "clipcodec.container",
    "clipcodec.evaluation.compare", "clipcodec.integrations.arrow",
    "clipcodec.integrations.datasets", "clipcodec.integrations.duckdb",
    "clipcodec.integrations.faiss", "clipcodec.integrations.hnswlib",
    "clipcodec.integrations.pandas", "clipcodec.integrations.usearch",
    "clipcodec.integrations.parquet", "clipcodec.integrations.ray", "clipcodec.integrations.sql",
    "clipcodec.models",
    "clipcodec.profile", "clipcodec.retrieval", "clipcodec.tasks.captioning",
    "clipcodec.tasks.locating", "clipcodec.tasks.naming", "clipcodec.training.learn",
)  # fmt: skip
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
COUNT = 100  # rows in embeddings.npy, items in photos.clpc


@dataclass(frozen=True)
class Public:
    """A public name: `clipcodec.Codec.encode`, say.

    value  a module, class or function; of a property, its getter
    """

    name: str
    value: Any
    is_property: bool = False

    @property
    def doc(self) -> str:
        return inspect.cleandoc(self.value.__doc__ or "")


def public_names(module: str) -> list[Public]:
    """Of one of `MODULES`: itself and what it exports, but for what `clipcodec` exports, too."""
    loaded = import_module(module)
    found = {id(loaded): Public(module, loaded)}
    for name in loaded.__all__:
        if module == "clipcodec" or name not in clipcodec.__all__:
            for one in _of(f"{module}.{name}", getattr(loaded, name)):
                found.setdefault(id(one.value), one)
    return list(found.values())


def _of(name: str, value: Any) -> Iterator[Public]:
    """A function, or a class with its public methods; nothing for a constant or a type's name."""
    if inspect.isclass(value) and value.__module__.startswith("clipcodec"):
        yield Public(name, value)
        for kind in value.__mro__:
            if kind.__module__.startswith("clipcodec"):
                yield from _methods(name, kind)
    elif inspect.isfunction(value):
        yield Public(name, value)


def _methods(name: str, kind: type) -> Iterator[Public]:
    for own, value in vars(kind).items():
        if own.startswith("_"):
            continue
        if isinstance(value, (classmethod, staticmethod)):
            yield Public(f"{name}.{own}", value.__func__)
        elif isinstance(value, property):
            yield Public(f"{name}.{own}", value.fget, is_property=True)
        elif inspect.isfunction(value):
            yield Public(f"{name}.{own}", value)


def fields_of(kind: type) -> list[str] | None:
    """The fields of a dataclass, named tuple or typed dictionary; None: it is none of these."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if not field.name.startswith("_")]
    if is_typeddict(kind):
        return [*kind.__annotations__]
    fields: tuple[str, ...] | None = getattr(kind, "_fields", None)
    return None if fields is None else [*fields]


def run_examples(public: Public) -> list[str]:
    """Run the examples of one docstring; what did not give what it shows."""
    names: dict[str, Any] = {"clipcodec": clipcodec, "np": np}
    file = getattr(public.value, "__module__", public.name)
    test = doctest.DocTestParser().get_doctest(public.doc, names, public.name, file, 0)
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", clipcodec.BackboneWarning)
        doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=said.append)
    return said


def write_folder(folder: Path) -> Path:
    """The files that examples use; with `labels.safetensors` made as if by the text tower.

    embeddings.npy      (100, 512) float32, such as the default profile knows
    photos.clpc         their streams of at most 50 bytes; ids 0.jpg, 1.jpg, …
    labels.safetensors  text embeddings of cat, dog and horse
    photo.jpg, cat.jpg, dog.jpg, and photos/ with the same
    table.parquet       columns id and embedding, where pyarrow is installed
    """
    statistics = clipcodec.Codec().profile.statistics
    assert statistics is not None
    assert statistics.text is not None
    rows = statistics.draw(COUNT, seed=0)
    np.save(folder / "embeddings.npy", rows)
    with clipcodec.create(folder / "photos.clpc") as writer:
        streams = clipcodec.encode_embeddings(rows, quality=20)  # quicker than max_bytes
        assert max(map(len, streams)) <= 50
        writer.extend(streams, ids=[f"{i}.jpg" for i in range(COUNT)])
    noise = np.random.default_rng(0).standard_normal((3, 512)) / 50
    rows_of_texts = (statistics.text + noise).astype(np.float32)
    texts = clipcodec.TextEmbeddings(("cat", "dog", "horse"), rows_of_texts, "openai-vit-b-32")
    texts.save(folder / "labels.safetensors")
    for seed, name in enumerate(("photo.jpg", "cat.jpg", "dog.jpg")):
        write_picture(folder / name, seed, (96, 64))
        write_picture(folder / "photos" / name, seed, (96, 64))
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return folder
    table = pa.table({
        "id": [f"{i}.jpg" for i in range(COUNT)],
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 512),
    })  # fmt: skip
    pq.write_table(table, folder / "table.parquet")
    return folder
