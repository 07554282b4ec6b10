"""How much of encoding and decoding is matrix products, and how long one embedding alone takes.

    python tests/bench/products.py DATA [--rows N] [--runs N]

Of N rows (8,192), by the default profile, on the plain path and on the compiled one (`path`), with
one core and with all; each in a process of its own. Three minutes.

    batch   whole_us       a row, of a whole call
            products_us    a row, of products of the same shapes, as many at a time, alone
            share          products / whole: 1 would be no time but theirs
    one     median_ms, best_ms   of many calls, each with one embedding or stream, after the first

The products are noted while the plain path encodes and decodes; whole calls and products are timed
in turn, and of RUNS (3) the best counts. `state` says what the compiled path was.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import kept
import numpy as np
from numpy.typing import NDArray

import clipcodec
from clipcodec import batches
from clipcodec.kinds.exact import ExactProduct
from clipcodec.kinds.trellis import compiled
from clipcodec.kinds.trellis.network import Network
from clipcodec.kinds.trellis.staged import Synthesis
from clipcodec.profile.registry import DEFAULT
from clipcodec.system import threads

CAP = 50
VARIABLE = "CLIPCODEC_COMPILED"
PATHS = {"plain": "never", "compiled": "always"}
FACTORS = ((Network, "_hidden"), (Network, "_out"), (ExactProduct, "_weights"),
           (Synthesis, "_weights"))  # fmt: skip
SINGLES = {"encode": 20, f"encode, max_bytes={CAP}": 7, "decode": 100}  # calls in each of RUNS


class Product(NamedTuple):
    """(rows, inner) @ (inner, columns); `factor` says which of them have the same right side."""

    rows: int
    inner: int
    columns: int
    dtype: str
    factor: int


@contextmanager
def noted() -> Iterator[list[Product]]:
    """The products that clipcodec makes meanwhile, in order."""
    found: list[Product] = []

    class Seen(np.ndarray):
        def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **options: Any) -> Any:
            left, *rest = (np.asarray(part) for part in given)
            if "out" in options:
                options["out"] = tuple(np.asarray(part) for part in options["out"])
            if ufunc is np.matmul:
                (rows, inner), right = left.shape, rest[0]
                found.append(
                    Product(rows, inner, right.shape[1], left.dtype.name, right.ctypes.data)
                )
            return getattr(ufunc, method)(left, *rest, **options)

    before = [(owner, name, owner.__dict__.get(name)) for owner, name in FACTORS]
    for owner, name, own in before:

        def get(self: Any, name: str = name, own: Any = own) -> Any:
            value = own.__get__(self, type(self)) if own else self.__dict__[name]
            return value.view(Seen)

        def put(self: Any, value: Any, name: str = name) -> None:
            self.__dict__[name] = value

        setattr(owner, name, property(get, put))
    try:
        yield found
    finally:
        for owner, name, own in before:
            delattr(owner, name) if own is None else setattr(owner, name, own)


def parts_of(x: NDArray[Any], most: int) -> list[NDArray[Any]]:
    """The rows as a codec shares them out among threads."""
    step = threads.share(len(x), most)
    return [x[at : at + step] for at in range(0, len(x), step)]


def products_of(x: NDArray[np.float32]) -> dict[str, tuple[int, list[Product]]]:
    """By verb: how many parts the rows are cut into, and the products of the first."""
    made = {}
    codec = clipcodec.Codec()
    for verb, most in (("encode", batches._ENCODED), ("decode", batches._DECODED)):
        parts = parts_of(x, most)
        with noted() as encoded:
            streams = codec.encode_embeddings(parts[0])
        with noted() as decoded:
            codec.decode_batch(streams)
        made[verb] = len(parts), encoded if verb == "encode" else decoded
    return made


def replay(parts: int, products: Sequence[Sequence[Any]]) -> Callable[[], object]:
    """What makes these products so many times, shared among threads."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int, dtype: str) -> NDArray[Any]:
        return rng.integers(-100, 100, shape).astype(dtype)

    listed = [Product(*product) for product in products]
    left = {(p.rows, p.inner, p.dtype): drawn(p.rows, p.inner, dtype=p.dtype) for p in listed}
    right = {p.factor: drawn(p.inner, p.columns, dtype=p.dtype) for p in listed}
    pairs = [(left[p.rows, p.inner, p.dtype], right[p.factor]) for p in listed]

    def work(_: int) -> None:
        for a, b in pairs:
            a @ b

    return lambda: threads.in_threads(work, range(parts))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(path: str, made: str, runs: str, calls_of_one: str) -> None:
    """Print the figures of rows in a file and of their products (JSON); a process of its own."""
    if os.environ.get("OMP_NUM_THREADS") == "1":
        threads._MAX_THREADS = 1
    x, codec, most = np.load(path), clipcodec.Codec(), int(runs)
    streams = codec.encode_embeddings(x)
    codec.decode_batch(streams)  # all is loaded by now
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: codec.encode_embeddings(x), "decode": lambda: codec.decode_batch(streams),
    }  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for verb, call in calls.items():
        products = replay(*json.loads(made)[verb])
        products()
        pairs = [(seconds(call), seconds(products)) for _ in range(most)]
        whole, alone = (1e6 * min(times) / len(x) for times in zip(*pairs, strict=True))
        found[f"batch: {verb}"] = {
            "whole_us": whole, "products_us": alone, "share": alone / whole
        }  # fmt: skip
    limit = clipcodec.Target(max_bytes=CAP)
    singles: dict[str, Callable[[int], object]] = {
        "encode": lambda i: codec.encode_embedding(x[i]),
        f"encode, max_bytes={CAP}": lambda i: codec.encode_embedding(x[i], limit),
        "decode": lambda i: codec.decode(streams[i]),
    }
    for verb, single in singles.items():
        rows = [i % len(x) for i in range(1 + json.loads(calls_of_one)[verb] * most)]
        times = [1e3 * seconds(lambda i=i, single=single: single(i)) for i in rows][1:]
        found[f"one: {verb}"] = {"median_ms": statistics.median(times), "best_ms": min(times)}
    print(json.dumps({"figures": found, "state": compiled.state()}))


def child(path: str, cores: str, *args: str) -> dict[str, Any]:
    """What `measure` prints on a path, with one core or all."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import products\n"
        "products.measure(*sys.argv[1:])\n"
    )
    env = {**os.environ, VARIABLE: PATHS[path]}
    env.pop("OMP_NUM_THREADS", None)
    if cores == "one core":
        env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code, *args]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__, data=True)
    parser.add_argument("--rows", type=int, default=8192, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    args = parser.parse_args(arguments)
    sets, data = kept.sets_of(args.data)
    x = np.concatenate([part.rows for part in sets])[: args.rows]
    file = kept.Kept("products", args)
    rows: list[tuple[str, dict[str, float], dict[str, str]]] = []
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "never"  # as the products are noted
    most = threads._MAX_THREADS
    with tempfile.TemporaryDirectory(prefix="clipcodec-") as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, x)
        try:
            for cores in ("one core", "all cores"):
                threads._MAX_THREADS = 1 if cores == "one core" else most
                made = json.dumps(products_of(x))
                for name in PATHS:
                    found = child(name, cores, str(path), made, str(args.runs), json.dumps(SINGLES))
                    names = {"path": name, "cores": cores, "state": found["state"]}
                    rows += [(verb, part, names) for verb, part in found["figures"].items()]
        finally:
            threads._MAX_THREADS = most
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before
    for verb, figures, names in sorted(rows, key=lambda row: row[0]):
        file.add(f"{verb}, {names['cores']}, {names['path']}", figures, data=data,
                 modules=kept.OUR_CODE, weights=kept.weights_of(DEFAULT), times=True, verb=verb,
                 items=len(x), **names)  # fmt: skip
    file.finish()


if __name__ == "__main__":
    main()
