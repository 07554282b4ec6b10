"""clipcodec.kinds.trellis.device.checks: the CRC of many messages, as bitstream.py gives it."""

from __future__ import annotations

import numpy as np
import torch

from clipcodec.bitstream import check_value
from clipcodec.kinds.trellis.device.checks import Checks
from clipcodec.profile import registry
from tests.helpers.kinds import trellis

CHECKS = Checks(torch.device("cpu"))


def test_a_word_is_two_bytes() -> None:
    state, word = torch.tensor([0, 1, 0xFFFF, 0x1234]), torch.tensor([0, 0xFFFF, 7, 0x8001])
    expected = [
        check_value(s, w.to_bytes(2, "big"))
        for s, w in zip(state.tolist(), word.tolist(), strict=True)
    ]
    assert CHECKS.word(state, word).tolist() == expected


def test_magnitudes_and_signs_are_checked_as_the_kind_packs_them() -> None:
    """For every number of signs from none to all: a last byte may be short, or a chunk's first."""
    width, kind = 60, trellis(registry.by_name("any/rotation"))
    rng = np.random.default_rng(0)
    levels = rng.choice([-3, -1, 1, 200], (width + 1, width))
    for row in range(width + 1):
        levels[row, rng.permutation(width)[row:]] = 0
    seeds = rng.integers(0, 1 << 16, len(levels))
    signs = np.zeros((1 + (width - 8 + 15) // 16, len(levels)), np.int64)
    for row, values in enumerate(levels):
        for rank, value in enumerate(values[values != 0]):
            chunk, place = (0, rank) if rank < 8 else divmod(rank + 8, 16)
            signs[chunk, row] |= int(value < 0) << place
    state = torch.from_numpy(seeds)
    for magnitudes in np.abs(levels).T:
        state = CHECKS.word(state, torch.from_numpy(magnitudes.copy()))
    counts = torch.from_numpy((levels != 0).sum(axis=1))
    found = CHECKS.signs(state, torch.from_numpy(signs), counts)
    expected = [
        check_value(seed, packed)
        for seed, packed in zip(seeds.tolist(), kind.packed(levels), strict=True)
    ]
    assert found.tolist() == expected
