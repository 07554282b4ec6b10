"""Measure how fast encoding and decoding are on this machine; prints a table, asserts nothing.

    python tests/bench/speed.py [PROFILE …]

Embeddings are drawn from each profile's own statistics. Profiles of all rates take two lines: their
default quality, and a cap. Batches: the best of several runs, so that
other work on the machine counts as little as possible; single calls and commands: the median.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

import clipcodec
from clipcodec.profile.registry import by_name

ROWS = 10_000
CAP = 50


def seconds(work: Callable[[], object], runs: int) -> list[float]:
    out = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        out.append(time.perf_counter() - began)
    return out


def samples(name: str) -> np.ndarray:
    statistics = by_name(name).statistics
    if statistics is not None:
        return statistics.draw(ROWS, seed=0)
    return np.random.default_rng(0).standard_normal((ROWS, 512), np.float32)


def profile_row(name: str, cap: int | None) -> str:
    x = samples(name)
    streams = clipcodec.encode_embeddings(x, profile=name, max_bytes=cap)
    clipcodec.decode_batch(streams)

    def batch() -> object:
        return clipcodec.encode_embeddings(x, profile=name, max_bytes=cap)

    def single() -> object:
        return clipcodec.encode_embedding(x[0], profile=name, max_bytes=cap)

    encode = ROWS / min(seconds(batch, 3))
    decode = ROWS / min(seconds(lambda: clipcodec.decode_batch(streams), 5))
    one = statistics.median(seconds(single, 50))
    back = statistics.median(seconds(lambda: clipcodec.decode(streams[0]), 200))
    label = name if cap is None else f"{name}, {cap} bytes"
    return f"{label:<38} {encode:>9,.0f} {decode:>9,.0f} {1e3 * one:>9.2f} {1e3 * back:>9.2f}"


def command(*args: str) -> float:
    """Median seconds of a whole fresh process."""
    return statistics.median(
        seconds(lambda: subprocess.run(args, check=True, stdout=subprocess.DEVNULL), 9)
    )


def main() -> None:
    names = sys.argv[1:] or [row.name for row in clipcodec.profiles()]
    print(f"{'profile':<38} {'encode/s':>9} {'decode/s':>9} {'encode ms':>9} {'decode ms':>9}")
    for name in names:
        for cap in (None, CAP) if by_name(name).kind.qualities else (None,):
            print(profile_row(name, cap), flush=True)
    x = samples(names[0])[0]
    stream = clipcodec.encode_embedding(x, profile=names[0])
    code = f"import clipcodec; clipcodec.decode(bytes.fromhex('{stream.hex()}'))"
    print(f"fresh interpreter, import and decode: {command(sys.executable, '-c', code):.3f} s")
    print(f"fresh interpreter, nothing:           {command(sys.executable, '-c', ''):.3f} s")
    print(f"clipcodec --help:                     "
          f"{command(sys.executable, '-m', 'clipcodec', '--help'):.3f} s")  # fmt: skip


if __name__ == "__main__":
    main()
