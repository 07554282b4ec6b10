"""A container in an object store: an upload that failed never replaces the object before it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import pytest

import clipcodec

STREAMS = [bytes([0x69, i, 0]) * 20 for i in range(9)]
Store = dict[str, bytes]


class Upload(io.RawIOBase):
    """The object gets its name when this is closed, as in every object store."""

    def __init__(self, store: Store) -> None:
        self.store, self.data = store, b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.closed:
            raise ValueError("closed")
        self.data += bytes(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.store["a"] = self.data
        super().close()

    def give_up(self) -> None:
        io.RawIOBase.close(self)


class WithAbort(Upload):
    def abort(self) -> None:
        self.give_up()


class WithTerminate(Upload):
    """As smart_open."""

    def terminate(self) -> None:
        self.give_up()


class WithTwo(WithTerminate):
    def abort(self) -> None:
        raise RuntimeError("not this way")


def buffered_by_fsspec(store: Store, size: int = 1 << 20, *, autocommit: bool = True) -> Any:
    """A file as those of s3fs: the base class uploads when it is closed."""
    spec = pytest.importorskip("fsspec.spec")

    class File(spec.AbstractBufferedFile):  # type: ignore[misc, name-defined]
        parts = b""

        def _initiate_upload(self) -> None:
            self.parts = b""

        def _upload_chunk(self, final: bool = False) -> bool:
            self.parts += self.buffer.getvalue()
            if final and self.autocommit:
                self.commit()
            return True

        def commit(self) -> None:
            store["a"] = self.parts

    return File(None, "a", "wb", block_size=size, autocommit=autocommit)


OPENERS: dict[str, Callable[[Store], Any]] = {
    "abort": WithAbort,
    "terminate": WithTerminate,
    "one way fails": WithTwo,
    "behind a buffer": lambda store: io.BufferedWriter(WithAbort(store)),
    "fsspec, not begun": buffered_by_fsspec,
    "fsspec, some parts sent": lambda store: buffered_by_fsspec(store, 30),
}


@pytest.mark.parametrize("opener", OPENERS)
def test_an_error_keeps_the_object_before(opener: str) -> None:
    """Whatever the error is, and wherever: between items, or in writing the last of them."""
    for error in (ZeroDivisionError, KeyboardInterrupt, SystemExit):
        store = {"a": b"good"}

        def fail(error: type[BaseException] = error, store: Store = store) -> None:
            file = OPENERS[opener](store)
            try:
                with file, clipcodec.create(file, block_items=2) as writer:
                    writer.extend(STREAMS)
                    raise error
            finally:
                del file  # fsspec's files close themselves then

        with pytest.raises((error, ValueError)):
            fail()
        assert store == {"a": b"good"}


@pytest.mark.parametrize("opener", OPENERS)
def test_without_an_error_the_object_is_replaced(opener: str) -> None:
    store = {"a": b"good"}
    with OPENERS[opener](store) as file, clipcodec.create(file, block_items=2) as writer:
        writer.extend(STREAMS)
    assert [item.stream for item in clipcodec.read_items(io.BytesIO(store["a"]))] == STREAMS


def test_a_write_that_fails_is_not_finished() -> None:
    """Without an error of the caller's: the last block could not be written."""

    class Full(WithAbort):
        def write(self, data: Any, /) -> int:
            if len(self.data) > 50:
                raise OSError(28, "No space left on device")
            return super().write(data)

    store = {"a": b"good"}

    def fail() -> None:
        with Full(store) as file, clipcodec.create(file) as writer:  # type: ignore[arg-type]
            writer.extend(STREAMS)
            file.data += bytes(50)

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert store == {"a": b"good"}


def test_a_transaction_of_fsspec_decides_itself() -> None:
    """What it opened it discards; a second time would fail."""
    store = {"a": b"good"}
    file = buffered_by_fsspec(store, autocommit=False)
    discarded = []
    file.discard = lambda: discarded.append(1)

    def fail() -> None:
        with file, clipcodec.create(file) as writer:
            writer.extend(STREAMS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (store, discarded) == ({"a": b"good"}, [])


def test_an_object_behind_gzip() -> None:
    store = {"a": b"good"}

    def fail() -> None:
        upload = WithAbort(store)
        with (
            upload,
            gzip.GzipFile(fileobj=upload, mode="wb") as file,
            clipcodec.create(file) as writer,  # type: ignore[arg-type]
        ):
            writer.extend(STREAMS)
            raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, ValueError)):
        fail()
    assert store == {"a": b"good"}
