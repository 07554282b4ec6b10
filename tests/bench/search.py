"""Measure search on compressed embeddings beside faiss at equal bytes; prints tables.

    python tests/bench/search.py recall DATA
    python tests/bench/search.py speed DATA [ROWS]

DATA holds train.safetensors, imagenet.safetensors and test_*.safetensors as `fidelity.py` and
`clipcodec.evaluation.report` describe them.

recall  Of the exact ten nearest on the original embeddings, how many are among the ten found on
        decoded ones. All images that training never saw are one collection; 1,000 of them, drawn
        at random, are taken out to be the queries, as floats, so that no query is in the base.
        Texts: one embedding for each held-out class of ImageNet. faiss's quantisers are trained on
        what the profile was trained on (`load_training`).
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

import numpy as np
from fidelity import load, unit

import clipcodec
from clipcodec.evaluation.baselines import import_faiss
from clipcodec.evaluation.metrics import load_training

BUDGETS = (25, 34, 50, 75, 100)
QUERIES = 1000
K = 10
BATCH = 64


def top(base: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.argsort(-(queries @ base.T), axis=1, kind="stable")[:, :K]


def recall(folder: Path) -> None:
    tasks = load(folder)
    rows = np.concatenate([task.rows for task in tasks])
    order = np.random.default_rng(0).permutation(len(rows))
    images, base, texts = rows[order[:QUERIES]], rows[order[QUERIES:]], tasks[0].references
    exact = [top(base, queries) for queries in (images, texts)]
    print(f"{len(base)} images; queries: {len(images)} images, {len(texts)} texts\n")
    print(f"| {'':<34} | bytes | cosine | image→image | text→image |")
    print("|---|---|---|---|---|")

    def report(name: str, size: float, cosine: str, find: Callable[[np.ndarray], object]) -> None:
        kept = []
        for queries, truth in zip((images, texts), exact, strict=True):
            found = np.asarray(find(queries))
            kept.append(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))
        print(f"| {name:<34} | {size:5.1f} | {cosine:>6} | {kept[0]:11.3f} | {kept[1]:10.3f} |",
              flush=True)  # fmt: skip

    def coded(name: str, **options: int) -> None:
        streams = clipcodec.encode_embeddings(base, profile=name, **options)
        size = float(np.mean([len(stream) for stream in streams]))
        cosine = f"{(clipcodec.decode_batch(streams) * base).sum(axis=1).mean():.4f}"
        label = ", ".join([name, *(f"{k}={v}" for k, v in options.items())])
        report(f"{label}", size, cosine, lambda q: clipcodec.search(streams, q, K).indices)
        index = clipcodec.SearchIndex(streams)
        report("- kept as int8", size, cosine, lambda q: index.search(q, K).indices)

    for budget in BUDGETS:
        coded("openai-vit-b-32/predictive", max_bytes=budget)
    for name in ("openai-vit-b-32/pqvae-400", "openai-vit-b-32/pqvae-800"):
        coded(name)
    for budget in (50, 100, 200):
        coded("any/rotation", max_bytes=budget)

    faiss = import_faiss()
    train = load_training(folder)
    width = base.shape[1]
    for m in BUDGETS:
        for name in (
            f"Pad{-(-width // m) * m},PQ{m}x8np", f"OPQ{m}_{width // m * m},PQ{m}x8np"
        ):  # fmt: skip
            index = faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT)
            index.train(train)
            index.add(base)
            kept = unit(index.reconstruct_n(0, len(base)))
            cosine = f"{(kept * base).sum(axis=1).mean():.4f}"
            report(f"faiss {name}", m, cosine, lambda q, i=index: i.search(q, K)[1])
            report("- decoded, at unit norm", m, cosine, lambda q, r=kept: top(r, q))


CLOCK = time.process_time if os.environ.get("CPU") else time.perf_counter


def seconds(work: Callable[[], object], runs: int = 3) -> float:
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
    print(f"| {'':<44} | bytes a row | build s | 1 query/s | {BATCH} at once, queries/s |")
    print("|---|---|---|---|---|")

    def report(
        name: str, size: float, build: float, find: Callable[[np.ndarray], object], times: int = 1
    ) -> None:
        one = 1 / (seconds(lambda: find(queries[:1])) * times)
        many = BATCH / (seconds(lambda: find(queries)) * times)
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
    for name in ("Flat", "SQ8", "PQ32x8np", "PQ64x8np", "PQ128x4fsr", "IVF1024,SQ8"):
        index = faiss.index_factory(width, name, faiss.METRIC_INNER_PRODUCT)
        began = CLOCK()
        index.train(train[::2])
        for at in range(0, count, 50_000):
            index.add(block(at, min(50_000, count - at)))
        built = CLOCK() - began
        if name.startswith("IVF"):
            index.nprobe = 16
        stored = index.sa_code_size() if hasattr(index, "sa_code_size") else 0
        report(f"faiss {name}", stored, built, lambda q, i=index: i.search(q, K))
        del index


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in ("recall", "speed"):
        sys.exit(__doc__)
    if sys.argv[1] == "recall":
        recall(Path(sys.argv[2]))
    else:
        speed(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000)


if __name__ == "__main__":
    main()
