"""The embeddings that are being encoded on a device, and the attempts at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....embeddings import Embeddings
from ....entropy import Symbols
from ..engine import Engine
from .arithmetic import tensor
from .attempts import Attempt, Quantizer
from .transform import Transform

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Worker(Protocol):
    """What attempts need of the `DeviceEngine`."""

    host: Engine
    device: torch.device
    transform: Transform

    @property
    def quantizer(self) -> Quantizer: ...
    def has_direction(self, quality: int) -> bool: ...


@dataclass
class DeviceAttempt:
    """N embeddings, quantised once.

    found      on the device
    qualities  (N,)
    empty      (N,) those whose levels are all zero
    """

    found: Attempt
    qualities: Symbols
    empty: Flags


class DeviceHeld:
    """Embeddings x (N, D) of unit norm, whose coefficients stay on the device.

    undone   (N,) rows that the device leaves to the processor
    levels   (n, N) int32 that are kept, on the device
    quality  (N,) of these
    """

    def __init__(self, engine: Worker, x: Embeddings) -> None:
        self._engine, self._device = engine, engine.device
        self._latent = engine.transform.analyse(tensor(x, self._device))
        self.levels = torch.zeros(self._latent.T.shape, dtype=torch.int32, device=self._device)
        self.quality = np.ones(len(x), np.int64)
        self.undone: Flags = np.zeros(len(x), np.bool_)

    def attempt(self, qualities: Symbols, factor: float) -> DeviceAttempt:
        """Quantise all, each at its quality (N,) and with λ times a factor."""
        weights = (self._engine.host.weights[qualities - 1] * np.float32(factor)).astype(np.float32)
        found = self._engine.quantizer.attempt(
            self._latent, tensor(qualities - 1, self._device), tensor(weights, self._device)
        )
        self.undone |= _here(found.wrong)
        return DeviceAttempt(found, qualities, _here(~found.levels.any(0)))

    def without_direction(self, attempt: DeviceAttempt) -> Flags:
        """(N,) rows whose levels are all zero and decode to a vector of norm zero."""
        found = attempt.empty.copy()
        for quality in np.unique(attempt.qualities[found]).tolist():
            if self._engine.has_direction(quality):
                found &= attempt.qualities != quality
        return found

    def keep(self, attempt: DeviceAttempt) -> None:
        """Keep an attempt."""
        self.levels, self.quality = attempt.found.levels, attempt.qualities


def _here(values: Tensor) -> NDArray[Any]:
    found: NDArray[Any] = values.cpu().numpy()
    return found
