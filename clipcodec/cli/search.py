"""`clipcodec search`: the items of a container nearest to words, images or embeddings."""

from __future__ import annotations

import argparse
from typing import NamedTuple

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
from ..profile.registry import ANY_BACKBONE
from ..retrieval import Hits, search
from .common import STDIO, read_stream, report
from .containers import opened
from .formats import CONTAINER, EMBEDDINGS, PICTURES, STREAM, known, refuse_foreign
from .inputs import embedding_rows, path_or_bytes
from .terminal import as_json, say, tell, tell_json
from .words import is_text_embeddings, read_text_embeddings, templates_of


class Query(NamedTuple):
    """One query.

    name      the words, or the file and, if it holds several, the number
    kind      "text", "image", "stream" or "embedding"
    row       (D,) float32, unit norm
    backbone  the model that made it; None: unknown
    """

    name: str
    kind: str
    row: Embeddings
    backbone: str | None


def run(args: argparse.Namespace) -> int:
    files = [*(args.query or []), *(args.text_embeddings or [])]
    if not files and not args.text:
        raise OptionError("nothing to search for: give --text, --query or --text-embeddings")
    if [args.container, *files].count(STDIO) > 1:
        raise OptionError("container and queries cannot both be stdin")
    name, whole = args.container, True
    if args.index is None:
        _refuse_index_options(args)
    else:
        from .index import indexed

        name, whole = args.index, indexed(args)
    with placed(source=name):
        refuse_foreign(
            name, "a container", CONTAINER, error=DecodeError,
            also="; or give --index OUT.clpc, and this verb makes it",
        )  # fmt: skip
    with opened(name, profile=args.profile) as container, placed(source=name):
        if not len(container):
            say(f"{'stdin' if name == STDIO else name}: no items to search")
        embedder = _embedder(container, args)
        queries, failed = _queries(embedder, args)
        if queries:
            rows = np.stack([query.row for query in queries])
            hits = search(container, rows, args.k, backbone=_model(queries), device=args.device)
            _print(queries, hits, container, args)
    return 1 if failed or not whole else 0


def _refuse_index_options(args: argparse.Namespace) -> None:
    for option in ("column", "quality", "max_bytes", "min_cosine", "mean_bytes", "texts"):
        if getattr(args, option) is not None:
            flag = "--" + option.replace("_", "-")
            raise OptionError(f"{flag} says how to compress: it needs --index FILE")


def _embedder(container: Container, args: argparse.Namespace) -> Codec:
    """What embeds queries as what is in the container: by the profile of its first stream."""
    profile = args.profile
    if profile is None and len(container):
        profile = container.codec.parse(container[0]).profile
    return Codec(profile, backbone=args.backbone, device=args.device, weights=args.weights)


def _model(queries: list[Query]) -> str | None:
    """The one model that made the queries, where it is known. Raises EmbeddingError."""
    known = {query.backbone for query in queries} - {None, ANY_BACKBONE}
    if len(known) > 1:
        raise EmbeddingError(f"queries of several models: {', '.join(sorted(map(str, known)))}")
    return known.pop() if known else None


def _queries(embedder: Codec, args: argparse.Namespace) -> tuple[list[Query], int]:
    """Words first, then files in the order given. A file that fails is named; how many did."""
    found: list[Query] = []
    failed = 0
    if args.text:
        model = embedder.backbone_name
        rows = embedder.embed_texts(args.text, templates_of(args))
        found += [Query(t, "text", r, model) for t, r in zip(args.text, rows, strict=True)]
    for name in [*(args.text_embeddings or []), *(args.query or [])]:
        texts = name in (args.text_embeddings or []) or is_text_embeddings(name)
        try:
            new = _of_texts(name) if texts else _of_file(name, embedder)
            if found and len(new[0].row) != len(found[0].row):
                raise EmbeddingError(
                    f"{len(new[0].row)} dimensions, the queries before have {len(found[0].row)}"
                )
        except (WeightsError, MissingDependencyError, OptionError):
            raise  # no backbone: every other image would fail alike
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
            continue
        found += new
    return found, failed


def _of_texts(name: str) -> list[Query]:
    texts = read_text_embeddings(name)
    rows = zip(texts.names, texts.embeddings, strict=True)
    return [Query(text, "text", row, texts.backbone) for text, row in rows]


def _of_file(name: str, embedder: Codec) -> list[Query]:
    what = known(name, embedder)
    if what == STREAM:
        parsed = embedder.parse(read_stream(name, embedder))
        row = embedder.decode_parsed([parsed])[0]
        return [Query(name, "stream", row, parsed.profile.backbone)]
    refuse_foreign(
        name, "an image, embeddings or a stream", *EMBEDDINGS, *PICTURES, error=InputError
    )
    source = path_or_bytes(name)
    rows = embedding_rows(source, name)
    if rows is None:
        row = embedder.embed_images([source])[0]
        return [Query(name, "image", row, embedder.backbone_name)]
    unit = as_embeddings(rows)
    names = [name] if len(unit) == 1 else [f"{name}/{i}" for i in range(len(unit))]
    return [Query(n, "embedding", row, None) for n, row in zip(names, unit, strict=True)]


def _print(
    queries: list[Query], hits: Hits, container: Container, args: argparse.Namespace
) -> None:
    """For each query its hits, told apart in every form of the output."""
    if args.tsv:
        tell("query", "rank", "score", "index", "id")
    for query, scores, places in zip(queries, hits.scores, hits.indices, strict=True):
        found = [
            (float(score), place, container.item(place).id)
            for score, place in zip(scores, places.tolist(), strict=True)
        ]
        if args.json:
            rows = [{"score": round(s, 6), "index": i, "id": id} for s, i, id in found]
            tell_json({"query": query.name, "kind": query.kind, "hits": rows})
        elif args.tsv:
            for rank, (score, place, id) in enumerate(found, 1):
                tell(query.name, rank, f"{score:.6f}", place, "" if id is None else id)
        else:
            tell(as_json(query.name) if query.kind == "text" else query.name)
            for score, place, id in found:
                tell(f"  {score:.4f}  {place if id is None else id}")
