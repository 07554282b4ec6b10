"""A small web service: pictures come in, their streams are kept in one file, and words find them.

    pip install "clipcodec[web]"
    python examples/service.py pictures.clpc --port 8000

    curl --data-binary @dog.jpg localhost:8000/pictures/dog      # answers with its stream
    curl localhost:8000/pictures/dog                             # the stream again
    curl localhost:8000/pictures/dog/embedding                   # 512 numbers
    curl "localhost:8000/search?text=a+brown+dog&k=5"            # ids and scores, the best first

One process serves a container. It listens on this machine only: put a server in front of it that
checks who may ask. A stream that was answered with 201 is on disk, and is there after a restart.
"""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import closing

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import clipcodec

LARGEST = 20_000_000  # bytes of a picture
STREAM = "application/x-clipcodec"


class Service:
    """The codec, the file that keeps the streams, and the index that is searched."""

    def __init__(self, path: str, max_bytes: int) -> None:
        self.codec, self.max_bytes, self.lock = clipcodec.Codec(), max_bytes, threading.Lock()
        clipcodec.create(path, mode="a").close()  # makes it, or mends what a killed process left
        with clipcodec.open(path) as kept:
            self.index = clipcodec.SearchIndex(kept)
            self.ids = [id or f"item {place}" for place, id in enumerate(kept.ids)]
            self.streams = dict(zip(self.ids, kept, strict=True))
        self.writer = clipcodec.create(path, mode="a")
        self.codec.backbone()  # loaded now, so that the first request need not wait
        self.codec.text_tower()

    def add(self, name: str, image: bytes) -> bytes | None:
        """Encode and keep a picture; None if there is one of that name."""
        stream = self.codec.encode(image, max_bytes=self.max_bytes)
        with self.lock:
            if name in self.streams:
                return None
            self.writer.append(stream, id=name)
            self.writer.flush()
            self.ids.append(name)  # before the index knows it: a search may be under way
            self.index.add([stream])
            self.streams[name] = stream
        return stream

    def search(self, text: str, k: int) -> list[dict[str, object]]:
        scores, places = self.index.search(self.codec.embed_texts([text]), k=k)
        rows = zip(places[0].tolist(), scores[0].tolist(), strict=True)
        return [{"id": self.ids[place], "score": score} for place, score in rows]


def application(service: Service) -> Starlette:
    async def post(request: Request) -> Response:
        image = bytearray()
        async for part in request.stream():
            image += part
            if len(image) > LARGEST:
                return Response(f"more than {LARGEST} bytes\n", 413)
        stream = await run_in_threadpool(service.add, request.path_params["id"], bytes(image))
        if stream is None:
            return Response("there is a picture of that name\n", 409)
        return Response(stream, 201, media_type=STREAM)

    def get(request: Request) -> Response:  # not async: Starlette runs it in a thread
        stream = service.streams.get(request.path_params["id"])
        if stream is None:
            return Response("no such picture\n", 404)
        if request.url.path.endswith("/embedding"):
            return JSONResponse(service.codec.decode(stream).tolist())
        return Response(stream, media_type=STREAM)

    def search(request: Request) -> Response:
        text, k = request.query_params.get("text", ""), request.query_params.get("k", "10")
        if not text.strip() or not k.isdecimal() or not 0 < int(k) <= 1000:
            return Response("expected /search?text=WORDS&k=NUMBER\n", 400)
        return JSONResponse(service.search(text, int(k)))

    def refuse(_request: Request, error: Exception) -> Response:
        return Response(f"{error}\n", 422)  # not an image, damaged, too large: the reason is in it

    routes = [
        Route("/pictures/{id}", post, methods=["POST"]),
        Route("/pictures/{id}", get),
        Route("/pictures/{id}/embedding", get),
        Route("/search", search),
    ]
    return Starlette(routes=routes, exception_handlers={clipcodec.ClipcodecError: refuse})


def main() -> None:
    parser = argparse.ArgumentParser(description="A web service for pictures and their streams.")
    parser.add_argument("container", help="a .clpc file; it is made if it is not there")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-bytes", type=int, default=50, help="of a stream (default: 50)")
    args = parser.parse_args()
    service = Service(args.container, args.max_bytes)
    with closing(service.writer):
        uvicorn.run(application(service), host="127.0.0.1", port=args.port)


if __name__ == "__main__":
    try:
        main()
    except (clipcodec.ClipcodecError, OSError) as error:
        sys.exit(f"service: {error}")
