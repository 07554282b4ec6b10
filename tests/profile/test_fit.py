"""What docs/which-embeddings.md says of rows that fit and that do not, on real embeddings."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from clipcodec import BackboneWarning, Codec
from clipcodec.embeddings import normalise
from clipcodec.profile import registry
from tests.helpers.paths import ROOT, SHARED

Rows = NDArray[Any]
LIMIT, COUNT = 50, 200
PAGE = ROOT / "docs" / "which-embeddings.md"
SILENT, UNLIKE, TEXTS = "nothing", "unlike", "texts"

pytestmark = pytest.mark.skipif(
    not SHARED.exists(), reason="the real embeddings are not beside this checkout"
)


@cache
def _file(model: str, name: str) -> dict[str, Rows]:
    return load_file(SHARED / f"clip-{model}-openai" / f"{name}.safetensors")


@cache
def images() -> Rows:
    """Images of classes that no profile was trained on, ViT-B/32."""
    data = _file("vit-b-32", "imagenet")
    held_out = data["class_is_val"][data["labels"]] == 1
    return normalise(data["embeddings"][held_out])[:: int(held_out.sum()) // COUNT][:COUNT]


@cache
def texts() -> Rows:
    return normalise(_file("vit-b-32", "text_vocabulary")["lvis"])[:COUNT]


@cache
def of_l14() -> Rows:
    return normalise(_file("vit-l-14", "test")["things"])[:COUNT]


def _by_dimension(x: Rows) -> Rows:
    """int8 as sentence-transformers' `precision="int8"`: each dimension has its own range."""
    low, high = x.min(axis=0), x.max(axis=0)
    return ((x - low) / ((high - low) / 255) - 128).astype(np.int8)


def _by_row(x: Rows) -> Rows:
    return np.rint(x / np.abs(x).max(axis=1, keepdims=True) * 127).astype(np.int8)


def _whitened(x: Rows) -> Rows:
    """By the covariance of more rows than dimensions."""
    many = normalise(_file("vit-b-32", "test_ucf101")["embeddings"])
    values, vectors = np.linalg.eigh(np.cov(many, rowvar=False))
    return (x - many.mean(axis=0)) @ (vectors / np.sqrt(values + 1e-6)) @ vectors.T


CASES: dict[str, tuple[Callable[[], Rows], str]] = {
    "images of the right model": (images, SILENT),
    "the same, times 7, in float16": (lambda: (7 * images()).astype(np.float16), SILENT),
    "the same, rounded to int8 with one scale for each row": (lambda: _by_row(images()), SILENT),
    "the same, rounded to int8 with a range for each dimension": (
        lambda: _by_dimension(images()), UNLIKE),
    "the same, less their mean": (lambda: images() - images().mean(axis=0), UNLIKE),
    "the same, whitened": (lambda: _whitened(images()), UNLIKE),
    "the same, their signs alone": (lambda: np.sign(images()), UNLIKE),
    "the same, only the first 256 numbers, then zeros": (
        lambda: images() * (np.arange(512) < 256), SILENT),
    "texts of the right model": (texts, TEXTS),
    "images of another model (ViT-L/14, its first 512 numbers)": (
        lambda: of_l14()[:, :512], UNLIKE),
    "random numbers": (
        lambda: np.random.default_rng(0).standard_normal((COUNT, 512)), UNLIKE),
}  # fmt: skip


def _verdict(rows: Rows, profile: str) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Codec(profile).encode_embeddings(rows[:20], quality=1)
    found = [str(item.message) for item in caught if item.category is BackboneWarning]
    assert len(found) <= 1
    if not found:
        return SILENT
    assert "`clipcodec compress --train`" in found[0]
    return TEXTS if "lie among the text embeddings" in found[0] else UNLIKE


def _kept(rows: Rows, profile: str) -> float:
    """The mean cosine of rows to what is decoded of them, at 50 bytes."""
    codec = Codec(profile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoded = codec.decode_batch(codec.encode_embeddings(rows, max_bytes=LIMIT))
    return float((decoded * normalise(rows)).sum(axis=1).mean())


def _table() -> dict[str, list[str]]:
    """The page's table: the cells behind the first of each line."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0]: cells[1:] for cells in split}


@pytest.mark.parametrize("name", CASES)
def test_the_page_says_what_the_statistic_says_and_what_is_kept(name: str) -> None:
    make, expected = CASES[name]
    rows = make()
    assert _verdict(rows, registry.DEFAULT) == expected
    shown = _table()[name]
    kept = [_kept(rows, profile) for profile in (registry.DEFAULT, registry.UNTRAINED)]
    assert shown == [expected, *(f"{value:.2f}".removeprefix("0") for value in kept)]


def test_the_page_lists_no_other_rows() -> None:
    lines = _table()
    first = list(lines).index(next(iter(CASES)))
    assert list(lines)[first : first + len(CASES)] == list(CASES)
    assert sum(bool(re.fullmatch(r"nothing|unlike|texts", cells[0])) for cells in lines.values()
               ) == len(CASES)  # fmt: skip


def test_the_other_trained_profile_tells_its_rows_from_others() -> None:
    l14 = "openai-vit-l-14-336/predictive"
    padded = np.concatenate([images(), np.zeros((COUNT, 256), np.float32)], axis=1)
    news = normalise(_file("vit-l-14", "test")["news_336px"])[:COUNT]
    captions = normalise(_file("vit-l-14", "test")["imagenet_text"])[:COUNT]
    found = [_verdict(rows, l14) for rows in (of_l14(), news, _by_row(news), captions, padded)]
    assert found == [SILENT, SILENT, SILENT, TEXTS, UNLIKE]
