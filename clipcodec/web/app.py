"""The page's addresses, and what they answer."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..errors import (
    ClipcodecError,
    ImageError,
    InputError,
    MissingDependencyError,
    OptionError,
    WeightsError,
)
from ..system.threads import most_threads
from .collection import Collection
from .encoders import MISSING, Encoders
from .guard import Guard
from .pictures import Pictures
from .thumbnails import EDGES, MEDIA_TYPE, Thumbnails
from .views import FEWEST, MOST, Views
from .words import DEFAULT, LONGEST, Words, check_labels

LARGEST_IMAGE = 64 << 20  # bytes of an image that is sent to us
_LARGEST_LABELS = 1 << 20
_PAGE = 1000  # items in one answer, at most
_HITS = 500  # of a search
_SUGGESTED = 2000  # words offered while one types
_STATIC = {  # the only files of the page
    "app.js": "text/javascript; charset=utf-8",
    "grid.js": "text/javascript; charset=utf-8",
    "panel.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "common.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}

T = TypeVar("T")
Answer = Callable[[Request], Awaitable[Response]]


class _Gone(Exception):
    """Nobody waits for the answer any more."""


class _Bounded:
    """Runs work in threads, some at a time; work that nobody waits for any more is left out."""

    def __init__(self, threads: int) -> None:
        self._free = asyncio.Semaphore(threads)

    async def __call__(self, request: Request, work: Callable[[], T]) -> T:
        async with self._free:
            if await request.is_disconnected():
                raise _Gone
            return await asyncio.to_thread(work)


@dataclass
class _Parts:
    collection: Collection
    pictures: Pictures
    thumbnails: Thumbnails
    encoders: Encoders
    words: Words
    views: Views
    version: str
    drawing: _Bounded
    encoding: _Bounded


def create_app(
    collection: Collection,
    pictures: Pictures,
    thumbnails: Thumbnails,
    encoders: Encoders,
    words: Words,
    *,
    port: int,
) -> ASGIApp:
    """The application for one port of 127.0.0.1, with its guard (see guard.py)."""
    parts = _Parts(
        collection, pictures, thumbnails, encoders, words,
        Views(collection, pictures, encoders, words),
        version=secrets.token_hex(6),  # browsers must not keep pictures of another run
        drawing=_Bounded(max(1, min(4, most_threads()))),
        encoding=_Bounded(2),
    )  # fmt: skip
    routes = [
        Route("/", _page),
        Route("/static/{name}", _static),
        Route("/api/collection", _answering(parts, _collection)),
        Route("/api/items", _answering(parts, _items)),
        Route("/api/thumb/{index}", _answering(parts, _thumb)),
        Route("/api/search", _answering(parts, _search)),
        Route("/api/view/{subject}", _answering(parts, _view)),
        Route("/api/near/{subject}", _answering(parts, _near)),
        Route("/api/image", _answering(parts, _image), methods=["POST"]),
        Route("/api/labels", _answering(parts, _labels), methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), port)


def _answering(parts: _Parts, answer: Callable[[_Parts, Request], Awaitable[Response]]) -> Answer:
    """The answer, or what is wrong in words for the user: {"message": …}."""

    async def safely(request: Request) -> Response:
        try:
            return await answer(parts, request)
        except _Refused as refused:
            return _fault(refused.status, str(refused))
        except (_Gone, ClientDisconnect):
            return Response(status_code=499)
        except LookupError as error:
            return _fault(404, error.args[0] if error.args else "not found")
        except (WeightsError, MissingDependencyError) as error:
            return _fault(503, error)
        except (ClipcodecError, OSError) as error:
            return _fault(422, error)

    return safely


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _fault(status: int, reason: object) -> JSONResponse:
    return JSONResponse({"message": " ".join(str(reason).split())}, status)


# the page


async def _page(_request: Request) -> Response:
    return _file("index.html", "text/html; charset=utf-8")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        return PlainTextResponse("not found", 404)
    return _file(name, _STATIC[name])


def _file(name: str, media_type: str) -> Response:
    data = (files(__package__) / "static" / name).read_bytes()
    return Response(data, media_type=media_type, headers={"Cache-Control": "no-cache"})


# the items


async def _collection(parts: _Parts, _request: Request) -> Response:
    collection, encoders, words = parts.collection, parts.encoders, parts.words
    known = () if words.known is None else words.known.names
    return JSONResponse(
        {
            "name": collection.name,
            "count": len(collection),
            "profile": collection.profile.name,
            "version": parts.version,
            "fewest": FEWEST,
            "most": MOST,
            "largest": LARGEST_IMAGE,
            "words": list(dict.fromkeys(known))[:_SUGGESTED],
            "labels": list(words.default_names),
            "encoders": {"state": encoders.state, "message": encoders.message},
            "pictures": parts.pictures.folder is not None,
        }
    )


async def _items(parts: _Parts, request: Request) -> Response:
    offset = _number(request, "offset", 0, 0, len(parts.collection))
    count = _number(request, "count", 200, 1, _PAGE)
    return JSONResponse({"offset": offset, "ids": parts.collection.ids[offset : offset + count]})


async def _thumb(parts: _Parts, request: Request) -> Response:
    index = _place(parts, request.path_params["index"])
    size = request.query_params.get("size", "small")
    if size not in EDGES:
        raise _Refused(404, "no such size")
    id = parts.collection.ids[index]
    key = await asyncio.to_thread(parts.pictures.key, id)
    if key is None:
        raise LookupError("no picture of this item in the folder")
    tag = f'"{key}-{size}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=60"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    data = await asyncio.to_thread(parts.thumbnails.kept, key, size)
    if data is None:
        data = await parts.drawing(request, lambda: _drawn(parts, id, size))
    return Response(data, media_type=MEDIA_TYPE, headers=headers)


def _drawn(parts: _Parts, id: str | None, size: str) -> bytes:
    picture = parts.pictures.read(id)
    if picture is None:
        raise LookupError("no picture of this item in the folder")
    return parts.thumbnails.make(picture, size)


def _place(parts: _Parts, text: str) -> int:
    """An item's place, of a request; LookupError if there is none."""
    place = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
    if not 0 <= place < len(parts.collection):
        raise LookupError("no such item")
    return place


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = int(text[:16])
    except ValueError:
        raise OptionError(f"{name}: expected a whole number") from None
    return min(max(value, least), most)


# searching


async def _search(parts: _Parts, request: Request) -> Response:
    text = request.query_params.get("q", "").strip()
    if not 0 < len(text) <= LONGEST:
        raise OptionError(f"expected 1 to {LONGEST} characters to search for")
    try:
        row = await parts.encoding(request, lambda: parts.words.query(text))
    except (WeightsError, MissingDependencyError) as error:
        message = " ".join(str(error).split())
        return JSONResponse({"message": message, "like": parts.words.like(text)}, 503)
    return await _hits(parts, request, row, None)


async def _near(parts: _Parts, request: Request) -> Response:
    """The items nearest to the picture at hand."""
    name = request.path_params["subject"]
    subject = await parts.encoding(request, lambda: parts.views.subject(name))
    return await _hits(parts, request, subject.row, subject.index)


async def _hits(parts: _Parts, request: Request, row: Any, but: int | None) -> Response:
    k = _number(request, "k", 120, 1, _HITS)
    collection = parts.collection
    if not len(collection):
        return JSONResponse({"hits": []})
    hits = await asyncio.to_thread(lambda: collection.nearest(row, k, but=but))
    return JSONResponse({"hits": [parts.views.hit(hit) for hit in hits]})


async def _view(parts: _Parts, request: Request) -> Response:
    name = request.path_params["subject"]
    size = _number(request, "bytes", 50, FEWEST, MOST)
    labels = request.query_params.get("labels", DEFAULT)
    made = await parts.encoding(request, lambda: parts.views.view(name, size, labels))
    return JSONResponse(made)


# what the user gives


async def _image(parts: _Parts, request: Request) -> Response:
    data = await _body(request, LARGEST_IMAGE)
    if not data:
        raise ImageError("an empty file: drop an image")
    subject = await parts.encoding(request, lambda: parts.views.add_image(data))
    return JSONResponse({"subject": subject.name, "origin": subject.origin})


async def _labels(parts: _Parts, request: Request) -> Response:
    data = await _body(request, _LARGEST_LABELS)
    try:
        names = json.loads(data)["labels"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError
    except (ValueError, LookupError, TypeError, RecursionError):
        raise InputError('expected {"labels": ["…", …]}') from None
    kept = check_labels(names)
    name = await parts.encoding(request, lambda: parts.words.add_set(kept))
    return JSONResponse({"labels": name, "names": kept, "state": parts.encoders.state != MISSING})


async def _body(request: Request, most: int) -> bytes:
    """What was sent, of at most so many bytes."""
    if int(request.headers.get("content-length", "0")[:18] or 0) > most:
        raise _Refused(413, f"more than {most >> 20} MB")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise _Refused(413, f"more than {most >> 20} MB")
    return bytes(data)
