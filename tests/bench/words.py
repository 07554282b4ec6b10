"""Time and memory of `classify` and of `search` by words, as whole commands.

    python tests/bench/words.py [--items N] [--labels N]

Makes a container of N streams (100,000) of embeddings drawn from the default profile's statistics,
and N text embeddings (1,000). Nothing is kept but the figures. Needs no torch, and Linux. Two
minutes.

    cpu_seconds   of the processor, for the whole command
    peak_mib      of memory
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import kept
import numpy as np

import clipcodec
from clipcodec.profile import registry

DRAWN = 20_000  # embeddings that are encoded; the container repeats their streams
COMMANDS = (
    ("classify", "items.clpc", "--labels", "labels.safetensors"),
    ("classify", "items.clpc", "--labels", "one.safetensors"),
    ("search", "items.clpc", "--text-embeddings", "one.safetensors"),
    ("search", "items.clpc", "--query", "one.npy"),
)


def make(folder: Path, items: int, labels: int) -> None:
    statistics = registry.by_name(registry.DEFAULT).statistics
    assert statistics is not None
    assert statistics.text is not None
    streams = clipcodec.encode_embeddings(statistics.draw(min(items, DRAWN), seed=0), quality=44)
    with clipcodec.create(folder / "items.clpc") as writer:
        for at in range(0, items, len(streams)):
            writer.extend(streams[: items - at])
    noise = np.random.default_rng(0).normal(size=(labels, 512)).astype(np.float32)
    texts = statistics.text + np.float32(0.03) * noise
    named = clipcodec.TextEmbeddings(tuple(f"label {i}" for i in range(labels)), texts)
    named.save(folder / "labels.safetensors")
    one = clipcodec.TextEmbeddings(named.names[:1], named.embeddings[:1])
    one.save(folder / "one.safetensors")
    np.save(folder / "one.npy", one.embeddings[0])


def run(folder: Path, *args: str) -> dict[str, float]:
    """Run one command alone; the kernel counts its processor time and memory."""
    command = [sys.executable, "-m", "clipcodec", *args, "-q"]
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, cwd=folder, stdout=nowhere)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(args)}: exit {process.returncode}")
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--items", type=int, default=100_000, metavar="N")
    parser.add_argument("--labels", type=int, default=1_000, metavar="N")
    args = parser.parse_args(arguments)
    file = kept.Kept("words", args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: what this one has used would count as the commands' peak.
        maker = get_context("spawn").Process(target=make, args=(folder, args.items, args.labels))
        maker.start()
        maker.join()
        if maker.exitcode:
            sys.exit(f"making the container: exit {maker.exitcode}")
        for words in COMMANDS:
            file.add(" ".join(words), run(folder, *words), data="drawn, seed 0",
                     modules=("**/*.py",), weights=kept.weights_of(registry.DEFAULT), times=True,
                     items=args.items, labels=args.labels)  # fmt: skip
    file.finish()


if __name__ == "__main__":
    main()
