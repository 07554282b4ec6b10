"""How fast batches are encoded and decoded on a GPU, beside the same on the processor.

    python tests/bench/device.py [PROFILE …] [--device cuda] [--rows N]

Embeddings are drawn from each profile's own statistics. Both ways must give the same bytes and the
same embeddings, which is checked.

    numpy_per_second    on all cores of the processor: the best of several runs of 8,192 rows
    device_per_second   on the device, of N rows (262,144), copies to it and from it included: the
                        best of several runs
    memory              bytes of the device that were taken at most

With `--device cpu` the same code runs on torch's CPU device. That only shows that it works: it is
slower than numpy there, and nothing is kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import kept
import numpy as np
import torch

import clipcodec
from clipcodec import Target, devices
from clipcodec.columns import columns_of
from clipcodec.models.device import device_of
from clipcodec.profile.registry import by_name

T = TypeVar("T")
PROFILES = ("openai-vit-b-32/predictive", "openai-vit-l-14-336/predictive")
TARGETS = (Target(quality=40), Target(quality=80), Target(max_bytes=50), Target(min_cosine=0.9))
DATA = "rows drawn from the profile's statistics, seed 0"
RUNS = 3
FEW = 8192  # rows for the processor
DISTINCT = 16384  # rows that are drawn; more are these again


def fastest(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the fastest of several runs, after one that warms up; and what it gave."""
    found = work()
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - began)
    return min(seconds), found


class Bench:
    """One profile on one device, and rows such as it knows."""

    def __init__(self, name: str, device: torch.device, rows: int) -> None:
        self.profile, self.device = by_name(name), device
        statistics = self.profile.statistics
        assert statistics is not None
        drawn = statistics.draw(min(rows, DISTINCT), seed=0)
        self.x = np.resize(drawn, (rows, drawn.shape[1]))  # again and again
        self.codec = clipcodec.Codec(self.profile)

    def encode(self, target: Target) -> dict[str, float]:
        few = self.x[:FEW]
        here, expected = fastest(lambda: self.codec.encode_embeddings(few, target))
        self._begin()
        there, streams = fastest(lambda: devices.encoded(self.device, self.profile, self.x, target))
        assert streams is not None
        assert streams[: len(few)] == expected
        return self._figures(len(few) / here, len(self.x) / there)

    def decode(self) -> dict[str, float]:
        streams = self.codec.encode_embeddings(self.x[:DISTINCT], quality=40)
        many = [streams[i % len(streams)] for i in range(len(self.x))]
        few = many[:FEW]
        here, expected = fastest(lambda: self.codec.decode_batch(few))
        (columns,) = columns_of(self.codec.parse_batch(many))
        self._begin()
        there, found = fastest(lambda: devices.decoded(self.device, columns))
        assert found is not None
        assert (found[: len(few)] == expected).all()
        return self._figures(len(few) / here, len(many) / there)

    def _begin(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _figures(self, here: float, there: float) -> dict[str, float]:
        taken = 0
        if self.device.type == "cuda":
            taken = torch.cuda.max_memory_allocated(self.device)
        return {"numpy_per_second": here, "device_per_second": there, "memory": taken}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("profiles", nargs="*", metavar="PROFILE", help="default: predictive ones")
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--rows", type=int, default=1 << 18, metavar="N")
    args = parser.parse_args(arguments)
    try:
        device = device_of(args.device)
    except clipcodec.OptionError as error:
        sys.exit(str(error))
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    args.no_file = args.no_file or not gpu
    file = kept.Kept("device", args)
    print(f"torch {torch.__version__}, {gpu or 'the CPU device of torch: nothing is kept'}")
    for name in args.profiles or PROFILES:
        bench = Bench(name, device, args.rows)
        points = [("decode", bench.decode())]
        points += [(f"encode {target!r}", bench.encode(target)) for target in TARGETS]
        for what, figures in points:
            file.add(f"{name} {what}", figures, data=DATA, modules=kept.OUR_CODE,
                     weights=kept.weights_of(name), times=True, series=name, setting=what,
                     rows=args.rows, device=gpu, torch=torch.__version__)  # fmt: skip
    file.finish()


if __name__ == "__main__":
    main()
