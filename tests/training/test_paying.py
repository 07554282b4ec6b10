"""Networks of a learned profile: only as large as the items that share them can bear."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from clipcodec.training import paying


def test_more_items_bear_larger_networks_and_few_bear_none() -> None:
    found = [paying.units(512, 256, 45.0, items) for items in (1_000, 100_000, 3_000_000)]
    assert found == sorted(found)
    assert found[0] == 0 < found[-1]


def test_few_rows_train_no_networks() -> None:
    assert not paying.possible(paying.LEAST_ROWS - 1)
    assert paying.possible(paying.LEAST_ROWS)
