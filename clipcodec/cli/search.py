"""`clipcodec search`: the items of a container nearest to words, images or embeddings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..codec import Codec
from ..container import Container
from ..container.filtering import matcher
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
from ..profile import registry
from ..profile.registry import ANY_BACKBONE
from ..retrieval import Hits, SearchIndex, search
from ..retrieval.layout import MAGIC
from .chosen import read_chosen, refuse_two_stdin
from .common import read_stream, report
from .containers import opened
from .formats import CONTAINER, EMBEDDINGS, PICTURES, STREAM, known, refuse_foreign
from .inputs import embedding_rows, first_bytes, is_pipe, label_of, path_or_bytes
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
    refuse_two_stdin(*args.container, *files, args.ids)
    for name in args.container[1:]:
        if args.text and not os.path.splitext(name)[1] and not os.path.exists(name):
            raise OptionError(
                f"{name}: there is no such file (a text of several words is put in quotes)"
            )
    names, whole = args.container, True
    if args.index is None:
        _refuse_index_options(args)
    else:
        from .index import indexed

        whole = indexed(args)
        names = [args.index]
    chosen = _filter(args)
    with ExitStack() as stack:
        place = stack.enter_context(_opened(names, args))
        queries, failed = _queries(place.embedder(args), args)
        if queries:
            hits = place.search(queries, chosen, args)
            if hits is not None:
                if args.match and not hits.scores.shape[1]:
                    more = "" if args.ids is None else " and --ids"
                    say(f"no item fits --match {' '.join(args.match)}{more}")
                _print(queries, hits, place.names, args)
    return 1 if failed or place.failed or not whole else 0


def _filter(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `search` that --ids and --match mean."""
    chosen: dict[str, Any] = {}
    if args.ids is not None:
        chosen["ids"] = read_chosen(args.ids)
    if args.match:
        chosen["where"] = matcher(args.match)
    return chosen


@contextmanager
def _opened(names: list[str], args: argparse.Namespace) -> Iterator[_Place]:
    """Where is searched: in containers, or in a saved index."""
    if any(map(_is_index, names)):
        if len(names) > 1 or args.save_index or args.approximate:
            raise OptionError(
                "a saved index is searched alone: without other containers, --save-index and "
                "--approximate"
            )
        yield _Index(SearchIndex.open(names[0]), names[0])
        return
    with ExitStack() as stack:
        containers, failed = [], 0
        for name in names:
            try:
                with placed(source=name):
                    refuse_foreign(
                        name, "a container", CONTAINER, error=DecodeError,
                        also="; or give --index OUT.clpc, and this verb makes it",
                    )  # fmt: skip
                with placed(source=name):
                    container = stack.enter_context(opened(name, profile=args.profile))
            except (ClipcodecError, OSError) as error:
                if len(names) == 1:
                    raise
                report(name, error)
                failed += 1
                continue
            if not len(container):
                say(f"{label_of(name)}: no items to search")
            containers.append((name, container))
        place = _Containers(containers, failed)
        if args.save_index is None or not containers:
            yield place
        elif args.approximate:
            raise OptionError("--approximate is for a search without an index: no --save-index")
        else:
            from .index import saved_index

            index = saved_index(args.save_index, [one for _, one in containers], args)
            yield _Index(index, args.save_index, place)


def _is_index(name: str) -> bool:
    """A name that cannot be read is left to what reads it as a container, and says why."""
    try:
        return not is_pipe(name) and first_bytes(name, len(MAGIC)) == MAGIC
    except OSError:
        return False


class _Place:
    """Where is searched.

    failed  how many of its sources cannot be read; each was named
    """

    failed: int

    @property
    def names(self) -> list[str]:
        """What its sources are called."""
        raise NotImplementedError

    def embedder(self, args: argparse.Namespace) -> Codec:
        """What embeds queries as what is searched."""
        raise NotImplementedError

    def search(
        self, queries: list[Query], chosen: dict[str, Any], args: argparse.Namespace
    ) -> Hits | None:
        """The hits; None if nothing can be read."""
        raise NotImplementedError


class _Containers(_Place):
    def __init__(self, containers: list[tuple[str, Container]], failed: int) -> None:
        self.containers, self.failed = containers, failed

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.containers]

    def embedder(self, args: argparse.Namespace) -> Codec:
        """By the profile of the first stream."""
        profile = args.profile
        filled = [one for _, one in self.containers if len(one)]
        if profile is None and filled:
            with placed(source=filled[0].name):
                profile = filled[0].codec.parse(filled[0][0]).profile
        return Codec(profile, backbone=args.backbone, device=args.device, weights=args.weights)

    def search(
        self, queries: list[Query], chosen: dict[str, Any], args: argparse.Namespace
    ) -> Hits | None:
        """Of several containers, one that is damaged is named, and the others are searched."""
        rows = np.stack([query.row for query in queries])
        while self.containers:
            several = [one for _, one in self.containers]
            source: Any = several[0] if len(several) == 1 else several
            try:
                with placed(source=self.containers[0][0] if len(several) == 1 else None):
                    return search(
                        source, rows, args.k, backbone=_model(queries), device=args.device,
                        exact=not args.approximate, **chosen,
                    )  # fmt: skip
            except DecodeError as error:
                bad = [pair for pair in self.containers if _is_of(error, pair[1].name)]
                if len(several) == 1 and not self.failed:
                    raise
                if not bad:
                    raise
                report(bad[0][0], error)
                self.failed += 1
                self.containers.remove(bad[0])
        return None


def _is_of(error: ClipcodecError, name: str) -> bool:
    return error.source is not None and error.source.startswith(name)


class _Index(_Place):
    """A saved index. of: the containers that it is of, if these were given."""

    def __init__(self, index: SearchIndex, name: str, of: _Containers | None = None) -> None:
        self._index, self._name, self._of = index, name, of
        self.failed = 0 if of is None else of.failed
        if not len(index):
            say(f"{name}: no items to search")

    @property
    def names(self) -> list[str]:
        if self._of is not None:
            return self._of.names
        return [source or self._name for source in self._index.sources]

    def embedder(self, args: argparse.Namespace) -> Codec:
        """By the profile that the index names, if it is a registered one."""
        if self._of is not None:
            return self._of.embedder(args)
        profile = args.profile
        known = {info.name for info in registry.registered()}
        if profile is None:
            profile = next((name for name in self._index.profiles if name in known), None)
        return Codec(profile, backbone=args.backbone, device=args.device, weights=args.weights)

    def search(
        self, queries: list[Query], chosen: dict[str, Any], args: argparse.Namespace
    ) -> Hits | None:
        model = _model(queries)
        others = {*self._index.profiles.values()} - {ANY_BACKBONE, model}
        if model is not None and others:
            raise EmbeddingError(
                f"queries of {model}, and the index has embeddings of {', '.join(sorted(others))}"
            )
        rows = np.stack([query.row for query in queries])
        try:
            return self._index.search(rows, args.k, **chosen)
        except DecodeError as error:  # rows are checked when they are first used
            from .index import built_index, is_of_index

            if self._of is None or not is_of_index(error, self._name):
                raise
            say(f"{error}; it is built again")
            self._index = built_index(self._name, [one for _, one in self._of.containers], args)
            return self._index.search(rows, args.k, **chosen)


def _refuse_index_options(args: argparse.Namespace) -> None:
    for option in ("column", "quality", "max_bytes", "min_cosine", "mean_bytes", "texts"):
        if getattr(args, option) is not None:
            flag = "--" + option.replace("_", "-")
            raise OptionError(f"{flag} says how to compress: it needs --index FILE")


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


def _print(queries: list[Query], hits: Hits, names: list[str], args: argparse.Namespace) -> None:
    """For each query its hits, told apart in every form of the output.

    names  of the sources; where there are several, each hit has the name of its own, and its place
           there
    """
    several = len(names) > 1
    if args.tsv:
        tell("query", "rank", "score", "index", "id", *(["file"] if several else []))
    rows = zip(queries, hits.scores, hits.places, hits.ids, hits.sources, strict=True)
    for query, scores, places, ids, sources in rows:
        found = [
            (float(score), place, id, [names[source]] if several else [])
            for score, place, id, source in zip(
                scores, places.tolist(), ids, sources.tolist(), strict=True
            )
        ]
        if args.json:
            shown = [
                {"score": round(s, 6), "index": i, "id": id, **({"file": file[0]} if file else {})}
                for s, i, id, file in found
            ]
            tell_json({"query": query.name, "kind": query.kind, "hits": shown})
        elif args.tsv:
            for rank, (score, place, id, file) in enumerate(found, 1):
                tell(query.name, rank, f"{score:.6f}", place, "" if id is None else id, *file)
        else:
            tell(as_json(query.name) if query.kind == "text" else query.name)
            for score, place, id, file in found:
                where = f"  in {file[0]}" if file else ""
                tell(f"  {score:.4f}  {place if id is None else id}{where}")
