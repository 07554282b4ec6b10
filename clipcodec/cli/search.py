"""`clipcodec search`: the items of a container that are nearest to images or embeddings."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ..codec import Codec
from ..container import Container
from ..embeddings import Embeddings, as_embeddings
from ..errors import (
    ClipcodecError,
    DecodeError,
    EmbeddingError,
    InputError,
    MissingDependencyError,
    OptionError,
    WeightsError,
    placed,
)
from ..retrieval import Hits, search
from .common import STDIO, read_stream, report
from .containers import opened
from .formats import CONTAINER, EMBEDDINGS, PICTURES, STREAM, known, refuse_foreign
from .inputs import embedding_rows, path_or_bytes
from .terminal import tell, tell_json


def run(args: argparse.Namespace) -> int:
    if args.k < 1:
        raise OptionError(f"-k {args.k}: at least 1")
    if args.container == STDIO and STDIO in args.query:
        raise OptionError("container and query cannot both be stdin")
    with placed(source=args.container):
        refuse_foreign(args.container, "a container", CONTAINER, error=DecodeError)
    with opened(args.container, profile=args.profile) as container:
        embedder = _embedder(container, args)
        names: list[str] = []
        queries: list[Embeddings] = []
        failed = 0
        for name in args.query:
            try:
                rows = _rows(name, embedder)
                if queries and rows.shape[1] != queries[0].shape[1]:
                    raise EmbeddingError(
                        f"{rows.shape[1]} dimensions, the queries before have {queries[0].shape[1]}"
                    )
            except (WeightsError, MissingDependencyError, OptionError):
                raise  # no backbone: every other image would fail alike
            except (ClipcodecError, OSError) as error:
                report(name, error)
                failed += 1
                continue
            names += [name] * len(rows)
            queries.append(rows)
        if queries:
            hits = search(container, np.concatenate(queries), args.k)  # one pass for all
            _print(names, hits, container, as_json=args.json)
    return 1 if failed else 0


def _embedder(container: Container, args: argparse.Namespace) -> Codec:
    """What embeds images as those of the container were: by the profile of its first stream."""
    profile = args.profile
    if profile is None and len(container):
        profile = container.codec.parse(container[0]).profile
    return Codec(profile, backbone=args.backbone, device=args.device, weights=args.weights)


def _rows(name: str, embedder: Codec) -> Embeddings:
    what = known(name, embedder)
    if what == STREAM:
        return embedder.decode(read_stream(name, embedder))[None]
    refuse_foreign(
        name, "an image, embeddings or a stream", *EMBEDDINGS, *PICTURES, error=InputError
    )
    source = path_or_bytes(name)
    rows = embedding_rows(source, name)
    return embedder.embed_images([source]) if rows is None else as_embeddings(rows)


def _print(names: list[str], hits: Hits, container: Container, *, as_json: bool) -> None:
    for name, scores, places in zip(names, hits.scores, hits.indices, strict=True):
        found: list[dict[str, Any]] = [
            {"score": round(float(score), 6), "index": place, "id": container.item(place).id}
            for score, place in zip(scores, places.tolist(), strict=True)
        ]
        if as_json:
            tell_json({"query": name, "hits": found})
            continue
        for hit in found:
            label = str(hit["index"]) if hit["id"] is None else hit["id"]
            tell(name, f"{hit['score']:.4f}", label)
