"""A local S3 server (moto) that writes down what it is asked, and fails where a test wants it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Environ = dict[str, Any]
Start = Callable[..., Any]


class Request(NamedTuple):
    """One request. range: bytes asked for, as "0-99"; None: all; bytes: of the answer."""

    method: str
    path: str
    query: str
    range: str | None
    status: int
    bytes: int


class Server:
    """Start it with `with`. `requests` is what it was asked; `url` where it listens.

    delay  seconds that each request waits
    fail   called with (method, path, range), gives what goes wrong: "503", "403", "cut" (half of
           the body comes), "ignore range"; or None
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.delay = 0.0
        self.fail: Callable[[str, str, str | None], str | None] = lambda *_: None
        self._lock = threading.Lock()

    def __enter__(self) -> Server:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept, as by real stores

            def log(self, *_: Any, **__: Any) -> None:
                pass

        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Forget the requests, and what goes wrong."""
        self.requests, self.delay, self.fail = [], 0.0, lambda *_: None

    def reads(self) -> list[Request]:
        """The requests that read an object's bytes."""
        return [one for one in self.requests if one.method == "GET" and one.range is not None]

    def _answer(self, environ: Environ, start: Start) -> Iterable[bytes]:
        time.sleep(self.delay)
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        asked = environ.get("HTTP_RANGE", "").removeprefix("bytes=") or None
        fault = self.fail(method, path, asked)
        if fault == "ignore range":
            environ.pop("HTTP_RANGE", None)
        status, body = 0, b""
        headers: list[tuple[str, str]] = []
        if fault in ("503", "403"):
            _read_all(environ)
            status, body = int(fault), b""
            start(f"{fault} Made Up", [("Content-Length", "0")])
        else:

            def begin(line: str, found: list[tuple[str, str]], *_: Any) -> None:
                nonlocal status, headers
                status, headers = int(line.split()[0]), found

            with self._lock:  # moto's stores are not made for threads
                parts = self._app(environ, begin)
                body = b"".join(parts)
            if fault == "cut":  # its length is not what was announced
                headers.append(("Connection", "close"))
            start(f"{status} Answer", headers)
        with self._lock:
            self.requests.append(
                Request(method, path, environ["QUERY_STRING"], asked, status, len(body))
            )
        return _cut(body) if fault == "cut" else [body]


def _read_all(environ: Environ) -> None:
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if size:
        environ["wsgi.input"].read(size)


def _cut(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionResetError  # the server closes the connection


@contextmanager
def running() -> Iterator[Server]:
    """A server with a bucket, `s3://bucket`, where this process and its children look for S3."""
    import fsspec

    before = dict(os.environ)
    with Server() as server:
        os.environ.update(environment(server.url))
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # of another server
        fs = fsspec.filesystem("s3")
        if not fs.exists("bucket"):  # moto has one store for all servers of a process
            fs.mkdir("bucket")
        try:
            yield server
        finally:
            os.environ.clear()
            os.environ.update(before)
            fs.clear_instance_cache()


@contextmanager
def checked(server: Server) -> Iterator[Server]:
    """For one test: the bucket is empty before and after, and no upload is left half done."""
    server.reset()
    try:
        yield server
        server.reset()
        assert uploads() == []
    finally:
        server.reset()
        fs = _store()
        for name in fs.find("bucket"):
            fs.rm_file(name)
        fs.invalidate_cache()


def put(data: bytes, url: str) -> None:
    _store().pipe_file(url, data, ACL="public-read")  # for http


def get(url: str) -> bytes | None:
    """What an object holds; None: there is none."""
    fs = _store()
    fs.invalidate_cache()
    return bytes(fs.cat_file(url)) if fs.exists(url) else None


def uploads() -> list[Any]:
    """Uploads that were begun, and neither completed nor aborted."""
    found = _store().call_s3("list_multipart_uploads", Bucket="bucket")
    return list(found.get("Uploads", []))


def _store() -> Any:
    import fsspec

    return fsspec.filesystem("s3")


def environment(url: str) -> dict[str, str]:
    """What tells s3fs and pyarrow where the server is, and makes their own retries short."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_RETRY_MODE": "standard",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
