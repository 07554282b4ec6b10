"""How near a set of images comes to what decoding and the backbone allow; asserts nothing.

    python tests/bench/images.py [--images N] [--workers N] [--decode device]
                                 [--backbone NAME --weights FILE] [--device NAME]

N (2,000) JPEGs of 640 × 480 are made in a temporary folder and compressed into a container, twice.
Without --backbone the backbone costs nothing: it gives embeddings drawn from the profile's
statistics, and what is left is decoding, encoding, and what the main process adds.

    decode_per_second    images that all workers together read, decode and resize by Pillow,
                         nothing else running
    encode_per_second    embeddings that all workers together encode
    workers_per_second   images that they decode and encode: what the cores allow
    backbone_per_second  images that the backbone embeds, alone, in batches of --batch-size
    whole_per_second     images of the whole run, from its first result to its last: the best run
    share                whole_per_second of the slower of workers_per_second and
                         backbone_per_second
    main_us              processor time of the main process for an image, all its threads, with the
                         backbone: µs
    start_seconds        from the start to the first result: workers and backbone loaded
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kept
import numpy as np
from PIL import Image

from clipcodec import Codec
from clipcodec.bulk import pipeline, workers
from clipcodec.bulk.entries import Entry
from clipcodec.bulk.program import captured
from clipcodec.container import ContainerWriter
from clipcodec.models import BATCH, Preprocess
from clipcodec.target import Target

PROFILE = "openai-vit-b-32/predictive"
SIZE = (640, 480)
DISTINCT = 16  # images; the others have the same pixels
DATA = "JPEGs of 640 × 480, quality 90: smooth colours with noise, seed 0"
MODULES = ("bulk/*.py", "images.py", "models/*.py")


class Instant:
    """A backbone that costs nothing."""

    device = "cpu"

    def __init__(self, rows: np.ndarray) -> None:
        self.preprocess = Preprocess((224, 224), "shortest", "bicubic", 0)
        self.rows = rows

    def embed_pixels(self, pixels: Any) -> np.ndarray:
        return self.rows[: len(pixels)]


class WithInstant(Codec):
    """A codec that has it."""

    def backbone(self) -> Any:
        if not hasattr(self, "_instant"):
            statistics = self.profile.statistics
            assert statistics is not None
            self._instant = Instant(statistics.draw(1024, seed=0))
        return self._instant


def make(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    names: list[str] = []
    for i in range(count):
        path = folder / f"{i:06}.jpg"
        if i < DISTINCT:
            coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
            noise = rng.normal(0, 8, (SIZE[1], SIZE[0], 3))
            pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path, quality=90)
        else:
            path.write_bytes(Path(names[i % DISTINCT]).read_bytes())
        names.append(str(path))
    return names


def decoding(names: list[str], preprocess: Any, setup: bytes | None) -> float:
    """Images a second of this process."""
    workers.decode(names[:8], preprocess, setup)
    began = time.perf_counter()
    for start in range(0, len(names), 8):
        workers.decode(names[start : start + 8], preprocess, setup)
    return len(names) / (time.perf_counter() - began)


def encoding(rows: np.ndarray) -> float:
    workers.encode(rows, ours=True)
    began = time.perf_counter()
    workers.encode(rows, ours=True)
    return len(rows) / (time.perf_counter() - began)


def in_all(count: int, task: workers.Task, work: Any, parts: Sequence[tuple[Any, ...]]) -> float:
    """Sum over the workers, which all work at the same time; of two runs, as one warms up."""
    executor = workers.pool(count, task)
    try:
        for _ in range(2):
            futures = [executor.submit(work, *part) for part in parts]
            found = sum(future.result() for future in futures)
    finally:
        executor.shutdown()
    return found


def whole(
    codec: Codec, names: list[str], target: Target, count: int, args: Any, out: Path
) -> dict[str, float]:
    began, first, done = time.perf_counter(), 0.0, 0
    busy = 0.0
    entries = (Entry(os.path.basename(name), name, name) for name in names)
    with ContainerWriter(out, "w") as writer:
        executor = pipeline.started(codec, target, count, len(names))
        groups = pipeline.compress(
            codec, entries, target, workers=count, batch_size=args.batch_size, executor=executor,
            decode=args.decode,
        )  # fmt: skip
        for group in groups:
            for result in group:
                assert isinstance(result.stream, bytes), result.stream
                writer.append(result.stream, result.id)
            if not first:
                first, busy, done = time.perf_counter(), time.process_time(), -len(group)
            done += len(group)
        seconds, busy = time.perf_counter() - first, time.process_time() - busy
    return {
        "whole_per_second": done / seconds, "main_us": 1e6 * busy / done,
        "start_seconds": first - began,
    }  # fmt: skip


def figures(args: Any, folder: Path) -> dict[str, float]:
    count = pipeline.default_workers() if args.workers is None else args.workers
    target = Target(quality=args.quality)
    codec: Codec = WithInstant(PROFILE)
    if args.backbone:
        codec = Codec(PROFILE, backbone=args.backbone, weights=args.weights, device=args.device,
                      precision=args.precision)  # fmt: skip
    names = make(folder, args.images)
    task = workers.Task(codec.profile, target)
    runs = [whole(codec, names, target, count, args, folder / "o.clpc") for _ in "12"]
    found = {name: (max if name == "whole_per_second" else min)(run[name] for run in runs)
             for name in runs[0]}  # fmt: skip
    found["start_seconds"] = runs[0]["start_seconds"]
    backbone = codec.backbone()
    share = max(8, len(names) // count)
    decoded = in_all(
        count, task, decoding,
        [(names[-share:], backbone.preprocess, captured())] * count,
    )  # fmt: skip
    rows = WithInstant(PROFILE).backbone().rows[:512]
    encoded = in_all(count, task, encoding, [(rows,)] * count)
    pixels = np.stack(workers.decode(names[: args.batch_size], backbone.preprocess))  # type: ignore[arg-type]
    embedded = []
    for _ in range(5):
        began = time.perf_counter()
        backbone.embed_pixels(pixels)
        embedded.append(len(pixels) / (time.perf_counter() - began))
    cores = 1 / (1 / decoded + 1 / encoded)
    return {
        "decode_per_second": decoded, "encode_per_second": encoded, "workers_per_second": cores,
        "backbone_per_second": max(embedded), **found,
        "share": found["whole_per_second"] / min(cores, max(embedded)),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--images", type=int, default=2000, metavar="N")
    parser.add_argument("--workers", type=int, metavar="N", help="default: one per core")
    parser.add_argument("--batch-size", type=int, default=BATCH, metavar="N")
    parser.add_argument("--quality", type=float, default=30.0, metavar="Q")
    parser.add_argument("--backbone", metavar="NAME", help="default: one that costs nothing")
    parser.add_argument("--weights", metavar="FILE")
    parser.add_argument("--device", metavar="NAME")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--decode", default="exact", choices=pipeline.DECODE)
    args = parser.parse_args(arguments)
    file = kept.Kept("images", args)
    with tempfile.TemporaryDirectory() as folder:
        found = figures(args, Path(folder))
    key = f"{args.backbone or 'no backbone'}, batches of {args.batch_size}"
    key += f", decode {args.decode}" * (args.decode != "exact")
    file.add(key, found, data=DATA, modules=MODULES, weights=kept.weights_of(PROFILE), times=True,
             images=args.images, workers=args.workers or pipeline.default_workers())  # fmt: skip
    file.finish()


if __name__ == "__main__":
    main()
