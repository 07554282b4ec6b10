"""Search on compressed embeddings, beside faiss at equal bytes; all into docs/results/search.json.

    python tests/bench/search.py recall DATA [--rows N]                four minutes
    python tests/bench/search.py peers DATA [--rows N]                 six minutes
    python tests/bench/search.py speed DATA [--items N] [--cpu-time]   eight minutes

Needs `pip install "clipcodec[faiss,usearch]"`.

recall  Of the exact ten nearest on the original embeddings, how many are among the ten found on
        decoded ones: `image_to_image`, `text_to_image`. All images that training never saw are one
        collection; 1,000 of them, drawn at random, are taken out to be the queries, as floats, so
        that no query is in the base. Texts: one embedding for each held-out class of ImageNet.
        `by` is how it is searched: `streams`, or `int8`, an index.
peers   The same for faiss's product quantisers, trained on what the profile was trained on
        (`load_training`), and searched in three ways: `by` inner product, distance, and `decoded`,
        the inner product with what they decode to at unit norm. OPQ's rotation is fitted to 20,000
        of these rows, in faiss's 50 rounds.
speed   Queries a second, `one` at a time or `many` (64) at once, and the share of the ten nearest
        that is found, of N (50,000) different rows: training rows at random, each with noise of
        a tenth of its norm. The nearest are those of exact search on these rows as floats; `recall`
        is the mean of 1,000 queries, images that training never saw; a search in stages, which
        decodes more for more queries, is asked 64 at once. Streams are encoded at quality
        50, which is not counted; `build_seconds` is what it takes to make the index from streams,
        or faiss's and usearch's from floats, training included. faiss compares distances, which
        finds more by quantised vectors and has the same order for others. `bytes_per_row` is what
        the index takes in a file. One thread or several as OMP_NUM_THREADS says; the best of three,
        of a pass over streams of one. With --cpu-time, seconds are those of the processor, for a
        machine that others use.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import kept
import numpy as np

import clipcodec
from clipcodec.embeddings import as_embeddings
from clipcodec.evaluation.sets import load_training
from clipcodec.integrations.extras import need

BUDGETS = (25, 34, 50, 75, 100)
PEERS = (25, 50, 100)  # bytes: fitting OPQ takes minutes for each
SEARCH = (*kept.OUR_CODE, "retrieval/*.py", "evaluation/sets.py")
VERBS = "recall|peers|speed"
QUERIES = 1000
K = 10
BATCH = 64
FAISS = "Flat", "IVF256,SQ8", "IVF256,PQ64x8np", "HNSW32"


def top(base: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.argsort(-(queries @ base.T), axis=1, kind="stable")[:, :K]


class Recall:
    """The collection, its queries, and what exact search finds."""

    def __init__(self, args: argparse.Namespace) -> None:
        sets, self.digest = kept.sets_of(args.data, args.rows)
        rows = np.concatenate([part.rows for part in sets])
        texts = next(part.texts for part in sets if part.texts is not None)
        order = np.random.default_rng(0).permutation(len(rows))
        count = min(QUERIES, len(rows) // 2)
        self.base = rows[order[count:]]
        self.queries = rows[order[:count]], texts
        self.exact = [top(self.base, queries) for queries in self.queries]
        self.file = kept.Kept("search", args, study=args.study, verbs=VERBS)
        print(f"{len(self.base)} images; queries: {count} images, {len(texts)} texts")

    def report(
        self, name: str, by: str, size: float, decoded: np.ndarray,
        find: Callable[[np.ndarray], object], modules: Sequence[str], weights: str = "",
        setting: str = "",
    ) -> None:  # fmt: skip
        shares = []
        for queries, truth in zip(self.queries, self.exact, strict=True):
            found = np.asarray(find(queries))
            pairs = zip(truth, found, strict=True)
            shares.append(np.mean([np.isin(a, b).mean() for a, b in pairs]))
        figures = {
            "bytes": size, "cosine": (decoded * self.base).sum(axis=1).mean(),
            "image_to_image": shares[0], "text_to_image": shares[1],
        }  # fmt: skip
        key = " ".join(filter(None, (name, setting, f"by {by}")))
        self.file.add(key, figures, data=self.digest, modules=modules, weights=weights,
                      series=name, setting=setting, by=by, images=len(self.base),
                      queries=len(self.queries[0]), texts=len(self.queries[1]))  # fmt: skip


def recall(args: argparse.Namespace) -> None:
    bench = Recall(args)

    def coded(name: str, **options: Any) -> None:
        streams = clipcodec.encode_embeddings(bench.base, profile=name, **options)
        size = float(np.mean([len(stream) for stream in streams]))
        decoded = clipcodec.decode_batch(streams)
        index = clipcodec.SearchIndex(streams)
        setting = ", ".join(f"{key}={value}" for key, value in options.items())
        for by, find in (
            ("streams", lambda q: clipcodec.search(streams, q, K).indices),
            ("int8", lambda q: index.search(q, K).indices),
        ):
            bench.report(name, by, size, decoded, find, SEARCH, kept.weights_of(name), setting)

    for budget in BUDGETS:
        coded("openai-vit-b-32/predictive", max_bytes=budget)
    for name in ("openai-vit-b-32/pqvae-400", "openai-vit-b-32/pqvae-800"):
        coded(name)
    for budget in (50, 100, 200):
        coded("any/rotation", max_bytes=budget)
    bench.file.finish()


def peers(args: argparse.Namespace) -> None:
    faiss = need("faiss", "faiss")
    bench, train = Recall(args), load_training(args.data)
    bench.digest = f"{bench.digest[:32]} {kept.digest(train)[:32]}"  # and of its training
    width = train.shape[1]
    few = min(len(train), 20_000 if args.rows is None else 2_000)
    sample = np.random.default_rng(1).choice(len(train), few, replace=False)
    if args.rows is not None:
        train = train[sample]
        sample = np.arange(few)
    for m in PEERS if args.rows is None else PEERS[:1]:
        for kind, name in (
            ("PQ", f"Pad{-(-width // m) * m},PQ{m}x8np"),
            ("OPQ", f"OPQ{m}_{width // m * m},PQ{m}x8np"),
        ):
            index = faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT)
            first = faiss.downcast_VectorTransform(index.chain.at(0))
            if isinstance(first, faiss.OPQMatrix):
                first.train(train[sample])
            index.train(train)
            index.add(bench.base)
            decoded = as_embeddings(index.reconstruct_n(0, len(bench.base)))

            def report(
                by: str, find: Callable[[np.ndarray], object], series: str = f"faiss {kind}",
                m: int = m, decoded: np.ndarray = decoded, name: str = name,
            ) -> None:  # fmt: skip
                bench.report(series, by, m, decoded, find, ("evaluation/sets.py",), setting=name)

            report("inner product", lambda q, i=index: i.search(q, K)[1])
            index.metric_type = index.index.metric_type = faiss.METRIC_L2
            report("distance", lambda q, i=index: i.search(q, K)[1])
            report("decoded", lambda q, r=decoded: top(r, q))
    bench.file.finish()


def seconds(work: Callable[[], object], runs: int, clock: Callable[[], float]) -> float:
    times = []
    for _ in range(runs):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


class Speed:
    """The rows, the queries, and what exact search finds."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
        self.clock = time.process_time if args.cpu_time else time.perf_counter
        self.train = load_training(args.data)
        rng = np.random.default_rng(0)
        noise = 0.1 / np.sqrt(self.train.shape[1])
        drawn = np.resize(rng.permutation(len(self.train)), args.items)
        self.rows = np.concatenate([
            as_embeddings(rows + noise * rng.standard_normal(rows.shape, np.float32))
            for at in range(0, args.items, 20_000)
            for rows in [self.train[drawn[at : at + 20_000]]]
        ])  # fmt: skip
        unseen = np.concatenate([part.rows for part in kept.sets_of(args.data)[0]])
        self.queries = unseen[rng.permutation(len(unseen))[:QUERIES]]
        self.truth = top(self.rows, self.queries)
        self.file = kept.Kept("search", args, study="speed", verbs=VERBS)
        self.names = {
            "data": kept.digest(self.train), "modules": SEARCH, "times": True,
            "items": args.items, "at_once": BATCH, "queries": len(self.queries),
            "threads_used": self.threads, "clock": "processor" if args.cpu_time else "wall",
        }  # fmt: skip

    def timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        began = self.clock()
        made = work()
        return self.clock() - began, made

    def report(
        self, name: str, series: str, size: float, build: float | None,
        find: Callable[[np.ndarray], Any], runs: int = 3, together: int = QUERIES,
    ) -> None:  # fmt: skip
        one = seconds(lambda: find(self.queries[:1]), runs, self.clock)
        many = seconds(lambda: find(self.queries[:BATCH]), runs, self.clock)
        found = [find(self.queries[at : at + together])
                 for at in range(0, len(self.queries), together)]  # fmt: skip
        pairs = zip(self.truth, np.concatenate(found), strict=True)
        figures = {"bytes_per_row": size, "build_seconds": build, "one": 1 / one,
                   "many": BATCH / many,
                   "recall": np.mean([np.isin(a, b).mean() for a, b in pairs])}  # fmt: skip
        shown = {key: value for key, value in figures.items() if value is not None}
        self.file.add(name, shown, series=series, **self.names)


def speed(args: argparse.Namespace) -> None:
    bench = Speed(args)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("openai-vit-b-32/predictive", "any/rotation"):
            _of_streams(bench, name, Path(folder))
    _of_faiss(bench)
    _of_usearch(bench)
    bench.file.finish()


def _of_streams(bench: Speed, name: str, folder: Path) -> None:
    """Ours: streams searched in a pass, wholly or in stages, and by an index."""
    streams = clipcodec.encode_embeddings(bench.rows, profile=name, quality=50)
    size = float(np.mean([len(stream) for stream in streams]))
    bench.report(f"search, one pass: {name}", "search", size, None,
                 lambda q: clipcodec.search(streams, q, K).indices, 1)  # fmt: skip
    bench.report(f"search, exact=False: {name}", "search", size, None,
                 lambda q: clipcodec.search(streams, q, K, exact=False).indices,
                 1, BATCH)  # fmt: skip
    trained = name.endswith("predictive")
    for exact in (False, True) if trained else (False,):
        built, index = bench.timed(partial(clipcodec.SearchIndex, streams, exact=exact))
        kind = "float32" if exact else "int8"
        bench.report(f"SearchIndex, {kind}: {name}", "SearchIndex", index.nbytes / len(index),
                     built, lambda q, i=index: i.search(q, K).indices)  # fmt: skip
        if trained and not exact:
            path = folder / "index.clpi"
            index.save(path)
            took, index = bench.timed(partial(clipcodec.SearchIndex.open, path))
            bench.report(f"SearchIndex, {kind}, opened from its file: {name}", "SearchIndex",
                         path.stat().st_size / len(index), took,
                         lambda q, i=index: i.search(q, K).indices)  # fmt: skip


def _of_faiss(bench: Speed) -> None:
    faiss = need("faiss", "faiss")
    faiss.omp_set_num_threads(bench.threads)
    for name in FAISS:
        index = faiss.index_factory(bench.rows.shape[1], name)

        def build(index: Any = index) -> None:
            index.train(bench.train[:: max(1, len(bench.train) // 50_000)])
            index.add(bench.rows)

        built, _ = bench.timed(build)
        if name.startswith("IVF"):
            index.nprobe = 16
        if name.startswith("HNSW"):
            index.hnsw.efSearch = 64
        size = faiss.serialize_index(index).nbytes / len(bench.rows)
        bench.report(f"faiss {name}", "faiss", size, built,
                     lambda q, i=index: i.search(np.ascontiguousarray(q), K)[1])  # fmt: skip


def _of_usearch(bench: Speed) -> None:
    library = need("usearch.index", "usearch")
    for kind in ("f32", "i8"):
        index = library.Index(ndim=bench.rows.shape[1], metric="ip", dtype=kind)
        keys = np.arange(len(bench.rows))
        built, _ = bench.timed(lambda i=index, k=keys: i.add(k, bench.rows, threads=bench.threads))

        def find(queries: np.ndarray, index: Any = index) -> np.ndarray:
            found = index.search(queries, K, threads=bench.threads).keys
            return np.atleast_2d(np.asarray(found)).astype(np.int64)

        size = index.serialized_length / len(bench.rows)
        bench.report(f"usearch, {kind}", "usearch", size, built, find)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="study", required=True)
    for study, words in (("recall", "clipcodec"), ("peers", "faiss")):
        one = verbs.add_parser(study, help=f"recall of {words}")
        kept.add_common(one, data=True)
        one.add_argument("--rows", type=int, metavar="N", help="at most N images of each set, and "
                         "one size of faiss, for a quick look")  # fmt: skip
    one = verbs.add_parser("speed", help="queries a second")
    kept.add_common(one, data=True)
    one.add_argument("--items", type=int, default=50_000, metavar="N", help="rows searched "
                     "(%(default)s)")  # fmt: skip
    one.add_argument("--cpu-time", action="store_true", help="seconds of the processor")
    args = parser.parse_args(arguments)
    {"recall": recall, "peers": peers, "speed": speed}[args.study](args)


if __name__ == "__main__":
    main()
