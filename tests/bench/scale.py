"""clipcodec beside its peers at scale: size of what is stored, speed, memory.

    python tests/bench/scale.py peers DATA [--rows N]      # → docs/results/scale.json
    python tests/bench/scale.py beside DATA [--items N]    # → docs/results/beside.json
    python tests/bench/scale.py million DATA [--items N]   # → docs/results/million.json

Needs `pip install "clipcodec[evaluation,test]"` (faiss, zstd). All use all cores, one after the
other, in one run, on rows that none was fitted to. What each of them keeps of the embeddings is
measured by clipcodec.evaluation.report; here faiss's codecs are fitted to few rows in few rounds,
which changes neither their size nor their speed.

peers    bytes_per_item       everything stored; for clipcodec the whole container
         encode_per_second, decode_per_second   of whole calls, the best of three
beside   processor time beside faiss's product quantisers, on 100,000 rows (N); the best of two
         encode_us, decode_us          of the processor, a row, all threads together
         encode_times, decode_times    how many times as long clipcodec's default quality takes
         cosine                        mean; faiss's rotation is fitted in few rounds
million  a million rows (N) from a .npy file into a container and back, each in its own process; so
         are a tenth and a hundredth of them, which shows what grows faster than the data
         rows_per_second, peak_mib     of the call, without the start of the process

Five, two and seven minutes.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kept
import numpy as np

import clipcodec
from clipcodec.evaluation.sets import load_training
from clipcodec.integrations.extras import need
from clipcodec.profile.registry import DEFAULT

BUDGETS = (25, 34, 50, 100)
FAISS = ("PQ32x8np", "OPQ32,PQ32x8np", "PQ64x8np", "SQ4", "SQ8", "SQfp16")
STEPS = (0.06, 0.03, 0.015)  # of the per-dimension quantiser, for embeddings of unit norm
FITTED = 10_000  # rows that faiss's codecs are fitted to
RUNS = 3
MILLION = 1_000_000
BESIDE = ("OPQ64,PQ64x8np", "PQ64x8np")
CONTAINER = (*kept.OUR_CODE, "container/*.py")
AT_ONCE = 16_384
PRODUCTS = 2.0  # seconds of matrix products


@dataclass(frozen=True)
class Peer:
    """encode: rows (N, D) to something stored; size: its bytes; decode: back to rows."""

    name: str
    encode: Callable[[np.ndarray], Any]
    size: Callable[[Any], int]
    decode: Callable[[Any], np.ndarray]


def ours() -> Iterator[Peer]:
    """Whole containers, index and check values included."""

    def encode(x: np.ndarray, profile: str | None, target: dict[str, Any]) -> bytes:
        file = io.BytesIO()
        with clipcodec.create(file) as writer:
            writer.extend(clipcodec.encode_embeddings(x, profile=profile, **target))
        return file.getvalue()

    def decode(data: bytes) -> np.ndarray:
        return clipcodec.open(io.BytesIO(data)).decode_all()

    def peer(name: str, profile: str | None, **target: int) -> Peer:
        return Peer(f"clipcodec, {name}", lambda x: encode(x, profile, target), len, decode)

    yield peer("default quality", None)
    yield peer("quality=80", None, quality=80)
    for budget in BUDGETS:
        yield peer(f"max_bytes={budget}", None, max_bytes=budget)
    yield peer("any/rotation, default quality", "any/rotation")
    yield peer("pqvae-800", "openai-vit-b-32/pqvae-800")


def faiss_peers(
    training: np.ndarray, names: Sequence[str] = FAISS, threads: int | None = None
) -> Iterator[Peer]:
    faiss = need("faiss", "evaluation")
    faiss.omp_set_num_threads(threads or os.cpu_count() or 1)
    for name in names:
        index = faiss.index_factory(training.shape[1], name, faiss.METRIC_INNER_PRODUCT)
        if name.startswith("OPQ"):
            faiss.downcast_VectorTransform(index.chain.at(0)).niter = 2
        index.train(training[:FITTED])
        yield Peer(f"faiss {name}", index.sa_encode, lambda codes: codes.nbytes, index.sa_decode)


def float16_peers() -> Iterator[Peer]:
    zstd = need("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", "test")

    def npy(x: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, x.astype(np.float16))
        return file.getvalue()

    def load(data: bytes) -> np.ndarray:
        return np.load(io.BytesIO(data)).astype(np.float32)

    yield Peer("float16 .npy", npy, len, load)
    for level in (3, 19):
        yield Peer(
            f"float16 .npy, zstd -{level}",
            lambda x, level=level: zstd.compress(npy(x), level),
            len,
            lambda data: load(zstd.decompress(data)),
        )


def scalar_peers(training: np.ndarray) -> Iterator[Peer]:
    """One step for all dimensions, tables fitted to each, rANS by constriction a row, as in
    Dubois et al., Lossy Compression for Lossless Prediction (2021), without their training.
    """
    import constriction

    ans = constriction.stream.stack.AnsCoder
    for step in STEPS:
        levels = np.rint(training / step).astype(np.int32)
        low, high = levels.min(), levels.max()
        models = [
            constriction.stream.model.Categorical(
                np.bincount(column - low, minlength=high - low + 1) + 0.01, perfect=False
            )
            for column in levels.T
        ]

        def encode(x: np.ndarray, step: float = step, models: Any = models, low: int = low,
                   high: int = high) -> list[np.ndarray]:  # fmt: skip
            rows = []
            for row in np.clip(np.rint(x / step).astype(np.int32), low, high) - low:
                coder = ans()
                for symbol, model in zip(row[::-1].tolist(), models[::-1], strict=True):
                    coder.encode_reverse(symbol, model)
                rows.append(coder.get_compressed())
            return rows

        def decode(rows: Sequence[np.ndarray], step: float = step, models: Any = models,
                   low: int = low) -> np.ndarray:  # fmt: skip
            out = np.empty((len(rows), len(models)), np.float32)
            for i, words in enumerate(rows):
                coder = ans(words)
                out[i] = [coder.decode(model) for model in models]
            return (out + low) * step

        name = f"scalar quantiser a dimension, rANS, step {step}"
        yield Peer(name, encode, lambda rows: sum(row.nbytes for row in rows), decode)


def best(
    work: Callable[[], Any], runs: int = RUNS, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, Any]:
    seconds, result = float("inf"), None
    for _ in range(runs):
        began = clock()
        result = work()
        seconds = min(seconds, clock() - began)
    return seconds, result


def peers(args: argparse.Namespace) -> None:
    sets, data = kept.sets_of(args.data, args.rows)
    x, training = np.concatenate([part.rows for part in sets]), load_training(args.data)
    if args.rows is not None:
        training = training[:: max(1, len(training) // 2_000)]
    file = kept.Kept("scale", args, study="peers")
    # what needs a package first, so that one that is missing is named before long work
    groups = [list(float16_peers()), list(faiss_peers(training)), list(ours())]
    for group in (groups[2], groups[1], groups[0], scalar_peers(training)):
        for peer in group:
            runs = 1 if peer.name.startswith("scalar") else RUNS
            encode, stored = best(lambda peer=peer: peer.encode(x), runs)
            decode, _ = best(lambda peer=peer, stored=stored: peer.decode(stored), runs)
            figures = {
                "bytes_per_item": peer.size(stored) / len(x),
                "encode_per_second": len(x) / encode,
                "decode_per_second": len(x) / decode,
            }
            file.add(peer.name, figures, data=data, modules=CONTAINER, times=True,
                     series=peer.name.partition(",")[0], items=len(x))  # fmt: skip
    file.finish()


def beside(args: argparse.Namespace) -> None:
    sets, data = kept.sets_of(args.data)
    training = load_training(args.data)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "rows.npy"
        write_rows(path, np.concatenate([part.rows for part in sets]), args.items)
        x = np.load(path)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    file = kept.Kept("scale", args, study="beside", file="beside")
    own: tuple[float, float] | None = None
    for peer in (next(ours()), *faiss_peers(training, BESIDE, threads=1)):
        encode, stored = best(lambda peer=peer: peer.encode(x), 2, time.process_time)
        decode, rows = best(
            lambda peer=peer, stored=stored: peer.decode(stored), 2, time.process_time
        )
        own = own or (encode, decode)
        cosines = (x * rows).sum(axis=1) / np.linalg.norm(rows, axis=1)
        figures = {
            "bytes_per_item": peer.size(stored) / len(x), "cosine": cosines.mean(),
            "encode_us": 1e6 * encode / len(x), "decode_us": 1e6 * decode / len(x),
            "encode_times": own[0] / encode, "decode_times": own[1] / decode,
        }  # fmt: skip
        file.add(peer.name, figures, data=data, modules=CONTAINER, times=True, items=len(x))
    file.finish()


# a million rows


def write_rows(path: Path, source: np.ndarray, count: int) -> None:
    """The rows again and again, each time with a little noise, so that no two are alike."""
    rng = np.random.default_rng(0)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (count, source.shape[1]))
    for at in range(0, count, AT_ONCE):
        chosen = np.arange(at, min(at + AT_ONCE, count)) % len(source)
        noise = rng.standard_normal((len(chosen), source.shape[1]), np.float32)
        out[at : at + len(chosen)] = source[chosen] + noise * (0.1 / source.shape[1] ** 0.5)


def encode_file(rows: str, container: str) -> None:
    x = np.load(rows, mmap_mode="r")
    codec = clipcodec.Codec()
    with clipcodec.create(container, "w") as writer:
        for at in range(0, len(x), AT_ONCE):
            writer.extend(codec.encode_embeddings(x[at : at + AT_ONCE]))


def decode_file(container: str, count: str) -> None:
    with clipcodec.open(container) as box:
        assert sum(len(block) for block in box.decode_blocks()) == int(count)


def product_rate() -> float:
    """Multiply-adds a second of float32 matrix products, on all cores at once."""
    a = np.random.default_rng(0).standard_normal((2048, 512), np.float32)
    b = np.random.default_rng(1).standard_normal((512, 512), np.float32)
    cores = os.cpu_count() or 1

    def work(_: int) -> int:
        count, end = 0, time.perf_counter() + PRODUCTS
        while time.perf_counter() < end:
            a @ b
            count += 1
        return count

    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(work, range(cores))) * 2048 * 512 * 512 / PRODUCTS


def multiply_adds() -> int:
    """Of decoding one embedding by the default profile: its networks and the synthesis."""
    shapes = clipcodec.Codec().profile.kind._tensors  # type: ignore[attr-defined]
    names = [f"{part}.{name}" for part in ("predict", "restore") for name in ("hidden", "out")]
    names.append("synthesis")
    return sum(int(shapes[name].size) for name in names)


def child(*args: str) -> tuple[float, int]:
    """Seconds and peak memory in MiB of a function of this script, in a process of its own."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r}); import scale\n"
        "began = time.perf_counter()\n"
        "getattr(scale, sys.argv[1])(*sys.argv[2:])\n"
        "print('seconds:', time.perf_counter() - began, open('/proc/self/status').read())"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *args]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = re.search(r"seconds: (\S+).*VmHWM:\s+(\d+)", done.stdout, re.DOTALL)
    assert found is not None
    return float(found[1]), int(found[2]) // 1024


Grown = dict[str, float]


def million(args: argparse.Namespace) -> None:
    sets, data = kept.sets_of(args.data)
    source, items = np.concatenate([part.rows for part in sets]), args.items
    file = kept.Kept("scale", args, study="million", file="million")

    def keep(key: str, figures: dict[str, float], times: bool = True, items: int = items) -> None:
        file.add(key, figures, data=data, modules=CONTAINER, weights=kept.weights_of(DEFAULT),
                 times=times, items=items)  # fmt: skip

    grown: dict[int, dict[str, Grown]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        npy, container = Path(temporary) / "rows.npy", Path(temporary) / "rows.clpc"
        for count in (items // 100, items // 10, items):
            write_rows(npy, source, count)
            rate, work = product_rate(), multiply_adds()
            encode = child("encode_file", str(npy), str(container))
            decode = child("decode_file", str(container), str(count))
            rate = (rate + product_rate()) / 2
            grown[count] = {
                verb: {"rows_per_second": count / seconds, "peak_mib": memory}
                for verb, (seconds, memory) in (("encode", encode), ("decode", decode))
            }
        size = container.stat().st_size
        with clipcodec.open(container) as box:
            streams = sum(len(stream) for stream in box)
    decoded = grown[items]["decode"]
    keep("matrix products, float32, all cores", {
        "multiply_adds_per_second": rate, "multiply_adds_per_row": work,
        "rows_per_second_at_most": rate / work,
    })  # fmt: skip
    keep("encode", grown[items]["encode"])
    share = decoded["rows_per_second"] / (rate / work)
    keep("decode", {**decoded, "share_of_limit": share})
    sizes = {"bytes_per_item": size / items, "bytes_per_stream": streams / items}
    keep("container", sizes, times=False)
    for count, found in grown.items():
        for verb, figures in found.items():
            keep(f"{verb} {count}", figures, items=count)
    file.finish()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="study", required=True)
    one = verbs.add_parser("peers", help="size and speed of other codecs, too")
    kept.add_common(one, data=True)
    one.add_argument("--rows", type=int, metavar="N", help="at most N images of each set, and "
                     "fewer rows to fit peers to")  # fmt: skip
    one = verbs.add_parser("beside", help="processor time beside faiss's product quantisers")
    kept.add_common(one, data=True)
    one.add_argument("--items", type=int, default=100_000, metavar="N")
    one = verbs.add_parser("million", help="a million embeddings to a container and back")
    kept.add_common(one, data=True)
    one.add_argument("--items", type=int, default=MILLION, metavar="N")
    args = parser.parse_args(arguments)
    {"peers": peers, "beside": beside, "million": million}[args.study](args)


if __name__ == "__main__":
    main()
