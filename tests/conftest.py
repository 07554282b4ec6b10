"""Shared fixtures: real data where it is at hand, and a small profile made on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from clipcodec.profile import Profile, read_profile
from clipcodec.training import export
from clipcodec.transforms import Layout, PqvaeTransform

# no time limits, which depend on the machine; the same examples every time
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_rows() -> np.ndarray:
    """Real ViT-B/32 image embeddings that training never saw, (N, 512) unit norm."""
    path = SHARED / "clip-vit-b-32-openai" / "test_ucf101.safetensors"
    if not path.exists():
        pytest.skip("the real embeddings are not beside this checkout")
    from safetensors.numpy import load_file

    rows = load_file(path)["embeddings"].astype(np.float32)[:1000]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_tiny_profile(path: Path, *, seed: int = 0, **meta: str) -> Path:
    """A valid profile (D = 8, n = 12, K = 5) with random weights: fast, for mechanics only."""
    rng = np.random.default_rng(seed)
    layout = Layout(8, positions=3, channels=8, sub_dim=2, codewords=5, rank=2,
                    analysis=6, synthesis=4, blocks=2)  # fmt: skip
    tensors = {
        name: rng.normal(size=shape) for name, shape in PqvaeTransform.shapes(layout).items()
    }
    tensors["scale"] = np.ones(1)
    tensors["codebook"] = rng.normal(size=(5, 2))
    rows = rng.normal(size=(64, 8)) + 1
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    export.write(
        path, name=meta.get("name", "private/tiny"), backbone=meta.get("backbone", "none"),
        layout=layout, tensors=export.to_half(tensors), rows=rows, card={"data": "random"},
    )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_profile(tmp_path_factory.mktemp("profile") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Profile:
    return read_profile(tiny_path)


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> None:
    """No test may reach a hub; those of backbone.py set their own environment in subprocesses."""
    os.environ["HF_HUB_OFFLINE"] = "1"
