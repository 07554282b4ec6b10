"""The compiled encoder: the payloads of the plain one, and every one can be decoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from clipcodec.errors import EmbeddingError
from clipcodec.kinds.trellis.coder import LevelCoder
from clipcodec.kinds.trellis.tables import MAX_LEVEL
from tests.helpers.paths_of_loops import both, needs_numba, same
from tests.kinds.trellis.test_coder import EXAMPLE, messages

pytestmark = needs_numba

Messages = tuple[LevelCoder, np.ndarray, np.ndarray, list[int]]


@given(messages())
@settings(max_examples=200)
def test_the_same_payloads(drawn: Messages) -> None:
    """One message, few or many; zeros, signs, escapes and the highest levels."""
    coder, levels, qualities, checks = drawn
    plain, quick = both(lambda: coder.encode(levels, qualities, checks))
    assert plain == quick
    again, seeds = coder.decode(quick, qualities)
    assert seeds == checks
    same(levels, again)


def test_the_longest_payload_has_room() -> None:
    """Levels of the highest magnitude in the rarest symbols."""
    coder = LevelCoder(EXAMPLE)
    levels = np.full((3, 6), -MAX_LEVEL)
    ones = np.ones(3, np.int64)
    plain, quick = both(lambda: coder.encode(levels, ones, [0xFFFF] * 3))
    assert plain == quick
    assert max(map(len, quick)) <= EXAMPLE.longest


def test_a_level_too_high_is_refused_alike() -> None:
    """Before anything is encoded."""
    levels = np.zeros((2, 6), np.int64)
    levels[1, 3] = MAX_LEVEL + 1

    def refused() -> tuple[int, ...]:
        with pytest.raises(EmbeddingError, match="above 32767") as caught:
            LevelCoder(EXAMPLE).encode(levels, np.ones(2, np.int64), [0, 0])
        return caught.value.rows

    assert both(refused) == ((1,), (1,))
