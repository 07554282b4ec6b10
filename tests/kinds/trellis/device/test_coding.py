"""clipcodec.kinds.trellis.device.decoding and encoding: the payloads of ../coder.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipcodec.errors import CorruptError
from clipcodec.kinds.trellis.coder import LevelCoder
from clipcodec.kinds.trellis.device import decoding, encoding
from clipcodec.kinds.trellis.device.checks import Checks
from clipcodec.kinds.trellis.device.decoding import Messages
from clipcodec.kinds.trellis.device.states import Decoder
from clipcodec.kinds.trellis.device.tables import Tables
from clipcodec.profile import registry
from tests.helpers.kinds import trellis
from tests.kinds.trellis.test_coder import random_tables

CPU = torch.device("cpu")
CHECKS = Checks(CPU)
BANDS = [[0, 1], [0, 5], [0, 16, 17], [0, 3, 20, 40], [0, 33, 66], [0, 7, 150]]


def messages(bands: list[int], share: float) -> tuple[LevelCoder, np.ndarray, np.ndarray]:
    """A coder, levels (N, n) without an escape, and qualities."""
    tables = random_tables(len(bands) + bands[-1], bands, 20, False)
    rng = np.random.default_rng(bands[-1])
    levels = rng.integers(-18, 19, (80, bands[-1]))
    levels *= rng.random(levels.shape) < share * rng.random((80, 1))
    return LevelCoder(tables), levels, rng.integers(1, 4, 80)


def numpys(coder: LevelCoder, levels: np.ndarray, qualities: np.ndarray) -> list[bytes]:
    """Payloads with check values from a seed of 5."""
    checks = trellis(registry.by_name("any/rotation")).check_values(levels, np.full(len(levels), 5))
    return coder.encode(levels, qualities, checks.tolist())


def decoded(coder: LevelCoder, payloads: list[bytes], qualities: np.ndarray) -> Messages:
    lengths = np.array([len(p) for p in payloads])
    data = torch.from_numpy(np.frombuffer(b"".join(payloads), np.uint8).copy())
    starts = torch.from_numpy(np.cumsum(lengths) - lengths)
    return decoding.decode(
        Tables(coder.tables, CPU), CHECKS, Decoder(data, starts, torch.from_numpy(lengths)),
        torch.from_numpy(qualities), torch.full((len(lengths),), 5),
    )  # fmt: skip


@pytest.mark.parametrize("bands", BANDS, ids=str)
@pytest.mark.parametrize("share", [0, 0.2, 1])
def test_there_and_back(bands: list[int], share: float) -> None:
    """Empty groups, bands of any length, signs in the seed alone and in many chunks."""
    coder, levels, qualities = messages(bands, share)
    payloads = numpys(coder, levels, qualities)
    words, lengths = encoding.encode(
        Tables(coder.tables, CPU), CHECKS, torch.from_numpy(levels.T.astype(np.int32).copy()),
        torch.from_numpy(qualities), torch.full((80,), 5),
    )  # fmt: skip
    rows = zip(words.numpy(), lengths.tolist(), strict=True)
    assert [row.tobytes()[:n] for row, n in rows] == payloads
    found = decoded(coder, payloads, qualities)
    assert not found.alone.any()
    assert (levels[3:70] == found.levels(slice(3, 70)).numpy().T).all()


def test_an_escape_is_left_to_another() -> None:
    coder, levels, qualities = messages(BANDS[3], 1)
    levels[[4, 9], [0, 39]] = 19, -3000
    found = decoded(coder, numpys(coder, levels, qualities), qualities)
    assert np.flatnonzero(found.alone.numpy()).tolist() == [4, 9]
    good = np.delete(np.arange(80), [4, 9])
    assert (found.levels(slice(None)).numpy().T[good] == levels[good]).all()


def test_damage_is_never_taken_for_a_message() -> None:
    """Of payloads with a changed bit, cut or longer, those are left that still hold: no others."""
    coder, levels, qualities = messages(BANDS[4], 1)
    rng = np.random.default_rng(0)
    damaged = []
    for payload in numpys(coder, levels, qualities):
        changed = bytearray(payload)
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
        cut = payload[: rng.integers(1, len(payload))]
        damaged += [bytes(changed), cut, payload + b"\x05", b"\xff" * 60]
    damaged = [payload if payload[-1] else payload + b"\1" for payload in damaged]
    qualities = np.repeat(qualities, 4)
    found = decoded(coder, damaged, qualities)
    kind = trellis(registry.by_name("any/rotation"))
    for i, payload in enumerate(damaged):
        try:
            one, check = coder.decode([payload], qualities[i : i + 1])
            good = kind.check_values(one, np.array([5])).tolist() == check
            good &= np.abs(one).max() < coder.tables.escape
        except CorruptError:
            good = False
        assert bool(found.alone[i]) is not good
    assert found.alone.sum() > 300
