"""`clipcodec browse`: a page in the browser for the pictures of a container."""

from __future__ import annotations

import argparse
import os
import warnings
import webbrowser
from pathlib import Path

from ..container import Container
from ..errors import BackboneWarning, DecodeError, OptionError, placed
from ..integrations.extras import need
from ..system.optional import require
from .containers import opened
from .formats import CONTAINER, refuse_foreign
from .terminal import note, say
from .words import labels_of, read_text_embeddings, templates_of


def run(args: argparse.Namespace) -> int:
    for module in ("starlette", "uvicorn"):
        need(module, "web")
    if args.images is not None:
        require("PIL")
    with placed(source=args.container):
        refuse_foreign(args.container, "a container", CONTAINER, error=DecodeError)
    if args.images is not None and not Path(args.images).is_dir():
        raise OptionError(f"--images {args.images}: not a folder")
    # that a decoded embedding is unusual is no news here, where all are encoded once more
    warnings.simplefilter("ignore", BackboneWarning)
    with opened(args.container, profile=args.profile) as container:
        return _serve(args, container)


def _serve(args: argparse.Namespace, container: Container) -> int:
    from ..web.app import create_app
    from ..web.collection import Collection
    from ..web.encoders import Encoders
    from ..web.pictures import Pictures
    from ..web.server import HOST, listen, serve
    from ..web.thumbnails import Thumbnails, default_cache
    from ..web.words import Words

    known = read_text_embeddings(args.text_embeddings) if args.text_embeddings else None
    labels = None if args.labels is None else labels_of(args.labels)
    collection = Collection(container, os.path.basename(args.container), backbone=args.backbone)
    encoders = Encoders(
        collection.profile, collection.backbone, device=args.device, weights=args.weights
    )
    words = Words(collection, encoders, known=known, labels=labels, templates=templates_of(args))
    bound = listen(args.port)
    port = bound.getsockname()[1]
    thumbnails = Thumbnails(args.cache or default_cache())
    app = create_app(collection, Pictures(args.images), thumbnails, encoders, words, port=port)
    encoders.start()
    address = f"http://{HOST}:{port}/"
    say(f"{len(collection)} pictures at {address}")
    note("Ctrl-C ends it.")
    if args.open:
        webbrowser.open(address)
    serve(app, bound)
    return 0
