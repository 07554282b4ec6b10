"""The compiled loops of decoding give what their plain twins give, for any bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipcodec
from clipcodec import Codec, DecodeError
from clipcodec.kinds.trellis.coder import LevelCoder
from clipcodec.kinds.trellis.kind import TrellisKind
from clipcodec.profile.registry import by_name
from tests.helpers.paths_of_loops import needs_numba, path

pytestmark = needs_numba
NAMES = ["openai-vit-b-32/predictive", "openai-vit-l-14-336/predictive", "any/rotation"]


def kind_of(name: str) -> TrellisKind:
    kind = by_name(name).kind
    assert isinstance(kind, TrellisKind)
    return kind


def coder_of(name: str) -> LevelCoder:
    kind = kind_of(name)
    return kind.engine(kind.dim or 64).coder


def streams_of(name: str, rows: int, **target: Any) -> list[bytes]:
    kind = kind_of(name)
    x = np.random.default_rng(3).standard_normal((rows, kind.dim or 64))
    return clipcodec.encode_embeddings(x, profile=name, **target)


def outcome(coder: LevelCoder, payloads: list[bytes], qualities: Any) -> Any:
    """Levels and check values, or the rows at fault and why."""
    try:
        levels, checks = coder.decode(payloads, qualities)
    except DecodeError as error:
        return type(error), error.reasons if hasattr(error, "reasons") else str(error), error.rows
    return levels.tolist(), checks


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quality", [1, 30, 100])
def test_whole_streams(name: str, quality: int) -> None:
    streams = streams_of(name, 70, quality=min(quality, kind_of(name).qualities))
    found = []
    for way in ("plain", "compiled"):
        with path(way):
            together = clipcodec.decode_batch(streams)
            alone = [clipcodec.decode(stream) for stream in streams[:3]]
        assert (together[:3] == alone).all()
        found.append(together)
    assert found[0].tobytes() == found[1].tobytes()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_payloads_have_the_same_levels_or_the_same_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    codec = Codec(name)
    parsed = codec.parse_batch(streams_of(name, 3, quality=data.draw(st.sampled_from([5, 50, 95]))))
    payloads = []
    for stream in parsed:
        payload = bytearray(stream.payload)
        for _ in range(data.draw(st.integers(0, 2))):
            payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
        payloads.append(bytes(payload[: data.draw(st.integers(1, len(payload)))]))
    payloads.append(data.draw(st.binary(min_size=1, max_size=40)))
    qualities = np.array([*(s.parameters.quality for s in parsed), 50])
    with path("plain"):
        expected = outcome(coder_of(name), payloads, qualities)
    with path("compiled"):
        assert outcome(coder_of(name), payloads, qualities) == expected


@pytest.mark.parametrize("name", NAMES)
def test_levels_beyond_the_escape(name: str) -> None:
    kind = kind_of(name)
    coder = coder_of(name)
    levels = np.zeros((4, coder.tables.count), np.int64)
    levels[1, :5] = [1, -1, coder.tables.escape, -coder.tables.escape - 300, 2]
    levels[2] = -1
    levels[3, -1] = 1
    qualities = np.full(4, kind.qualities)
    for way in ("plain", "compiled"):
        with path(way):
            payloads = coder.encode(levels, qualities, [0, 1, 65535, 7])
            back, checks = coder.decode(payloads, qualities)
        assert (back == levels).all()
        assert checks == [0, 1, 65535, 7]


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 40), rows=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_check_values(seed: int, width: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.integers(-2, 3, (rows, width)) * rng.choice([0, 1, 1, 200, 16383], (rows, width))
    seeds = rng.integers(0, 1 << 16, rows)
    with path("plain"):
        expected = kind_of(NAMES[2]).check_values(levels, seeds)
    with path("compiled"):
        assert kind_of(NAMES[2]).check_values(levels, seeds).tolist() == expected.tolist()


def test_dequantized() -> None:
    rng = np.random.default_rng(0)
    engine = kind_of(NAMES[0]).engine(512)
    levels = rng.integers(-3, 4, (9, 512)) * rng.integers(0, 2, (9, 512))
    qualities = rng.integers(1, 101, 9)
    with path("plain"):
        expected = engine.latent(levels, qualities)
    with path("compiled"):
        assert engine.latent(levels, qualities).tobytes() == expected.tobytes()


def test_nothing_is_read_or_written_beyond_an_array(tmp_path: Path) -> None:
    """The tests of all loops once more, with numba's checks of every index."""
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    if "NUMBA_BOUNDSCHECK" in os.environ:
        pytest.skip("this is that run")
    files = map(Path(__file__).with_name, (
        "test_decoding.py", "test_encoding.py", "test_networks.py", "test_trellis.py",
    ))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, files)],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
