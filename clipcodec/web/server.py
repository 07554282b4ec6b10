"""Serves an application on 127.0.0.1 until it is interrupted."""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress

import uvicorn
from starlette.types import ASGIApp

from ..errors import OptionError

HOST = "127.0.0.1"  # never another: other machines must not reach it


def listen(port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1; port 0 takes a free one. Raises OptionError."""
    if not 0 <= port <= 65535:
        raise OptionError(f"port {port}: expected 0 to 65535; 0 takes a free one")
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        bound.listen(128)  # connections wait from here on
    except OSError as error:
        bound.close()
        raise OptionError(
            f"port {port} cannot be used ({error.strerror}): choose another with --port, or 0 for "
            "a free one"
        ) from error
    return bound


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server that is not running yet."""
    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", ws="none", http="h11",
        server_header=False, timeout_graceful_shutdown=2, timeout_keep_alive=30,
    )  # fmt: skip
    return uvicorn.Server(config)


def serve(app: ASGIApp, bound: socket.socket) -> None:
    """Answer requests until Ctrl-C, which ends it without an error, or SIGTERM."""
    with closing(bound), suppress(KeyboardInterrupt):  # raised again once the server has ended
        server_of(app).run(sockets=[bound])
