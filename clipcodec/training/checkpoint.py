"""Networks that were trained elsewhere, in a file: `train --start` goes on from them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import TrainingError
from .klt import Klt
from .refiner import Refiner

_SHAPES = {
    "mean": "D", "analysis": "DD", "synthesis": "DD", "variance": "D", "bands": "E",
    "hidden": "BDH", "out": "BHD", "bias": "BH", "quality": "BH", "center": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The KLT and the weights of the networks, one for each band, as `Refiner` has them.

    hidden (B, D, H); out (B, H, D), of which network b changes its last columns; bias, quality
    (B, H). A restoration of more units than H has its first H units here.
    center  the logarithm of the step at which `quality` counts nothing
    """

    klt: Klt
    bands: list[int]
    hidden: NDArray[Any]
    out: NDArray[Any]
    bias: NDArray[Any]
    quality: NDArray[Any]
    center: float

    def copy_to(self, refiner: Refiner, center: float) -> None:
        """Set weights of a `Refiner` of the same bands; see `Loop.center`.

        Raises TrainingError for other bands, or fewer units than there are here.
        """
        units = self.bias.shape[1]
        bands = [0, *(end for _, end in refiner.bands)]
        if bands != self.bands or any(len(bias) < units for bias in refiner.bias):
            raise TrainingError(
                f"weights of {units} units and bands {self.bands} do not fit networks of "
                f"{len(refiner.bias[0])} units and bands {bands}"
            )
        moved = self.bias + (center - self.center) * self.quality
        with torch.no_grad():
            for i, (hidden, out) in enumerate(zip(refiner.hidden, refiner.out, strict=True)):
                hidden[:, :units] = torch.from_numpy(self.hidden[i])
                out[:units] = torch.from_numpy(self.out[i][:, -out.shape[1] :])
                refiner.bias[i][:units] = torch.from_numpy(moved[i])
                refiner.quality[i][:units] = torch.from_numpy(self.quality[i])


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read such a file. Raises TrainingError: missing, damaged, not such a file."""
    import safetensors
    import safetensors.numpy

    where = os.fspath(path)
    try:
        t = safetensors.numpy.load_file(where)
    except (OSError, safetensors.SafetensorError) as error:
        raise TrainingError(f"{where} cannot be read: {error}") from error
    missing = sorted(_SHAPES.keys() - t.keys())
    if missing:
        raise TrainingError(
            f"{where} lacks {', '.join(missing)}: it holds no weights to start from"
        )
    sizes = {"1": 1}
    for name, letters in _SHAPES.items():
        fits = t[name].ndim == len(letters) and all(
            sizes.setdefault(letter, size) == size
            for letter, size in zip(letters, t[name].shape, strict=True)
        )
        if not fits or not np.isfinite(t[name]).all():
            raise TrainingError(f"{where}: {name} has shape {t[name].shape}, which does not fit "
                                "the other tensors, or is not finite")  # fmt: skip
    bands = t["bands"].tolist()
    if bands != sorted({0, *bands, sizes["D"]}) or len(bands) != sizes["B"] + 1:
        raise TrainingError(f"{where}: bands are {bands}, expected bounds from 0 to {sizes['D']}")
    klt = Klt(
        *(t[name].astype(np.float64) for name in ("mean", "analysis", "synthesis", "variance"))
    )
    weights = {name: t[name].astype(np.float32) for name in ("hidden", "out", "bias", "quality")}
    return Checkpoint(klt, bands, **weights, center=float(t["center"][0]))
