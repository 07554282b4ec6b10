"""Small private profiles made on the spot, and embeddings for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipcodec.kinds.pqvae.config import PqvaeConfig
from clipcodec.kinds.pqvae.transform import PqvaeTransform
from clipcodec.kinds.trellis import compact, network
from clipcodec.profile.file import Profile, write_profile
from clipcodec.profile.registry import DEFAULT, by_name
from clipcodec.training import export, level_tables
from clipcodec.training.klt import klt, steps_for


def write_tiny_profile(path: Path, *, seed: int = 0, **meta: str) -> Path:
    """A valid profile (D = 8, n = 12, K = 5) with random weights: fast, for mechanics only."""
    rng = np.random.default_rng(seed)
    config = PqvaeConfig(8, positions=3, channels=8, sub_dim=2, codewords=5, rank=2,
                    analysis=6, synthesis=4, blocks=2)  # fmt: skip
    tensors = {
        name: rng.normal(size=shape) for name, shape in PqvaeTransform.shapes(config).items()
    }
    tensors["scale"] = np.ones(1)
    tensors["codebook"] = rng.normal(size=(5, 2))
    rows = rng.normal(size=(64, 8)) + 1
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    export.write(
        path, name=meta.get("name", "private/tiny"), backbone=meta.get("backbone", "none"),
        config=config, tensors=export.to_half(tensors), rows=rows, card={"data": "random"},
    )  # fmt: skip
    return path


def cone(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Unit rows about one direction, with a falling spectrum and a bend, as embeddings have."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, dim)) / np.arange(1, dim + 1) ** 0.4
    rows[:, 1::2] += 0.7 * np.abs(rows[:, : dim // 2])  # what a KLT alone cannot tell
    rows += np.linspace(1, 0.2, dim)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def drawn(count: int, profile: str | Profile = DEFAULT, *, seed: int = 0) -> NDArray[np.float32]:
    """Embeddings such as the profile's backbone makes, by the statistics in the profile."""
    statistics = (by_name(profile) if isinstance(profile, str) else profile).statistics
    assert statistics is not None
    return statistics.draw(count, seed=seed)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Small networks train no faster with more, and ten times slower on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write_tiny_predictive(path: Path, *, dim: int = 24, **meta: str) -> Path:
    """A profile of all rates, its networks trained for a moment: fast, for mechanics only."""
    from clipcodec.training.predictive import train
    from clipcodec.training.recipe import Recipe

    rows = path.with_suffix(".npy")
    np.save(rows, cone(1200, dim))
    recipe = Recipe(hidden=4, steps=40, replay=0, batch=64, learning_rate=0.1)
    with one_torch_thread():
        train([str(rows)], path, recipe, name=meta.get("name", "private/rates"),
              backbone=meta.get("backbone", "none"))  # fmt: skip
    rows.unlink()
    return path


def compact_profile(
    path: Path, *, dim: int = 24, rank: int | None = None, hidden: int = 0, **meta: str
) -> Path:
    """A profile of kind `compact` for rows such as `cone` draws, made in a moment, without torch.

    rank    coefficients that it keeps; None: all, up to 16
    hidden  units of its networks, whose weights are random and say little; 0: no networks
    """
    rank = rank or min(dim, 16)
    rows = cone(max(600, 2 * dim), dim)
    found = klt(rows, np.ones(len(rows)))
    scale = np.sqrt(found.variance[:rank]).astype(np.float32)
    basis, shift = compact.rounded(found.synthesis[:rank], 2.0**-8)
    bands = sorted({0, *(b for b in (2, 6) if b < rank), rank})
    steps = steps_for(found.variance, 100, 0.02, 6.0)
    rng = np.random.default_rng(0)
    shapes = compact.CompactTransform.shapes(dim, bands, hidden, hidden, len(steps))
    tensors: dict[str, NDArray[np.generic]] = {
        name: rng.integers(-20, 20, shape).astype(network.DTYPES[name])
        if name in network.DTYPES
        else np.full(shape, 0.02, np.float32)
        for name, shape in shapes.items()
    } | {
        "center": found.mean.astype(np.float32),
        "basis": basis,
        "shift": shift,
        "scale": scale,
        "restore.scale": scale / 4096,
        "predict.scale": np.concatenate([scale[b:] for b in bands[1:-1]] or [scale[:0]]) / 4096,
        "steps": steps,
        "weights": np.full(len(steps), 0.3, np.float32),
    }
    transform = compact.CompactTransform(tensors, bands)
    latents = transform.analyse(rows)
    fitted = level_tables.fit(
        transform, latents, bands, steps, np.full(len(steps), 0.3, np.float32),
        scale=scale.astype(np.float64), rounds=1,
    )  # fmt: skip
    statistics, said = export.statistics(rows)
    config = {
        "qualities": len(steps), "default_quality": 60, "rows": len(fitted.frequencies),
        "alphabet": fitted.frequencies.shape[1], "bands": bands, "hidden": hidden,
        "restore": hidden,
    }  # fmt: skip
    write_profile(
        path,
        {"kind": "compact", "name": meta.get("name", "private/compact"), "dim": dim,
         "backbone": meta.get("backbone", "none"), "config": config, "statistics": said,
         "card": {"data": "drawn"}},
        tensors | statistics | {
            "tables.frequencies": fitted.frequencies, "tables.class_of": fitted.class_of,
            "tables.flag_of": fitted.flag_of,
        },
    )  # fmt: skip
    return path
