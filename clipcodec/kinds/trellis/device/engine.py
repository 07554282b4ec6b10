"""Batches of streams of one profile on a device: the bytes and embeddings of the processor's way.

Rows out of the ordinary are not done here but named, for the processor to do alone: those with an
escape, damaged ones, and those that no stream can hold. So every error is raised in one place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....embeddings import Embeddings
from ....entropy import Payloads
from ....errors import OptionError, RateError
from ....system.forks import Lock
from ..engine import Engine
from ..held import ZERO_NORM
from . import decoding, encoding
from .arithmetic import exact, tensor
from .attempts import Quantizer
from .checks import Checks
from .held import DeviceHeld
from .memory import Parts, failures_named
from .states import Decoder
from .sums import row_sums
from .tables import Tables, odd
from .transform import Transform, unit_rows

_DECODED = 1 << 18  # payloads at a time: a step takes hardly longer for them than for one
_RECONSTRUCTED = 1 << 14  # embeddings at a time, of which more is kept
_ENCODED = 1 << 16  # embeddings at a time
_COPIES = 12  # of an embedding's float64 numbers, in memory while it is reconstructed
_WORKING = 240  # bytes per coefficient, in memory while it is quantised and coded

Integers = NDArray[np.int64]


class DeviceEngine:
    """What the `Engine` of a staged kind does, on a device, without a wait for each step.

    Safe for threads, which take turns.
    """

    def __init__(self, host: Engine, device: torch.device) -> None:
        self.host, self.device = host, device
        self._lock, self._process = Lock(), os.getpid()
        with failures_named(device), exact(device):
            self._tables = Tables(host.tables, device)
            self._checks = Checks(device)
            self.transform = Transform(host.transform, device)
            self._steps = tensor(host.steps, device)
        width = host.tables.count
        # of a payload: magnitudes, signs and its state; of some, what they are reconstructed with
        self._quantizer: Quantizer | None = None
        self._directed: dict[int, bool] = {}
        self._decoding = Parts(device, _DECODED, 3 * width + 1024)
        self._reconstructing = Parts(device, _RECONSTRUCTED, 8 * _COPIES * width)
        self._encoding = Parts(device, _ENCODED, _WORKING * width)

    def decode(
        self, payloads: Payloads, qualities: Integers, seeds: Integers
    ) -> tuple[Embeddings, NDArray[np.bool_]]:
        """Embeddings (N, D) of unit norm, and (N,) the rows that must be decoded alone.

        qualities  (N,)
        seeds      (N,) state of the check value after each header
        """
        embeddings = np.empty((len(qualities), self.width), np.float32)
        alone = self._not_canonical(payloads)

        def work(rows: slice) -> None:
            with exact(self.device):
                alone[rows] |= self._decode(
                    _cut(payloads, rows, alone[rows]), qualities[rows], seeds[rows],
                    embeddings[rows],
                )  # fmt: skip

        with self._alone():
            self._decoding.run(len(qualities), work)
        return embeddings, alone

    def encode(
        self,
        x: Embeddings,
        search: Callable[[DeviceHeld], object],
        seeds: Integers,
        least: float | None = None,
    ) -> tuple[list[bytes], Integers, NDArray[np.bool_]]:
        """Payloads and qualities of embeddings x (N, D), and (N,) those to be encoded alone.

        search  finds levels and qualities of those that it is given; its RateError is not raised,
                but the rows that it names are left to be encoded alone
        seeds   (1 + Q,) state of the check value after a header, by its quality
        least   the cosine that what is decoded must have at least
        """
        payloads, alone = [b""] * len(x), np.zeros(len(x), np.bool_)
        qualities = np.ones(len(x), np.int64)

        def work(rows: slice) -> None:
            with exact(self.device):
                held = DeviceHeld(self, x[rows])
                try:
                    search(held)
                except RateError as error:
                    if not error.rows:
                        raise
                    held.undone[list(error.rows)] = True
                words, lengths, left = self._code(held, seeds, least)
            # little-endian, on any machine
            joined, width = words.astype("<i4").tobytes(), 4 * words.shape[1]
            ends = lengths + np.arange(len(lengths)) * width
            payloads[rows] = [joined[at * width : end] for at, end in enumerate(ends.tolist())]
            alone[rows], qualities[rows] = left, held.quality

        with self._alone():
            self._encoding.run(len(x), work)
        return payloads, qualities, alone

    def _code(
        self, held: DeviceHeld, seeds: Integers, least: float | None
    ) -> tuple[NDArray[np.int32], Integers, NDArray[np.bool_]]:
        """As `encoding.encode`, and (N,) the rows to be encoded alone."""
        quality = self._tensor(held.quality)
        alone = self._tensor(held.undone) | (held.levels.abs().amax(0) >= self.host.tables.escape)
        levels = torch.where(alone, 0, held.levels)
        if least is not None:

            def compare(rows: slice) -> None:
                unit, right = self._reconstruct(levels[:, rows], quality[rows] - 1)
                cosines = row_sums(held.x[rows].to(torch.float64) * unit.to(torch.float64))
                alone[rows] |= ~(right & (cosines >= least))

            self._reconstructing.run(len(held.quality), compare)
        words, lengths = encoding.encode(
            self._tables, self._checks, levels, quality, self._tensor(seeds[held.quality])
        )
        return words.cpu().numpy(), lengths.cpu().numpy(), alone.cpu().numpy()

    @property
    def quantizer(self) -> Quantizer:
        """Made when it is first used: to decode, none is needed."""
        if self._quantizer is None:
            extra = self._tensor(self.host._extra)
            self._quantizer = Quantizer(self._tables, self.transform, self._steps, extra)
        return self._quantizer

    def has_direction(self, quality: int) -> bool:
        """Whether levels that are all zero decode to a direction at this quality."""
        if quality not in self._directed:
            zeros = np.zeros((1, self.host.tables.count), np.int64)
            latent = self.host.latent(zeros, np.array([quality]))
            norm = np.linalg.norm(self.host.transform.synthesise(latent), axis=1)
            self._directed[quality] = bool(norm[0] >= ZERO_NORM)
        return self._directed[quality]

    @property
    def width(self) -> int:
        """D, of an embedding."""
        return self.transform.dim

    def _decode(
        self, payloads: Payloads, qualities: Integers, seeds: Integers, out: Embeddings
    ) -> NDArray[np.bool_]:
        quality, seed = self._tensor(qualities), self._tensor(seeds)
        found = decoding.decode(
            self._tables,
            self._checks,
            Decoder(
                self._tensor(payloads.buffer),
                self._tensor(payloads.starts),
                self._tensor(payloads.lengths),
            ),
            quality,
            seed,
        )
        alone = found.alone

        def work(rows: slice) -> None:
            rebuilt, right = self._reconstruct(found.levels(rows), quality[rows] - 1)
            alone[rows] |= ~right
            torch.from_numpy(out[rows]).copy_(rebuilt)

        self._reconstructing.run(len(qualities), work)
        result: NDArray[np.bool_] = alone.cpu().numpy()
        return result

    def _reconstruct(self, levels: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (n, N) to rows (N, D) of unit norm, and (N,) those that came out right."""
        embeddings, right = self.transform.synthesise(self._latent(levels, which))
        unit, directed = unit_rows(embeddings)
        return unit, right & directed

    def _latent(self, levels: Tensor, which: Tensor) -> Tensor:
        """Levels (n, N) → coefficients (N, n), as `Engine.latent`."""
        bands = self.host.tables.bands
        residual = self._dequantize(levels, bands) * self._steps[which, None]
        estimate = torch.zeros_like(residual)
        for band, (a, b) in enumerate(bands):
            estimate[:, a:b] += residual[:, a:b]
            if b < self.host.tables.count:
                self.transform.predict(estimate, band, which)
        self.transform.restore(estimate, which)
        return estimate

    @staticmethod
    def _dequantize(levels: Tensor, bands: list[tuple[int, int]]) -> Tensor:
        """Levels (n, N) → whole multiples of the step, float32 (N, n)."""
        grid = 2 * levels - levels.sign() * odd(levels, bands)
        return grid.T.to(torch.float32).contiguous()

    def _not_canonical(self, payloads: Payloads) -> NDArray[np.bool_]:
        """(N,) payloads that no encoder writes; see `ans.check_payloads`."""
        longest = self.host.tables.longest
        bad: NDArray[np.bool_] = (payloads.lengths == 0) | (payloads.lengths > longest)
        good = np.flatnonzero(~bad)
        bad[good] = payloads.take(good).last() == 0
        return bad

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return tensor(values, self.device)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time. Raises OptionError after a fork, where CUDA does not work."""
        if os.getpid() != self._process and self.device.type != "cpu":
            raise OptionError(
                f"device {str(self.device)!r} was used before this process was forked, which CUDA "
                "does not allow: start processes by spawn, or make the codec with device='cpu'"
            )
        with self._lock:
            yield


def _cut(payloads: Payloads, rows: slice, alone: NDArray[np.bool_]) -> Payloads:
    """Some of the payloads, with no more of the bytes than these need; `alone` are left empty."""
    starts, lengths = payloads.starts[rows], np.where(alone, 0, payloads.lengths[rows])
    low, high = int(starts.min()), int((starts + lengths).max())
    return Payloads(payloads.buffer[low : max(high, low)], starts - low, lengths)
