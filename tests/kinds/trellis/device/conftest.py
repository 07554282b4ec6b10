"""Profiles of the kinds that a device knows, and their engines there, on torch's CPU device."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clipcodec.kinds.trellis.device import DeviceEngine
from clipcodec.kinds.trellis.engine import Engine
from clipcodec.profile import Profile, registry
from tests.helpers.kinds import trellis
from tests.helpers.profiles import cone, drawn

CPU = torch.device("cpu")
SHIPPED = ["openai-vit-b-32/predictive", "openai-vit-l-14-336/predictive"]


class Pair:
    """A profile with its engine here and on the device, and rows such as it knows."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self.dim = profile, profile.dim or 0
        self.host: Engine = trellis(profile).engine(self.dim)
        self.device = DeviceEngine(self.host, CPU)

    def rows(self, count: int, seed: int = 0) -> NDArray[np.float32]:
        private = self.profile.id is None
        return cone(count, self.dim, seed) if private else drawn(count, self.profile, seed=seed)


@lru_cache
def shipped(name: str) -> Pair:
    return Pair(registry.by_name(name))


@pytest.fixture(params=[*SHIPPED, "compact"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Each profile in turn."""
    if request.param == "compact":
        return Pair(request.getfixturevalue("compact"))
    return shipped(request.param)


@pytest.fixture
def usual() -> Pair:
    """The default profile."""
    return shipped(SHIPPED[0])
