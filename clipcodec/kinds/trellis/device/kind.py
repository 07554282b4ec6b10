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
from ..rate import Searchable, search
from .engine import DeviceEngine
from .held import DeviceHeld


class StagedOnDevice(OnDevice):
    """Batches of `predictive` and `compact`, of which `host` is the engine."""

    def __init__(self, kind: Searchable, host: Engine, device: torch.device) -> None:
        self._kind, self._engine = kind, DeviceEngine(host, device)

    def decode(
        self, payloads: Payloads, qualities: Symbols, seeds: Symbols
    ) -> tuple[Embeddings, NDArray[np.bool_]]:
        return self._engine.decode(payloads, qualities, seeds)

    def meets(self, target: Target) -> bool:
        # of what texts notice there are logarithms, which differ between libraries
        return target.effort == 1

    def encode(
        self, x: Embeddings, target: Target, header: int, seeds: Symbols
    ) -> tuple[list[bytes], Symbols, NDArray[np.bool_]]:
        def find(held: DeviceHeld) -> None:
            with np.errstate(all="ignore"):
                search(self._kind, x[:0], target, header, held=held)

        payloads, qualities, undone = self._engine.encode(x, find, seeds, target.min_cosine)
        if target.max_bytes is not None:
            lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
            undone |= header + lengths > target.max_bytes
        return payloads, qualities, undone
