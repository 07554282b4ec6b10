"""clipcodec.kinds.trellis.device.tables: a profile's tables on a device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipcodec.kinds.trellis import quantizer
from clipcodec.kinds.trellis.device.states import WHOLE
from clipcodec.kinds.trellis.device.tables import Tables, odd, signs_of_chunk
from tests.kinds.trellis.test_coder import EXAMPLE


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_the_quantiser_of_each_level_is_numpys(dtype: type) -> None:
    """Also over sums of parities that a byte does not hold."""
    bands = [(0, 1), (1, 4), (4, 700)]
    magnitudes = np.random.default_rng(0).integers(0, 4, (5, 700))
    found = odd(torch.from_numpy(magnitudes.T.astype(dtype)), bands)
    assert (quantizer.odd(magnitudes, bands) == found.numpy().T).all()


def test_a_key_finds_its_symbol_and_the_idle_tables_have_one() -> None:
    tables = Tables(EXAMPLE, torch.device("cpu"))
    keys, entries = tables.symbols
    for table in range(len(EXAMPLE.left)):
        intervals = zip(EXAMPLE.left[table], EXAMPLE.width[table], strict=True)
        for symbol, (left, width) in enumerate(intervals):
            ends = torch.tensor([left, left + width - 1]) + table * WHOLE
            found = entries[:, torch.searchsorted(keys, ends, right=True)]
            assert found.T.tolist() == [[left, width, symbol, (symbol & 1) * WHOLE]] * 2
    for table in (tables.idle, tables.idle + 1):
        ends = torch.tensor([0, WHOLE - 1]) + table * WHOLE
        found = entries[:, torch.searchsorted(keys, ends, right=True)]
        assert found.T.tolist() == [[0, WHOLE, 0, 0]] * 2


@pytest.mark.parametrize(
    ("count", "chunks"), [(0, [0, 0]), (8, [0, 0]), (9, [1, 0]), (24, [16, 0]), (31, [16, 7])]
)
def test_signs_fill_the_seed_and_then_chunk_after_chunk(count: int, chunks: list[int]) -> None:
    counts = torch.tensor([count])
    assert [int(signs_of_chunk(counts, chunk)) for chunk in (1, 2)] == chunks
