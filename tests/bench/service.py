"""Latency and memory of one request, by profile and target: what a service has to expect.

    python tests/bench/service.py [--requests N] [--only TEXT]

A request is one item, from an embedding or image in memory to its stream, or from a stream to its
embedding; HTTP is not counted. Each line is a process of its own, so that its memory is its own.
Embeddings are drawn from the profile's statistics. The image is a JPEG of 640 × 480; the backbone
is ViT-B/32 with random weights, which take as long as others. Nothing is kept but the figures.
Needs Linux; the line of the image needs torch and open_clip. Four minutes.

    ms, ms_95   median and 95th percentile of N requests (200), one after another
    batch_ms    the same work with 32 items at once, for each of them
    peak_mib    of memory, of the whole process
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kept
import numpy as np

import clipcodec
from clipcodec.profile.registry import by_name

BATCH = 32
B32, L14 = "openai-vit-b-32/predictive", "openai-vit-l-14-336/predictive"
UNTRAINED, FIXED = "any/rotation", "openai-vit-b-32/pqvae-400"
ARCHITECTURE = "ViT-B-32-quickgelu"
LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (  # verb, profile, options
    ("encode", B32, {}),
    ("encode", B32, {"max_bytes": 50}),
    ("encode", B32, {"min_cosine": 0.97}),
    ("encode", B32, {"max_bytes": 50, "effort": 5}),
    ("encode", L14, {}),
    ("encode", L14, {"max_bytes": 50}),
    ("encode", UNTRAINED, {}),
    ("encode", UNTRAINED, {"max_bytes": 100}),
    ("encode", FIXED, {}),
    ("decode", B32, {}),
    ("decode", L14, {}),
    ("decode", UNTRAINED, {}),
    ("decode", FIXED, {}),
    ("embed an image", B32, {}),
)


def rows_of(name: str, count: int) -> np.ndarray:
    """Embeddings (count, D) like those the profile is for."""
    statistics = by_name(name).statistics
    if statistics is not None:
        return statistics.draw(count, seed=0)
    return np.random.default_rng(0).standard_normal((count, 512), np.float32)


def work(
    verb: str, profile: str, options: dict[str, Any], count: int, weights: str
) -> tuple[Callable[[int], object], Callable[[], object]]:
    """What request number i does, and what a batch does."""
    if verb == "embed an image":
        return images(weights)
    codec = clipcodec.Codec(profile)
    rows = rows_of(profile, max(count, BATCH))
    if verb == "encode":
        return (
            lambda i: codec.encode_embedding(rows[i], **options),
            lambda: codec.encode_embeddings(rows[:BATCH], **options),
        )
    streams = codec.encode_embeddings(rows)
    return lambda i: codec.decode(streams[i]), lambda: codec.decode_batch(streams[:BATCH])


def images(weights: str) -> tuple[Callable[[int], object], Callable[[], object]]:
    """The same for a JPEG → its embedding, by a backbone with the weights of this file."""
    from PIL import Image

    from clipcodec.images import load_rgb
    from clipcodec.models import Backbone, BackboneSpec

    spec = BackboneSpec("random", ARCHITECTURE, None, 512)
    backbone = Backbone.load(spec, device="cpu", weights=weights)
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG")
    photo = file.getvalue()

    def embed(count: int) -> object:
        return backbone.embed([load_rgb(photo) for _ in range(count)])

    return lambda i: embed(1), lambda: embed(BATCH)


def measure(
    verb: str, profile: str, options: dict[str, Any], count: int, weights: str
) -> dict[str, float]:
    """The figures of one line, in this process."""
    request, batch = work(verb, profile, options, count, weights)
    request(0)
    times = []
    for i in range(count):
        began = time.perf_counter()
        request(i)
        times.append(time.perf_counter() - began)
    batch()
    batches = []
    for _ in range(3):
        began = time.perf_counter()
        batch()
        batches.append(time.perf_counter() - began)
    ms, ms_95 = 1e3 * np.percentile(times, (50, 95))
    return {"ms": ms, "ms_95": ms_95, "batch_ms": 1e3 * min(batches) / BATCH}


def alone(line: tuple[str, str, dict[str, Any]], count: int, weights: str) -> dict[str, float]:
    """The figures of one line, in a process of its own; the kernel counts its memory."""
    words = json.dumps([*line, count, weights])
    command = [sys.executable, __file__, "--one", words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        answer = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{line}: exit {process.returncode}")
    return {**json.loads(answer), "peak_mib": used.ru_maxrss / 1024}


def random_weights(path: Path) -> None:
    """A file of weights of the image tower, as large as the real one."""
    import logging

    import open_clip
    from safetensors.torch import save_file

    logging.disable(logging.WARNING)  # "Model initialized randomly"
    tower = open_clip.create_model(ARCHITECTURE, load_weights=False).visual
    save_file({f"visual.{name}": value.contiguous() for name, value in
               tower.state_dict().items()}, path)  # fmt: skip


def key_of(verb: str, profile: str, options: dict[str, Any]) -> str:
    target = ",".join(f"{name}={value}" for name, value in options.items())
    return f"{verb}: {profile} {target}".strip()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--requests", type=int, default=200, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="lines with TEXT in their name")
    parser.add_argument("--one", help="one line, in this process: what the others are started with")
    args = parser.parse_args(arguments)
    if args.one:
        print(json.dumps(measure(*json.loads(args.one))))
        return
    file = kept.Kept("service", args)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        for verb, profile, options in LINES:
            key = key_of(verb, profile, options)
            if args.only not in key:
                continue
            if verb == "embed an image" and not weights.exists():
                subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, "
                                f"{str(kept.HERE)!r}); import service; "
                                f"service.random_weights({str(weights)!r})"],
                               check=True)  # fmt: skip
            figures = alone((verb, profile, options), args.requests, str(weights))
            file.add(key, figures, data="drawn from the profile's statistics, seed 0",
                     modules=kept.OUR_CODE, weights=kept.weights_of(profile), times=True,
                     verb=verb, profile=profile, options=options,
                     requests=args.requests)  # fmt: skip
    file.finish()


if __name__ == "__main__":
    main()
