"""Measure search on compressed embeddings beside faiss at equal bytes; prints tables.

    python tests/bench/search.py recall DATA
    python tests/bench/search.py peers DATA
    python tests/bench/search.py speed DATA [ROWS]

DATA holds train.safetensors, imagenet.safetensors and test_*.safetensors as `fidelity.py` and
`clipcodec.evaluation.report` describe them.

recall  Of the exact ten nearest on the original embeddings, how many are among the ten found on
        decoded ones. All images that training never saw are one collection; 1,000 of them, drawn
        at random, are taken out to be the queries, as floats, so that no query is in the base.
        Texts: one embedding for each held-out class of ImageNet.
peers   The same for faiss's product quantisers, trained on what the profile was trained on
        (`load_training`), and searched in three ways: by inner product, by distance, and by
        inner product with what they decode to at unit norm. OPQ's rotation is fitted to 20,000 of
        these rows in 12 rounds instead of to all in 50, which takes half an hour.
speed   Queries a second against ROWS (a million) rows: training rows in turn, each with noise of
        a tenth of its norm. The first 20,000 are encoded; a tenth of ROWS, their streams repeated,
        is searched in one pass or made an index, whose time is counted ten times, and the index
        is filled up with copies. One thread or several as OMP_NUM_THREADS says; the best of
        three. With CPU=1 in the environment seconds are those of the processor, for a machine
        that others use.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fidelity import load, unit

import clipcodec
from clipcodec.evaluation.metrics import load_training
from clipcodec.evaluation.peers.faiss_codecs import import_faiss

BUDGETS = (25, 34, 50, 75, 100)
QUERIES = 1000
K = 10
BATCH = 64


def top(base: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.argsort(-(queries @ base.T), axis=1, kind="stable")[:, :K]


class Recall:
    def __init__(self, folder: Path) -> None:
        tasks = load(folder)
        rows = np.concatenate([task.rows for task in tasks])
        order = np.random.default_rng(0).permutation(len(rows))
        self.base = rows[order[QUERIES:]]
        self.queries = rows[order[:QUERIES]], tasks[0].references
        self.exact = [top(self.base, queries) for queries in self.queries]
        print(f"{len(self.base)} images; queries: {QUERIES} images, {len(self.queries[1])} texts\n")
        print(f"| {'':<40} | bytes | cosine | image→image | text→image |")
        print("|---|---|---|---|---|")

    def report(
        self, name: str, size: float, decoded: np.ndarray, find: Callable[[np.ndarray], object]
    ) -> None:
        cosine = (decoded * self.base).sum(axis=1).mean()
        kept = []
        for queries, truth in zip(self.queries, self.exact, strict=True):
            found = np.asarray(find(queries))
            kept.append(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))
        print(f"| {name:<40} | {size:5.1f} | {cosine:6.4f} | {kept[0]:11.3f} | {kept[1]:10.3f} |",
              flush=True)  # fmt: skip


def recall(folder: Path) -> None:
    bench = Recall(folder)

    def coded(name: str, **options: Any) -> None:
        streams = clipcodec.encode_embeddings(bench.base, profile=name, **options)
        size = float(np.mean([len(stream) for stream in streams]))
        decoded = clipcodec.decode_batch(streams)
        label = ", ".join([name, *(f"{k}={v}" for k, v in options.items())])
        index = clipcodec.SearchIndex(streams)
        bench.report(label, size, decoded, lambda q: clipcodec.search(streams, q, K).indices)
        bench.report("- SearchIndex, int8", size, decoded, lambda q: index.search(q, K).indices)

    for budget in BUDGETS:
        coded("openai-vit-b-32/predictive", max_bytes=budget)
    for name in ("openai-vit-b-32/pqvae-400", "openai-vit-b-32/pqvae-800"):
        coded(name)
    for budget in (50, 100, 200):
        coded("any/rotation", max_bytes=budget)


def peers(folder: Path) -> None:
    faiss = import_faiss()
    bench, train = Recall(folder), load_training(folder)
    width = train.shape[1]
    sample = np.random.default_rng(1).choice(len(train), 20_000, replace=False)
    for m in BUDGETS:
        for name in (
            f"Pad{-(-width // m) * m},PQ{m}x8np", f"OPQ{m}_{width // m * m},PQ{m}x8np"
        ):  # fmt: skip
            index = faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT)
            first = faiss.downcast_VectorTransform(index.chain.at(0))
            if isinstance(first, faiss.OPQMatrix):
                first.niter = 12
                first.train(train[sample])
            index.train(train)
            index.add(bench.base)
            decoded = unit(index.reconstruct_n(0, len(bench.base)))
            bench.report(f"faiss {name}", m, decoded, lambda q, i=index: i.search(q, K)[1])
            index.metric_type = index.index.metric_type = faiss.METRIC_L2
            bench.report("- by distance", m, decoded, lambda q, i=index: i.search(q, K)[1])
            bench.report("- decoded, at unit norm", m, decoded, lambda q, r=decoded: top(r, q))


CLOCK = time.process_time if os.environ.get("CPU") else time.perf_counter


def seconds(work: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        began = CLOCK()
        work()
        times.append(CLOCK() - began)
    return min(times)


def speed(folder: Path, count: int) -> None:
    faiss = import_faiss()
    faiss.omp_set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    train = load_training(folder)
    rng = np.random.default_rng(0)
    queries = load(folder)[-1].rows[:BATCH]
    width = train.shape[1]

    def block(at: int, size: int) -> np.ndarray:
        rows = train[np.arange(at, at + size) % len(train)]
        return unit(rows + rng.standard_normal(rows.shape, np.float32) * (0.1 / np.sqrt(width)))

    print(f"{count} rows of {width}; {faiss.omp_get_max_threads()} threads; "
          f"load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print(f"| {'':<44} | bytes per row | build s | 1 query/s | {BATCH} at once, queries/s |")
    print("|---|---|---|---|---|")

    def report(
        name: str, size: float, build: float, find: Callable[[np.ndarray], object], times: int = 1
    ) -> None:
        runs = 3 if times == 1 else 1
        one = 1 / (seconds(lambda: find(queries[:1]), runs) * times)
        many = BATCH / (seconds(lambda: find(queries), runs) * times)
        print(f"| {name:<44} | {size:11.1f} | {build:7.1f} | {one:9.3g} | {many:9.3g} |"
              f" <!-- load {os.getloadavg()[0]:.1f} -->", flush=True)  # fmt: skip

    few = block(0, 20_000)
    for name in ("openai-vit-b-32/predictive", "any/rotation"):
        streams = clipcodec.encode_embeddings(few, profile=name, quality=50)
        size = float(np.mean([len(stream) for stream in streams]))
        streams = (streams * -(-count // 10 // len(streams)))[: count // 10]
        report(f"search, one pass: {name}", size, 0,
               lambda q, s=streams: clipcodec.search(s, q, K), 10)  # fmt: skip
        for exact in (False, True) if name.endswith("predictive") else (False,):
            began = CLOCK()
            index = clipcodec.SearchIndex(streams, exact=exact)
            built = 10 * (CLOCK() - began)
            parts = index._blocks
            for _ in range(9):
                index._blocks = index._blocks + [
                    type(b)(b.values.copy(), None if b.scale is None else b.scale.copy())
                    for b in parts
                ]
            assert len(index) == count
            report(f"SearchIndex, {'float32' if exact else 'int8'}: {name}",
                   index.nbytes / count, built, lambda q, i=index: i.search(q, K))  # fmt: skip
            del index, parts
    rows = np.concatenate([block(at, 20_000) for at in range(0, count, 20_000)])[:count]
    for name in ("Flat", "PQ64x8np", "IVF1024,SQ8"):
        index = faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT)
        began = CLOCK()
        index.train(train[::4])
        index.add(rows)
        built = CLOCK() - began
        if name.startswith("IVF"):
            index.nprobe = 16
        stored = index.sa_code_size() if hasattr(index, "sa_code_size") else 0
        report(f"faiss {name}", stored, built, lambda q, i=index: i.search(q, K))
        del index


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in ("recall", "peers", "speed"):
        sys.exit(__doc__)
    folder = Path(sys.argv[2])
    if sys.argv[1] == "speed":
        speed(folder, int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000)
    else:
        {"recall": recall, "peers": peers}[sys.argv[1]](folder)


if __name__ == "__main__":
    main()
