"""What a staged kind does of batches on a device: see `OnDevice` in ../../base.py."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ....embeddings import Embeddings
from ....entropy import Payloads, Symbols
from ....target import Target
from ...base import OnDevice
from ..engine import Engine
from .engine import DeviceEngine
from .held import DeviceHeld


class StagedOnDevice(OnDevice):
    """Batches of `predictive` and `compact`.

    host             engine of the kind
    default_quality  of the kind
    """

    def __init__(self, host: Engine, default_quality: int, device: torch.device) -> None:
        self._default, self._last = default_quality, len(host.steps)
        self._engine = DeviceEngine(host, device)

    def decode(
        self, payloads: Payloads, qualities: Symbols, seeds: Symbols
    ) -> tuple[Embeddings, NDArray[np.bool_]]:
        return self._engine.decode(payloads, qualities, seeds)

    def meets(self, target: Target) -> bool:
        return target.effort == 1 and target.max_bytes is None and target.min_cosine is None

    def encode(
        self, x: Embeddings, target: Target, header: int, seeds: Symbols
    ) -> tuple[list[bytes], Symbols, NDArray[np.bool_]]:
        quality = self._default if target.quality is None else int(target.quality)

        def find(held: DeviceHeld) -> None:
            qualities = np.full(len(held.quality), min(quality, self._last), np.int64)
            attempt = held.attempt(qualities, target.weight or 1.0)
            held.undone |= held.without_direction(attempt)  # the rate search goes on for these
            held.keep(attempt)

        return self._engine.encode(x, find, seeds)
