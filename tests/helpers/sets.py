"""A small folder of labelled embeddings, in the layout of `evaluation.sets`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TRAINED = 400


def unit(x: object) -> np.ndarray:
    rows = np.asarray(x, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def write_folder(folder: Path, *, dim: int = 8, seed: int = 0) -> Path:
    """Random clusters: 6 ImageNet classes, 2 of them held out, one test set, training rows."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(6, dim)) + 1)

    def rows(labels: np.ndarray) -> np.ndarray:
        noise = 0.05 * rng.normal(size=(len(labels), dim))
        return unit(centres[labels] + noise).astype(np.float16)

    labels = np.arange(60) % 6
    imagenet = {
        "embeddings": rows(labels),
        "labels": labels,
        "class_is_val": np.array([0, 1, 0, 0, 1, 0], np.uint8),
        "text_ensemble": centres.astype(np.float16),
    }
    few = np.arange(30) % 3
    test = {"embeddings": rows(few), "labels": few, "support": rows(few), "support_labels": few}
    folder.mkdir()
    save_file(imagenet, folder / "imagenet.safetensors")
    save_file(test, folder / "test_things.safetensors")
    save_file({"embeddings": rows(np.arange(TRAINED) % 6)}, folder / "train.safetensors")
    return folder
