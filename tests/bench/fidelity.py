"""Measure what each profile keeps, on labelled embeddings that training never saw.

    python tests/bench/fidelity.py DATA [PROFILE …]

DATA holds safetensors files, rows of unit norm:

    imagenet.safetensors   embeddings, labels, text_ensemble (one text embedding a class),
                           class_is_val (1: a class held out of training; only these are used)
    test_*.safetensors     embeddings, labels, support, support_labels

Columns: mean size of a whole stream in bytes; mean and 5th-percentile cosine over all rows; top-1
by class text (zero-shot) on ImageNet; for each test_* set top-1 by nearest class mean of the
uncompressed support; share of the ten nearest neighbours kept, within the last of these sets; bytes
of a stream beyond the information in its symbols, mean and most; embeddings decoded a second.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file

import clipcodec


class Task(NamedTuple):
    name: str
    rows: np.ndarray
    labels: np.ndarray
    references: np.ndarray  # one per class; the nearest is the answer

    def accuracy(self, rows: np.ndarray) -> float:
        return float(((rows @ self.references.T).argmax(axis=1) == self.labels).mean())


def unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def load(folder: Path) -> list[Task]:
    imagenet = load_file(folder / "imagenet.safetensors")
    classes = np.flatnonzero(imagenet["class_is_val"])
    chosen = np.isin(imagenet["labels"], classes)
    labels = np.searchsorted(classes, imagenet["labels"][chosen])
    texts = unit(imagenet["text_ensemble"][classes])
    tasks = [Task("zero-shot", unit(imagenet["embeddings"][chosen]), labels, texts)]
    for path in sorted(folder.glob("test_*.safetensors")):
        t = load_file(path)
        support, of = unit(t["support"]), t["support_labels"]
        means = unit(np.stack([support[of == c].mean(axis=0) for c in range(of.max() + 1)]))
        name = path.stem.removeprefix("test_")
        tasks.append(Task(name, unit(t["embeddings"]), t["labels"], means))
    return tasks


def neighbours(rows: np.ndarray, count: int = 10) -> np.ndarray:
    closeness = rows @ rows.T
    np.fill_diagonal(closeness, -2)
    return np.argpartition(-closeness, count, axis=1)[:, :count]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tasks = load(Path(sys.argv[1]))
    x = np.concatenate([task.rows for task in tasks])
    bounds = np.cumsum([len(task.rows) for task in tasks])[:-1]
    kept = neighbours(tasks[-1].rows)
    names = "".join(f"{task.name[:9]:>10}" for task in tasks)
    print(f"{'profile':<28}{'bytes':>7}{'cosine':>8}{'5 %':>8}{names}{'10-nn':>8}"
          f"{'over':>7}{'most':>6}{'decode/s':>10}")  # fmt: skip

    def report(name: str, size: str, y: np.ndarray, rest: str = "") -> None:
        cosines = (x * y).sum(axis=1)
        parts = np.split(y, bounds)
        scores = "".join(f"{t.accuracy(p):>10.4f}" for t, p in zip(tasks, parts, strict=True))
        same = np.mean(
            [np.isin(a, b).mean() for a, b in zip(neighbours(parts[-1]), kept, strict=True)]
        )
        print(f"{name:<28}{size:>7}{cosines.mean():>8.4f}{np.quantile(cosines, 0.05):>8.4f}"
              f"{scores}{same:>8.4f}{rest}", flush=True)  # fmt: skip

    report("uncompressed", "", x)
    for name in sys.argv[2:] or [row.name for row in clipcodec.profiles() if row.dim == x.shape[1]]:
        streams = clipcodec.encode_embeddings(x, profile=name)
        size = f"{np.mean([len(s) for s in streams]):.1f}"
        over = np.array([len(s) - clipcodec.info(s).information for s in streams])
        began = time.perf_counter()
        y = clipcodec.decode_batch(streams)
        speed = len(y) / (time.perf_counter() - began)
        report(name, size, y, f"{over.mean():>7.2f}{over.max():>6.2f}{speed:>10,.0f}")


if __name__ == "__main__":
    main()
