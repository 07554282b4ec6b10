"""Writing files so that they are complete or not there at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import ClipcodecError, OutputExistsError

# Of the content, not of the file: the system makes them, and drops or renews them at each write.
_OF_CONTENT = {"security.capability", "security.ima", "security.evm"}


def write_atomic(path: str | os.PathLike[str], data: bytes, *, overwrite: bool) -> None:
    """Write `data` to a temporary file beside `path` and move it there. See `replacing`."""
    with replacing(path, overwrite=overwrite) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file, moved to `path` when the `with` block ends without error, else deleted.

    A new file takes over what `move` keeps of the file that it replaces. A process that is killed
    may leave the temporary file, `.clipcodec-….tmp`, which can be deleted. Pipes, devices and open
    files such as /dev/stdout are written directly. Raises OutputExistsError if `path` exists and
    `overwrite` is false, and OSError naming `path` for any other failure.
    """
    with os_errors_named(path):
        if written_directly(path):
            with open_directly(path) as device:
                yield device
            return
        target = Path(os.path.realpath(path))  # replace what a link points to, not the link
        refuse_existing(target, overwrite=overwrite)
        with _through_temporary(target, overwrite=overwrite) as file:
            yield file


def written_directly(path: str | os.PathLike[str]) -> bool:
    """Is this a pipe, a device or an open file of this process, which no file can replace?

    Asked before the path is resolved: what /dev/stdout or a shell's >(…) resolves to is no path.
    """
    if open_number(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_directly(path: str | os.PathLike[str]) -> BinaryIO:
    """Open for writing what `written_directly`. An open file goes on where it stands."""
    number = open_number(path)
    return open(path, "wb") if number is None else os.fdopen(os.dup(number), "wb")


def open_number(path: str | os.PathLike[str]) -> int | None:
    """The number of the open file that such as /dev/stdout or /dev/fd/63 names; else None."""
    name = os.fsdecode(path)
    own = {"/dev/fd", "/proc/self/fd", os.path.realpath("/proc/self/fd")}
    for _ in range(40):  # links that lead to it, as Linux follows at most
        folder, last = os.path.split(os.path.abspath(name))
        folder = os.path.realpath(folder)
        if folder in own and last.isascii() and last.isdigit():
            return int(last)
        name = os.path.join(folder, last)
        if not os.path.islink(name):
            return None
        name = os.path.join(folder, os.readlink(name))
    return None


@contextmanager
def os_errors_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Any OSError of the `with` block is raised again, naming this path."""
    try:
        yield
    except ClipcodecError:
        raise
    except OSError as error:
        why = f"cannot be written: {error.strerror or error}"
        raise OSError(error.errno or errno.EIO, why, os.fspath(path)) from error


@contextmanager
def _through_temporary(target: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    temporary = target.with_name(f".clipcodec-{secrets.token_hex(6)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            if overwrite and target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(temporary, target, overwrite=overwrite)
    finally:
        with suppress(OSError):  # it must not hide the error that was raised before
            temporary.unlink()


def move(source: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a file. Raises OutputExistsError if `target` exists by now, unless `overwrite`.

    A file that replaces another takes over its owner, group, permissions and, on Linux, extended
    attributes. What it cannot keep is named in a warning, before the old file is replaced. Other
    hard links to the old file are of that kind: writing into the file itself would keep them, but
    a write that fails would leave half a file under all its names.
    """
    if overwrite or not _link(source, target):
        with suppress(FileNotFoundError):
            _take_over(source, target, target.stat())
        os.replace(source, target)
    else:
        source.unlink()


def _take_over(new: Path, path: Path, old: os.stat_result) -> None:
    """Give `new` what the file at `path`, whose state is `old`, has beside its content."""
    with suppress(OSError):
        os.chmod(new, 0o600)  # private until it is in the right hands; and attributes can be set
    lost = _change_owner(new, old)
    attributes = _copy_attributes(path, new)
    mode, made = stat.S_IMODE(old.st_mode), os.stat(new)
    if made.st_uid != old.st_uid:
        mode &= ~stat.S_ISUID  # it would lend the rights of another owner
    if made.st_gid != old.st_gid:
        mode &= ~stat.S_ISGID
    with suppress(OSError):
        os.chmod(new, mode)
    if stat.S_IMODE(os.stat(new).st_mode) != stat.S_IMODE(old.st_mode):
        lost.append(f"permissions {stat.S_IMODE(old.st_mode):04o}")
    if attributes:
        lost.append(f"extended attributes {', '.join(attributes)}")
    if old.st_nlink > 1:
        lost.append(f"{old.st_nlink - 1} other hard link(s), which have the old content")
    if lost:
        what = "; ".join(lost)
        warnings.warn(f"{path} is replaced by a new file, without its {what}", stacklevel=2)


def _change_owner(path: Path, old: os.stat_result) -> list[str]:
    """Owner and group as in `old`; those that cannot be changed."""
    if sys.platform == "win32":
        return []
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):  # an owner may give it to a group
        with suppress(OSError):
            os.chown(path, owner, group)
    made = os.stat(path)  # some file systems take the call and change nothing
    lost = [f"owner (uid {old.st_uid})"] if made.st_uid != old.st_uid else []
    return lost + ([f"group (gid {old.st_gid})"] if made.st_gid != old.st_gid else [])


def _copy_attributes(source: Path, target: Path) -> list[str]:
    """Make the extended attributes, access lists too, those of `source`; those that it cannot."""
    wanted, lost = _attributes(source), []
    for name in _attributes(target) - wanted:  # such as an access list of the folder's default
        with suppress(OSError):
            os.removexattr(target, name)
    for name in sorted(wanted):
        try:
            value = os.getxattr(source, name)
            if name not in _attributes(target) or os.getxattr(target, name) != value:
                os.setxattr(target, name, value)
        except OSError:
            lost.append(name)
    return lost


def _attributes(path: Path) -> set[str]:
    """The names of the extended attributes that a user or the system has given to a file."""
    if sys.platform != "linux":
        return set()
    try:
        return set(os.listxattr(path)) - _OF_CONTENT
    except OSError:  # the file system has none
        return set()


def _link(source: Path, target: Path) -> bool:
    """Hard-link `target` to `source`; False if the file system has no links.

    Raises OutputExistsError if `target` exists.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise OutputExistsError(
            f"{target} was made by another process meanwhile, and is kept"
        ) from None
    except OSError:
        refuse_existing(target, overwrite=False)
        return False
    return True


def abort(file: object) -> bool:
    """Give up what was written through a file object of an object store; False if it cannot.

    The object that had the name before stays, also if the file object is closed afterwards.
    smart_open's have `terminate`, those of fsspec `discard`, others `abort`. A
    buffer of Python's or a compressing layer around them is looked through.
    """
    layers = [file]
    while (inner := _inner(layers[-1])) is not None and len(layers) < 8:
        layers.append(inner)
    for layer in layers:
        if getattr(layer, "autocommit", True) is False:  # fsspec: its transaction gives it up
            return True
        for name in ("abort", "terminate", "discard"):
            give_up = getattr(layer, name, None)
            if not callable(give_up):
                continue
            try:
                give_up()
            except Exception:  # whatever a store's client raises: the next way may work
                continue
            if hasattr(layer, "forced"):  # fsspec: it would begin, and finish, when it is closed
                with suppress(Exception):
                    cast(Any, layer).closed = True
            return True
    return False


def _inner(file: object) -> object | None:
    """The file object that this one writes to."""
    for name in ("raw", "fileobj", "__wrapped__"):
        inner = getattr(file, name, None)
        if hasattr(inner, "write"):
            return inner
    return None


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError if `path` is a folder, or exists and `overwrite` is false."""
    if path.is_dir():
        raise OutputExistsError(f"{path} is a directory: name a file")
    if path.exists() and not overwrite:
        raise already_there(path)


def already_there(name: object) -> OutputExistsError:
    """The error for an output that exists, where it was not asked to replace it."""
    return OutputExistsError(
        f"{name} exists: to replace it give overwrite=True, or mode='w' of clipcodec.create"
    )
