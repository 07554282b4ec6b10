"""Takes the place of a transform where the input are coefficients already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings


class Plain:
    """Coefficients (N, n) as they are, of which nothing is predicted.

    scale  (n,) their standard deviations
    """

    def __init__(self, scale: NDArray[np.float32]) -> None:
        self.scale = scale

    def analyse(self, x: Embeddings) -> NDArray[np.float32]:
        return x

    def synthesise(self, y: NDArray[np.float32]) -> Embeddings:
        return y

    def predict(self, estimate: Any, band: int, qualities: Any) -> None:
        """Nothing is predicted."""

    def restore(self, estimate: Any, qualities: Any) -> None:
        """Nothing is restored."""

    def pull(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        return gradient
