"""clipcodec.system.files: a file is the old one or the new one, never half."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from clipcodec.errors import OutputExistsError
from clipcodec.system.files import abort, open_number, write_atomic, written_directly


def test_writes_whole_files_with_the_usual_permissions(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"data", overwrite=False)
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").read_bytes() == b"data"
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_existing_files_are_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="give overwrite=True"):
        write_atomic(path, b"new", overwrite=False)
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new", overwrite=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def rewrite(path: Path) -> list[str]:
    """Replace a file; the warnings that it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_atomic(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    return [str(warning.message) for warning in caught]


def tagged(path: Path) -> Path:
    """A file with an extended attribute, where there are such."""
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.tag", b"holiday")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    return path


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_extended_attributes_and_permissions_are_kept(tmp_path: Path, mode: int) -> None:
    path = tagged(tmp_path / "a")
    path.chmod(mode)
    assert rewrite(path) == []
    assert os.getxattr(path, "user.tag") == b"holiday"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_an_access_list_is_kept_and_none_is_inherited(tmp_path: Path) -> None:
    """The folder's default list lets user 12345 read; the first file has no list, the second one
    that lets user 54321 read.
    """

    def access(user: int) -> bytes:
        entries = [(1, 6, -1), (2, 4, user), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)

    name = "system.posix_acl_access"
    plain, listed = tmp_path / "plain", tmp_path / "listed"
    plain.write_bytes(b"old")
    listed.write_bytes(b"old")
    plain.chmod(0o640)
    try:
        os.setxattr(listed, name, access(54321))
        os.setxattr(tmp_path, "system.posix_acl_default", access(12345))
    except (OSError, AttributeError):
        pytest.skip("no access lists here")
    (tmp_path / "new").write_bytes(b"new")
    assert os.getxattr(tmp_path / "new", name) == access(12345)
    assert rewrite(plain) + rewrite(listed) == []
    assert name not in os.listxattr(plain)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o640
    assert os.getxattr(listed, name) == access(54321)


def test_attributes_that_cannot_be_kept_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tagged(tmp_path / "a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "setxattr", full)
    (warning,) = rewrite(path)
    assert str(path) in warning
    assert "extended attributes user.tag" in warning


def test_other_hard_links_are_named_and_keep_the_old_content(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    (warning,) = rewrite(path)
    assert "1 other hard link(s), which have the old content" in warning
    assert str(path) in warning
    assert other.read_bytes() == b"old"
    assert rewrite(path) == []


def test_a_program_that_makes_warnings_errors_keeps_the_old_file(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="hard link"):
            write_atomic(path, b"new", overwrite=True)
    assert path.samefile(other)
    assert path.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [path, other]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="for root only")
def test_root_keeps_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o4750)
    assert rewrite(path) == []
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o4750)


@pytest.mark.skipif(sys.platform == "win32", reason="has other owners")
def test_an_owner_that_cannot_be_kept_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a set-user-ID bit handed on, which would be another user's."""
    path, state = tmp_path / "a", os.stat
    path.write_bytes(b"old")
    path.chmod(0o6755)

    def foreign(name: Any, **options: Any) -> os.stat_result:
        found = state(name, **options)
        if os.fspath(name) != str(path):
            return found
        return os.stat_result((*found[:4], 4321, 5432, *found[6:]))

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "stat", foreign)
    monkeypatch.setattr(os, "chown", forbidden)
    (warning,) = rewrite(path)
    assert "owner (uid 4321); group (gid 5432); permissions 6755" in warning
    assert stat.S_IMODE(state(path).st_mode) == 0o755


def test_links_are_followed(tmp_path: Path) -> None:
    """What a link points to is kept, or replaced when told; the link stays."""
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "old")
    with pytest.raises(OutputExistsError):
        write_atomic(tmp_path / "link", b"new", overwrite=False)
    write_atomic(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "old").read_bytes() == b"new"


def test_a_file_made_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    monkeypatch.setattr(os, "fsync", lambda fd: path.write_bytes(b"theirs"))
    with pytest.raises(OutputExistsError):
        write_atomic(path, b"ours", overwrite=False)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_long_names_of_many_bytes(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("漢" * 80), b"new", overwrite=False)
    assert (tmp_path / ("漢" * 80)).read_bytes() == b"new"


def test_directories_are_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="directory"):
        write_atomic(tmp_path, b"new", overwrite=True)


def test_devices_are_written_and_stay_devices() -> None:
    write_atomic("/dev/null", b"data", overwrite=False)
    assert not Path("/dev/null").is_file()


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    """Not the temporary one, which nobody asked for."""
    path = tmp_path / "none" / "a"
    with pytest.raises(FileNotFoundError, match="cannot be written: No such file") as caught:
        write_atomic(path, b"new", overwrite=True)
    assert caught.value.filename == str(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match="cannot be written: No space left") as caught:
        write_atomic("/dev/full", b"new", overwrite=True)
    assert caught.value.filename == "/dev/full"


def test_what_cannot_be_aborted_says_so(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        assert not abort(file)
    assert not abort(io.BytesIO())
    assert not abort(sys.stdout.buffer)


def test_what_is_no_file_is_written_directly(tmp_path: Path) -> None:
    """Open files of this process by their numbers, from where they stand; pipes; devices."""
    with open(tmp_path / "open", "wb") as file:
        os.write(file.fileno(), b"before ")
        (tmp_path / "link").symlink_to(f"/dev/fd/{file.fileno()}")
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            if os.path.exists(name):
                assert open_number(name) == file.fileno()
                assert written_directly(name)
                write_atomic(name, b"data ", overwrite=False)
        assert open_number(tmp_path / "link") == file.fileno()
        write_atomic(tmp_path / "link", b"end", overwrite=False)
    assert (tmp_path / "open").read_bytes().replace(b"data ", b"") == b"before end"
    for path in (tmp_path / "open", tmp_path / "none", tmp_path, "/dev/fd", "/dev/fd/x", "5"):
        assert open_number(path) is None
        assert not written_directly(path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert open_number(tmp_path / "loop") is None
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", os.devnull):
        assert written_directly(path)
        assert open_number(path) is None
