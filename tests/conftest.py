"""Shared fixtures: real data where it is at hand, and a small profile made on the spot."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from clipcodec.profile.file import Profile, read_profile
from tests.helpers import s3_server
from tests.helpers.paths import SHARED
from tests.helpers.profiles import compact_profile, write_tiny_predictive, write_tiny_profile
from tests.helpers.s3_server import Server

# no time limits, which depend on the machine; the same examples every time
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

# whose tests cover what turns bytes into symbols
EXACT_ROOMS = (
    "tests/entropy/", "tests/kinds/", "tests/profile/", "tests/formats/", "tests/test_bitstream.py",
    "tests/test_codec.py", "tests/test_rows.py", "tests/test_batches.py", "tests/test_columns.py",
    "tests/test_target.py",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cover-exact", action="store_true",
        help="with --cov: only where the coding rooms are tested, as coverage slows all tests down",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # of xdist: it would begin with the most tests


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # no long file is left for the end
    if config.getoption("--cover-exact"):
        for item in items:
            if not item.nodeid.startswith(EXACT_ROOMS):
                item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real embeddings; tests that need it are skipped where it is missing."""
    if not SHARED.exists():
        pytest.skip("the real embeddings are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def real_rows() -> np.ndarray:
    """Real ViT-B/32 image embeddings that training never saw, (N, 512) unit norm."""
    path = SHARED / "clip-vit-b-32-openai" / "test_ucf101.safetensors"
    if not path.exists():
        pytest.skip("the real embeddings are not beside this checkout")
    from safetensors.numpy import load_file

    rows = load_file(path)["embeddings"].astype(np.float32)[:1000]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_profile(tmp_path_factory.mktemp("profile") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Profile:
    return read_profile(tiny_path)


@pytest.fixture(scope="session")
def rates_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_predictive(tmp_path_factory.mktemp("profile") / "rates.safetensors")


@pytest.fixture(scope="session")
def rates(rates_path: Path) -> Profile:
    """A private profile of kind `predictive`, D = 24; `cone` draws rows such as it knows."""
    return read_profile(rates_path)


@pytest.fixture(scope="session")
def compact_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compact_profile(tmp_path_factory.mktemp("profile") / "compact.safetensors", hidden=3)


@pytest.fixture(scope="session")
def compact(compact_path: Path) -> Profile:
    """A private profile of kind `compact`, 16 coefficients of 24; `cone` draws its rows, too."""
    return read_profile(compact_path)


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> None:
    """No test may reach a hub; those of backbone.py set their own environment in subprocesses."""
    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    """An S3 server for all tests of a module; each takes it as `server`."""
    with s3_server.running() as running:
        yield running


@pytest.fixture
def server(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An S3 server with an empty bucket, and no pauses before something is tried again."""
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)  # ours are tested
    monkeypatch.setattr("clipcodec.system.remote._PAUSE", 0.001)
    with s3_server.checked(s3):
        yield s3
