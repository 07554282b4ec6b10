"""How strongly to apply each network at each quality: by least squares, on rows not trained on."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..kinds.trellis.engine import Engine, Transform
from ..kinds.trellis.network import MOST_GAIN, Network, Networks
from ..profile.file import Tensors
from . import level_tables


class Predicting(Transform, Protocol):
    """A transform that predicts with networks."""

    @property
    def networks(self) -> Networks: ...


class _Calibrator:
    """A transform that measures which share of each network's change to apply.

    gain  (bands,) the share with the least squared error: of each prediction, and the restoration
    """

    def __init__(self, inner: Predicting, latents: NDArray[np.float32]) -> None:
        self.inner, self.latents = inner, latents
        self.scale, self.networks = inner.scale, inner.networks
        self.gain = np.ones(len(self.networks.predict) + 1)

    def analyse(self, x: Embeddings) -> NDArray[np.float32]:
        return self.inner.analyse(x)

    def synthesise(self, y: NDArray[np.float32]) -> Embeddings:
        return self.inner.synthesise(y)

    def pull(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.inner.pull(gradient)

    def predict(
        self, estimate: NDArray[np.float32], band: int, qualities: NDArray[np.int64]
    ) -> None:
        if self.networks.predict:
            self._apply(self.networks.predict[band], band, estimate, qualities)

    def restore(self, estimate: NDArray[np.float32], qualities: NDArray[np.int64]) -> None:
        if self.networks.restore is not None:
            self._apply(self.networks.restore, -1, estimate, qualities)

    def _apply(
        self,
        network: Network,
        place: int,
        estimate: NDArray[np.float32],
        qualities: NDArray[np.int64],
    ) -> None:
        change = network.change(estimate, qualities)
        columns = slice(estimate.shape[1] - network.width, None)
        missing = (self.latents - estimate)[:, columns]
        power = float((change * change).sum())
        gain = float((change * missing).sum()) / power if power else 0.0
        # later predictions are trained to add what an earlier one leaves: at most one
        self.gain[place] = np.clip(gain, 0, MOST_GAIN if network is self.networks.restore else 1)
        estimate[:, columns] += np.float32(self.gain[place]) * change


def gains(transform: Predicting, engine: Engine, latents: NDArray[np.float32]) -> Tensors:
    """The shares of the networks' changes to apply at each quality, as `_Calibrator` finds them.

    They are measured at some qualities and interpolated between them.
    """
    some = np.unique(np.linspace(1, len(engine.steps), level_tables.GRID).round().astype(np.int64))
    found = []
    for quality in some:
        calibrator = _Calibrator(transform, latents)
        own = Engine(calibrator, engine.tables, engine.steps, engine.weights)
        attempt = own.attempt(latents, np.full(len(latents), quality))
        assert attempt.latent.size  # restores
        found.append(calibrator.gain)
    every = np.arange(1, len(engine.steps) + 1)
    columns = [np.interp(every, some, column) for column in np.array(found).T]
    gain = np.stack(columns, axis=1).astype(np.float32)
    stages = len(engine.tables.bands) - 1
    predict = (
        gain[:, :-1] if gain.shape[1] > 1 else np.ones((len(engine.steps), stages), np.float32)
    )
    return {"predict.gain": predict, "restore.gain": gain[:, -1]}
