"""A real server of the page in a thread, and requests to it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clipcodec
from clipcodec.texts import TextEmbeddings
from clipcodec.web.app import create_app
from clipcodec.web.collection import Collection
from clipcodec.web.encoders import Encoders
from clipcodec.web.pictures import Pictures
from clipcodec.web.server import HOST, listen, server_of
from clipcodec.web.thumbnails import Thumbnails
from clipcodec.web.words import Words


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Site:
    """A server that runs."""

    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        return self.request("POST", path, body, {"Origin": self.url, **headers})

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None
    ) -> Answer:
        """`_` in the names of headers stands for `-`; the path is sent as it is."""
        named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=60)) as connection:
            connection.putrequest(method, path, skip_host="Host" in named)
            for name, value in named.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())


@contextmanager
def serving(
    container: Path,
    images: Path | None,
    cache: Path,
    *,
    known: TextEmbeddings | None = None,
    labels: TextEmbeddings | list[str] | None = None,
    backbone: str | None = None,
) -> Iterator[Site]:
    """The page of a container, as `clipcodec browse` serves it."""
    with clipcodec.open(container) as opened:
        collection = Collection(opened, container.name, backbone=backbone)
        encoders = Encoders(collection.profile, collection.backbone)
        words = Words(collection, encoders, known=known, labels=labels)
        bound = listen(0)
        port = bound.getsockname()[1]
        app = create_app(
            collection, Pictures(images), Thumbnails(cache), encoders, words, port=port
        )
        encoders.start()
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield Site(port)
        finally:
            server.should_exit = True
            thread.join()
            bound.close()
