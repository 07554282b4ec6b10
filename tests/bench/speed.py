"""How fast encoding and decoding are on this machine; asserts nothing.

    python tests/bench/speed.py [PROFILE …] [--rows N]

Embeddings are drawn from each profile's own statistics. Profiles of all rates take two lines: their
default quality, and a limit of bytes. Six minutes.

    encode_per_second, decode_per_second   in a batch of N (10,000): the best of several runs, so
                                           that other work on the machine counts as little as
                                           possible
    encode_ms, decode_ms                   one alone: the median
    seconds                                of a fresh process: the median
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import kept
import numpy as np

import clipcodec
from clipcodec.profile.registry import by_name

CAP = 50
DATA = "rows drawn from the profile's statistics, seed 0"


def seconds(work: Callable[[], object], runs: int) -> list[float]:
    out = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        out.append(time.perf_counter() - began)
    return out


def samples(name: str, rows: int) -> np.ndarray:
    statistics = by_name(name).statistics
    if statistics is not None:
        return statistics.draw(rows, seed=0)
    return np.random.default_rng(0).standard_normal((rows, 512), np.float32)


def profile_figures(name: str, cap: int | None, rows: int) -> dict[str, float]:
    x = samples(name, rows)
    streams = clipcodec.encode_embeddings(x, profile=name, max_bytes=cap)
    clipcodec.decode_batch(streams)

    def batch() -> object:
        return clipcodec.encode_embeddings(x, profile=name, max_bytes=cap)

    def single() -> object:
        return clipcodec.encode_embedding(x[0], profile=name, max_bytes=cap)

    return {
        "bytes": float(np.mean([len(stream) for stream in streams])),
        "encode_per_second": rows / min(seconds(batch, 3)),
        "decode_per_second": rows / min(seconds(lambda: clipcodec.decode_batch(streams), 5)),
        "encode_ms": 1e3 * statistics.median(seconds(single, 50)),
        "decode_ms": 1e3 * statistics.median(
            seconds(lambda: clipcodec.decode(streams[0]), 200)
        ),
    }  # fmt: skip


def command(*args: str) -> dict[str, float]:
    """Median seconds of a whole fresh process."""
    run = seconds(lambda: subprocess.run(args, check=True, stdout=subprocess.DEVNULL), 9)
    return {"seconds": statistics.median(run)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("profiles", nargs="*", metavar="PROFILE", help="default: all")
    parser.add_argument("--rows", type=int, default=10_000, metavar="N")
    args = parser.parse_args(arguments)
    names = args.profiles or [row.name for row in clipcodec.profiles()]
    file = kept.Kept("speed", args)
    for name in names:
        for cap in (None, CAP) if by_name(name).kind.qualities else (None,):
            setting = "" if cap is None else f"max_bytes={cap}"
            figures = profile_figures(name, cap, args.rows)
            file.add(f"{name} {setting}".strip(), figures, data=DATA, modules=kept.OUR_CODE,
                     weights=kept.weights_of(name), times=True, series=name, setting=setting,
                     rows=args.rows)  # fmt: skip
    stream = clipcodec.encode_embedding(samples(names[0], 1)[0], profile=names[0])
    code = f"import clipcodec; clipcodec.decode(bytes.fromhex('{stream.hex()}'))"
    for key, words in (
        ("fresh interpreter, import and decode", (sys.executable, "-c", code)),
        ("fresh interpreter, nothing", (sys.executable, "-c", "")),
        ("clipcodec --help", (sys.executable, "-m", "clipcodec", "--help")),
    ):
        file.add(key, command(*words), data="", modules=("**/*.py",), times=True, series="process")
    file.finish()


if __name__ == "__main__":
    main()
