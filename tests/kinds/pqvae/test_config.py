"""clipcodec.kinds.pqvae.config: sizes of a profile's networks, symbols and bits."""

from __future__ import annotations

import pytest

from clipcodec.errors import WeightsError
from clipcodec.kinds.pqvae.config import PqvaeConfig


def test_layout_counts_symbols_and_bits() -> None:
    """The paper's six rates: 200 indices at 400 … 2000 bits."""
    bits = [PqvaeConfig(512, codewords=k, rank=3).bits for k in (4, 8, 16, 32, 64, 1024)]
    assert bits == [400, 600, 800, 1000, 1200, 2000]
    assert PqvaeConfig(512, rank=3).count == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sub_dim": 24}, "does not divide"),
        ({"sub_dim": 2, "rank": 3}, "rank 3 exceeds"),
        ({"codewords": 1}, "expected 2"),
        ({"codewords": 1 << 16}, "codewords is 65536"),
        ({"positions": 0}, "positions is 0"),
        ({"positions": 1.5}, "positions is 1.5"),
        ({"positions": True}, "positions is True"),
        ({"positions": 4000}, "32000 symbols"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        PqvaeConfig(512, **change)


def test_config_round_trip_names_every_size() -> None:
    config = PqvaeConfig(768, codewords=32, rank=4)
    assert PqvaeConfig.from_meta(768, config.to_meta()) == config
    with pytest.raises(WeightsError, match="config must state"):
        PqvaeConfig.from_meta(768, {"positions": 25})
