"""About what a stream's embedding is, in a fraction of a decode's time: for searches.

Nearly all of a decode goes into the networks of a staged kind. Their first ones say most: what the
first bands predict of the others. The sketches leave out the rest.

    Narrow   the first networks, as far as they read and change the first coefficients
    Wide     the first third of the networks, whole

Signs come last in a payload, after the magnitudes of all bands: a sketch needs all levels, not only
those of the first bands. So check values are verified as in every decode.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy import Symbols
from ..base import Sketch
from .engine import Engine
from .network import UNITS, Network

Floats = NDArray[np.float32]
_NETWORKS = 3  # of `Narrow`
_SHARE = 8  # it reads one coefficient of so many, the first
_FEWEST = 6  # networks: with fewer there is little to save
_WIDE = 3  # one network of so many, the first, are those of `Wide`
_LEAST_NORM = 1e-3


def sketches(
    engine: Engine, networks: list[Network], matrix: Floats, center: Floats
) -> list[Sketch]:
    """Those of a staged kind, the quickest first; none where they would save little.

    matrix, center  of the synthesis, (n, D) and (D,)
    """
    if len(networks) < _FEWEST:
        return []
    return [
        Narrow(engine, networks[:_NETWORKS], matrix, center),
        Wide(engine, len(networks) // _WIDE + 1, matrix, center),
    ]


class Narrow(Sketch):
    """What is sent, and the hidden units of the first networks: what these predict of all other
    coefficients is linear in them, and is multiplied out with the queries.

    The norm is that of the first coefficients, which are found for the networks' sake.
    """

    def __init__(
        self, engine: Engine, networks: list[Network], matrix: Floats, center: Floats
    ) -> None:
        self._engine, self._networks = engine, networks
        count = len(matrix)
        ends = [end for _, end in engine.tables.bands]
        least = ends[len(networks) - 1]  # the last of them reads so many that are sent
        self._reach = reach = max(end for end in ends if end <= max(least, count // _SHARE))
        self._matrix, self._center = matrix, center
        self._weights = [network.narrow(reach, count) for network in networks]
        basis = np.concatenate([center[None], 0 * center[None], matrix[:reach]]).astype(np.float64)
        # the norm of a sum of these rows is that of as many numbers
        self._norm = np.asarray(np.linalg.qr(basis.T, mode="r")).T.astype(np.float32)

    def project(self, queries: Embeddings) -> Floats:
        sent = self._matrix @ queries.T
        parts = [network.outputs @ sent[len(sent) - network.width :] for network in self._networks]
        return np.concatenate([(queries @ self._center)[None], sent, *parts])

    def scores(self, projected: Floats, symbols: Symbols, qualities: Symbols) -> Floats:
        engine, reach, (rows, count) = self._engine, self._reach, symbols.shape
        sent = engine.dequantized(symbols, engine.steps[qualities - 1])
        found: Floats = sent @ projected[1 : 1 + count]
        found += projected[0]
        inputs = np.zeros((rows, 2 + reach), np.float32)
        inputs[:, 0] = 1
        inputs[:, 1] = self._networks[0].log_steps(qualities)
        estimate = inputs[:, 2:]
        at, end = 1 + count, 0
        for band, network in enumerate(self._networks):
            begin, end = engine.tables.bands[band]
            estimate[:, begin:end] += sent[:, begin:end]
            hidden, out = self._weights[band]
            units = inputs[:, : len(hidden)] @ hidden
            np.clip(units, 0, UNITS, out=units)
            units *= network.gains(qualities)
            found += units @ projected[at : at + len(out)]
            estimate[:, reach - out.shape[1] :] += units @ out
            at += len(out)
        estimate[:, end:] += sent[:, end:reach]
        inputs[:, 1] = 0
        found *= _inverse_norms(inputs @ self._norm)
        return found


class Wide(Sketch):
    """The embedding as it would be if the last networks changed nothing."""

    def __init__(self, engine: Engine, networks: int, matrix: Floats, center: Floats) -> None:
        self._engine, self._networks = engine, networks
        self._matrix, self._center = matrix, center

    def project(self, queries: Embeddings) -> Floats:
        return np.ascontiguousarray(queries.T)

    def scores(self, projected: Floats, symbols: Symbols, qualities: Symbols) -> Floats:
        rows: Floats = self._engine.estimate(symbols, qualities, self._networks) @ self._matrix
        rows += self._center
        found: Floats = rows @ projected
        found *= _inverse_norms(rows)
        return found


def _inverse_norms(rows: Floats) -> Floats:
    """(N, 1)."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    inverse: Floats = 1 / np.maximum(norms, _LEAST_NORM)
    return inverse[:, None]
