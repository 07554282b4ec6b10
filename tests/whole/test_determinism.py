"""`encode` is a function: the same embedding, options and version give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clipcodec import Codec, decode_batch
from clipcodec.profile.registry import by_name
from tests.helpers.paths import ROOT

FIXED = ("openai-vit-b-32/pqvae-400", "openai-vit-b-32/pqvae-2000")
WANTED: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in FIXED),
    *(
        (name, options)
        for name in ("openai-vit-b-32/predictive", "any/rotation")
        for options in ({"quality": 50}, {"max_bytes": 40}, {"min_cosine": 0.9})
    ),
    ("openai-vit-l-14-336/predictive", {"max_bytes": 40}),
]


def rows(profile: str, count: int) -> NDArray[np.float32]:
    """Real-looking embeddings, and every fifth one that is like nothing the profile knows."""
    statistics = by_name(profile).statistics
    width = by_name(profile).dim or 96
    x = np.random.default_rng(5).standard_normal((count, width), np.float32)
    if statistics is not None:
        drawn = statistics.draw(count, seed=3)
        x[np.arange(count) % 5 > 0] = drawn[np.arange(count) % 5 > 0]
    return x


def name_of(wanted: tuple[str, dict[str, Any]]) -> str:
    return " ".join([wanted[0].split("/")[1], *map(str, wanted[1].values())])


@pytest.mark.parametrize(
    "wanted",
    [pytest.param(w, marks=[pytest.mark.slow] * (len(w[1]) > 0), id=name_of(w)) for w in WANTED],
)
def test_the_bytes_do_not_depend_on_the_batch(wanted: tuple[str, dict[str, Any]]) -> None:
    """Alone, in batches of any size and order, in many threads: each embedding has one stream."""
    profile, options = wanted
    codec = Codec(profile)
    x = rows(profile, 200)
    together = codec.encode_embeddings(x, **options)
    assert [codec.encode_embedding(row, **options) for row in x[:12]] == together[:12]
    assert codec.encode_embeddings(x[::-1], **options) == together[::-1]
    for size in (3, 25, 97):  # either side of every switch between one way and the other
        for at in (0, size):
            part = codec.encode_embeddings(x[at : at + size], **options)
            assert part == together[at : at + size]


def test_more_rows_than_one_chunk_are_coded_like_few() -> None:
    codec = Codec("any/rotation")
    x = np.random.default_rng(8).standard_normal((4100, 40))
    together = codec.encode_embeddings(x)
    assert codec.encode_embeddings(x[2040:2060]) == together[2040:2060]
    assert codec.encode_embeddings(x[4090:]) == together[4090:]


@pytest.mark.parametrize("profile", [*FIXED[:1], "openai-vit-b-32/predictive", "any/rotation"])
def test_equal_values_of_any_dtype_and_layout_give_equal_bytes(profile: str) -> None:
    codec = Codec(profile)
    x = rows(profile, 30).astype(np.float16)
    expected = codec.encode_embeddings(x)
    padded = np.zeros((30, 2 * x.shape[1]))
    padded[:, ::2] = x
    for same in (
        x.astype(np.float32),
        x.astype(np.float64),
        x.astype(np.longdouble),
        x.astype(">f4"),
        x.astype(">f2"),
        np.asfortranarray(x),
        padded[:, ::2],
        x.astype(np.float64) * 4,
        x.tolist(),
    ):
        assert codec.encode_embeddings(same) == expected
    whole = np.round(x.astype(np.float64) * 100)
    assert codec.encode_embeddings(whole.astype(np.int16)) == codec.encode_embeddings(whole)


SCRIPT = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from tests.whole.test_determinism import WANTED, rows
from clipcodec import Codec
digest = hashlib.sha256()
for profile, options in WANTED:
    for stream in Codec(profile).encode_embeddings(rows(profile, 25), **options):
        digest.update(stream)
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_threads_hash_seeds_or_matrix_kernels() -> None:
    """Fresh interpreters under other settings of the libraries below print one digest."""
    settings: list[dict[str, str]] = [
        {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
        {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4", "PYTHONHASHSEED": "1"},
        {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Haswell"},
    ]
    script = SCRIPT.format(folder=str(ROOT))
    printed = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            env={**os.environ, **setting},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for setting in settings
    }
    assert len(printed) == 1


@pytest.mark.slow
def test_decoding_alone_and_together_gives_the_same_within_rounding() -> None:
    for profile, options in WANTED:
        codec = Codec(profile)
        streams = codec.encode_embeddings(rows(profile, 60), **options)
        alone = np.stack([codec.decode(stream) for stream in streams])
        assert np.abs(decode_batch(streams) - alone).max() < 1e-5
