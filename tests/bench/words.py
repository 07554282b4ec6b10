"""Time and memory of `classify` and of `search` by words, as whole commands.

    python tests/bench/words.py [ITEMS [LABELS]]

Makes a container of ITEMS streams (100,000) of embeddings drawn from the default profile's
statistics, and LABELS text embeddings (1,000); prints CPU seconds and the peak of memory of each
command. Nothing is kept. Needs no torch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import clipcodec
from clipcodec.profile import registry

DRAWN = 20_000  # embeddings that are encoded; the container repeats their streams


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


def run(folder: Path, *args: str) -> None:
    """Run one command alone; the kernel counts its processor time and memory."""
    command = [sys.executable, "-m", "clipcodec", *args, "-q"]
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, cwd=folder, stdout=nowhere)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(args)}: exit {process.returncode}")
    seconds, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{' '.join(args):<56} {seconds:7.1f} s CPU {peak:7.0f} MiB")


def main() -> None:
    given = [int(value) for value in sys.argv[1:]]
    items, labels = (*given, *(100_000, 1_000)[len(given) :])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: what this one has used would count as the commands' peak.
        maker = get_context("spawn").Process(target=make, args=(folder, items, labels))
        maker.start()
        maker.join()
        print(f"{items} items, {labels} labels")
        run(folder, "classify", "items.clpc", "--labels", "labels.safetensors")
        run(folder, "classify", "items.clpc", "--labels", "one.safetensors")
        run(folder, "search", "items.clpc", "--text-embeddings", "one.safetensors")
        run(folder, "search", "items.clpc", "--query", "one.npy")


if __name__ == "__main__":
    main()
