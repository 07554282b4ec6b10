"""Bytes that are a path, where the content of an image file is expected."""

from __future__ import annotations

import array

import pytest

from clipcodec.system.paths import is_path_of_bytes


@pytest.mark.parametrize("path", [b"a.png", b"/x y/\xc3\xa9.jpg", b"C:\\a.png", b"x" * 4096])
def test_paths_are_seen(path: bytes) -> None:
    for given in (path, bytearray(path), memoryview(path)):
        assert is_path_of_bytes(given)


@pytest.mark.parametrize(
    "given",
    [b"", b"\xff\xd8\xff\xe0\0\x10JFIF", b"P2\n1 1\n1\n1\n", b"x" * 4097, "a.png", None, 5],
)
def test_contents_and_others_are_not(given: object) -> None:
    assert not is_path_of_bytes(given)
    assert not is_path_of_bytes(memoryview(array.array("i", [0, 1])))
