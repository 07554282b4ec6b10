"""The compiled parts of the networks give what numpy gives, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from clipcodec.kinds.trellis.network import Networks
from clipcodec.kinds.trellis.predictive import PredictiveKind
from clipcodec.profile.registry import by_name
from tests.helpers.paths_of_loops import needs_numba, path

pytestmark = needs_numba


@pytest.fixture(scope="module", params=["openai-vit-b-32", "openai-vit-l-14-336"])
def networks(request: pytest.FixtureRequest) -> Networks:
    kind = by_name(f"{request.param}/predictive").kind
    assert isinstance(kind, PredictiveKind)
    networks: Networks = kind.engine(kind.dim or 0).transform.networks  # type: ignore[attr-defined]
    return networks


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 33])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_network_changes_an_estimate_alike(networks: Networks, rows: int, mixed: bool) -> None:
    """Few rows in one compiled call, many with numpy's products; NaN stays in its row."""
    rng = np.random.default_rng(rows)
    width = networks.restore.width  # type: ignore[union-attr]
    estimate = rng.standard_normal((rows, width)).astype(np.float32) * 0.05
    estimate *= rng.integers(0, 2, estimate.shape)
    estimate[0, :3] = [1e30, -1e30, 3e9]  # far out of the inputs' range
    estimate[-1, 5] = np.nan
    qualities = rng.integers(1, 101, rows) if mixed else np.full(rows, 42)
    for network in (*networks.predict, networks.restore):
        assert network is not None
        found = []
        for way in ("plain", "compiled"):
            changed = estimate.copy()
            with path(way), np.errstate(all="ignore"):
                network.apply(changed, qualities)
            found.append(changed)
        assert np.array_equal(found[0], found[1], equal_nan=True)
        assert rows == 1 or np.isfinite(found[1][:-1]).all()
