"""What file systems of fsspec tell of an object, and how its bytes are asked for."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from typing import Any

PARALLEL = 8  # requests at once
_CONTENT = ("ETag", "etag", "generation", "md5Hash", "content_md5", "checksum")
_TIME = (
    "LastModified", "last_modified", "Last-Modified", "mtime", "updated", "modified", "created",
)  # fmt: skip


def opened(fs: Any, path: str) -> tuple[Any, dict[str, Any]]:
    """A file object, and what is known of the object."""
    protocol = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    if "https" not in protocol:
        file = fs.open(path, "rb")
        return file, info_of(fs, path, file)
    info = dict(fs.info(path))
    headers = dict(fs.kwargs.get("headers", {}))
    tag = info.get("ETag")
    if tag and not tag.startswith("W/"):  # the server refuses to mix two objects
        headers["If-Match"] = tag
    return fs.open(path, "rb", size=info.get("size"), headers=headers), info


def info_of(fs: Any, path: str, file: Any) -> dict[str, Any]:
    """What is known of the object of a file that is open, without a request if the file says it."""
    details = getattr(file, "details", None)
    if isinstance(details, dict) and any(details.get(key) for key in (*_CONTENT, *_TIME)):
        return details
    return dict(fs.info(path))


def guarded(file: Any) -> bool:
    """Do its requests name the object that was opened, so that the store refuses another?"""
    headers = getattr(file, "kwargs", {}).get("headers", {})
    return "IfMatch" in getattr(file, "read_kw", {}) or "If-Match" in headers


def state_of(info: dict[str, Any]) -> tuple[int, ...]:
    """Numbers that are equal only for the same content; the last is no time: see survey.py."""
    known = [f"{key}={info[key]}" for key in _CONTENT if info.get(key)][:1]
    if not known:
        known = [f"{key}={info[key]}" for key in _TIME if info.get(key)]
    digest = hashlib.sha256("\n".join(known).encode()).digest()
    return -1, int.from_bytes(digest[:8], "big"), int(info.get("size") or 0), 0


def reader(fs: Any, path: str, file: Any) -> tuple[Callable[[int, int], bytes], int]:
    """What reads from a start to an end, and how many threads may call it at once."""
    cached = type(fs).__module__.endswith("implementations.cached")
    fetch = getattr(file, "_fetch_range", None)
    if callable(fetch) and not cached:  # S3's refuses an object that was replaced since
        return fetch, PARALLEL if getattr(fs, "async_impl", False) else 1
    if isinstance(file, io.BytesIO):  # memory://, one file object for all
        return (lambda start, end: fs.cat_file(path, start=start, end=end)), 1
    lock = threading.Lock()

    def read(start: int, end: int) -> bytes:
        with lock:
            file.seek(start)
            data: bytes = file.read(end - start)
            return data

    return read, 1
