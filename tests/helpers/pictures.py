"""Small image files to embed, and a tiny model with both towers to embed them by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers import tiny_models


@dataclass(frozen=True)
class TinyModel:
    name: str
    weights: Path


def tiny_model(folder: Path) -> TinyModel:
    spec = tiny_models.make_folder(folder, text=tiny_models.TEXT)
    weights = tiny_models.save(tiny_models.make_model(spec), folder / "model.safetensors")
    return TinyModel(spec.name, weights)


def write_picture(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> Path:
    """A picture of smooth random colours, width and height as in `size`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def write_classes(folder: Path, classes: dict[str, int]) -> Path:
    """A folder by class: so many pictures in each, of sizes that differ."""
    for label, (name, count) in enumerate(classes.items()):
        for i in range(count):
            write_picture(folder / name / f"{i:02d}.png", 100 * label + i, (40 + i, 48))
    return folder
