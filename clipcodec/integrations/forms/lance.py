"""`.lance`, or `URI#TABLE`: a table of LanceDB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from ...container import Container
from ...errors import (
    InputError,
    MissingDependencyError,
    OptionError,
    brief,
)
from ...system.files import already_there
from ..converting import How, Incoming
from .coding import file_size
from .tables import batches_of, incoming, schema_of

WORDS = "a table of LanceDB"
_ROWS = 8192


@contextmanager
def read(name: str, how: How) -> Iterator[Incoming]:
    how.refuse(WORDS, "ids", "embeddings", "shard_items")
    uri, table_name = _place(name)
    if "://" not in uri and not _folder(uri, table_name).is_dir():
        raise InputError(f"{name}: there is no table of LanceDB: check the path")
    try:
        table = _lancedb().connect(uri).open_table(table_name)
        schema = table.schema
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{name} is not a readable table of LanceDB: {brief(error)}") from error

    def batches(columns: list[str]) -> Iterable[Any]:
        yield from table.search().select(columns).limit(table.count_rows()).to_batches(_ROWS)

    yield incoming(schema, batches, how)


def write(container: Container, name: str, how: How) -> int:
    """A new version of a table takes the place of the old one at once."""
    how.refuse(WORDS, "ids", "shard_items")
    uri, table_name = _place(name)
    lancedb, schema = _lancedb(), schema_of(container, how)
    folder = _folder(uri, table_name) if "://" not in uri else None
    there = folder is not None and folder.exists()
    if there and not how.overwrite:
        raise already_there(name)
    try:
        connected = lancedb.connect(uri)
        connected.create_table(
            table_name, batches_of(container, schema) if len(container) else None, schema=schema,
            mode="overwrite" if how.overwrite else "create",
        )  # fmt: skip
    except BaseException as error:
        if folder is not None and not there:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()  # if it was made for it
        if isinstance(error, ValueError) and "already exists" in str(error):
            raise already_there(name) from error
        raise
    return 0 if folder is None else file_size(str(folder))


def _lancedb() -> Any:
    try:
        return import_module("lancedb")
    except ModuleNotFoundError as error:
        if error.name != "lancedb":
            raise
        raise MissingDependencyError(
            "lancedb is not installed: pip install lancedb", name="lancedb"
        ) from error


def _place(name: str) -> tuple[str, str]:
    """The database and the name of the table in it."""
    uri, hash, table = name.rpartition("#")
    if hash:
        if not uri or not table:
            raise OptionError(f"{name}: expected URI#TABLE, a database and a table in it")
        return uri, table
    path = name.rstrip("/" + os.sep)
    return os.path.dirname(path) or os.curdir, os.path.splitext(os.path.basename(path))[0]


def _folder(uri: str, table: str) -> Path:
    return Path(uri) / f"{table}.lance"
