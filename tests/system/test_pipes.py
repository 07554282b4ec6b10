"""clipcodec.system.pipes: inputs without an end are refused, and nothing of others is lost."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from clipcodec.errors import ImageFileError, InputError
from clipcodec.images import load_rgb
from clipcodec.system import pipes
from clipcodec.system.pipes import Pipe, is_device, read_at_most, read_path

needs_dev = pytest.mark.skipif(sys.platform == "win32", reason="no /dev")


class Slow(io.RawIOBase):
    """Gives a byte at a time, for ever or `count` of them."""

    def __init__(self, count: int | None = None) -> None:
        self.left, self.given = count, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        if self.left == self.given:
            return 0
        memoryview(buffer)[:1] = bytes([self.given % 256])  # type: ignore[arg-type]
        self.given += 1
        return 1


@needs_dev
def test_devices_are_known_by_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", "/dev/null", tmp_path / "link"):
        assert is_device(name)
    for name in ("/dev/stdin", "/dev/fd/0", tmp_path / "file", tmp_path / "pipe", tmp_path, "none"):
        assert not is_device(name)


def test_at_most() -> None:
    assert read_at_most(Slow(40), 40) == bytes(range(40))
    endless = Slow()
    with pytest.raises(InputError, match="more than 40 bytes come out of this pipe or device"):
        read_at_most(endless, 40)
    assert endless.given == 41


def test_what_was_looked_at_is_read_again() -> None:
    pipe = Pipe("slow", Slow(300))
    assert pipe.first(5) == bytes(range(5))
    assert pipe.first(3) == bytes(range(3))
    assert io.BufferedReader(pipe, 7).read() == bytes(i % 256 for i in range(300))
    assert Pipe("short", Slow(2)).first(5) == b"\0\1"


@needs_dev
def test_a_device_is_refused_unopened(tmp_path: Path) -> None:
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    for name in ("/dev/zero", str(tmp_path / "endless.png")):
        for read in (read_path, Pipe):
            with pytest.raises(OSError, match="it is a device, expected a file or a pipe"):
                read(name)
        with pytest.raises(ImageFileError, match="it is a device"):
            load_rgb(name)


@needs_dev
def test_a_pipe_without_an_end_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python gets its name; what comes is read up to the limit and no further."""
    monkeypatch.setattr(pipes, "LARGEST_IMAGE", 1 << 16)
    out, into = os.pipe()
    os.write(into, bytes(1 << 16))
    pid = os.fork()
    if pid == 0:
        os.close(out)
        try:
            while True:
                os.write(into, bytes(1 << 16))
        finally:
            os._exit(0)
    os.close(into)
    with pytest.raises(ImageFileError, match=r"cannot be read \(more than 65536 bytes"):
        load_rgb(f"/dev/fd/{out}")
    os.close(out)
    os.waitpid(pid, 0)
