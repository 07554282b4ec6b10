"""Learned peers: rates, codebooks, what is kept; trained for some steps on small rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from clipcodec.embeddings import Embeddings, as_embeddings
from clipcodec.errors import OptionError
from clipcodec.evaluation import ablation
from clipcodec.evaluation.bench import Bench
from clipcodec.evaluation.codecs import Training, parse_codec
from clipcodec.evaluation.evaluate import evaluate
from clipcodec.evaluation.peers import learned, networks
from clipcodec.evaluation.results import Results
from clipcodec.evaluation.sets import EmbeddingSet

DIM = 64


def rows(count: int, seed: int) -> Embeddings:
    """Correlated rows: a few directions hold most of the variance."""
    rng = np.random.default_rng(7)
    spread = rng.normal(size=(DIM, DIM)) / np.arange(1, DIM + 1) ** 0.5
    return as_embeddings(np.random.default_rng(seed).normal(size=(count, DIM)) @ spread + 0.5)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = tmp_path_factory.mktemp("learned")
    save_file({"embeddings": rows(600, 0)}, folder / "train.safetensors")
    return Training(folder, quick=True, kept=folder / "kept")


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "_QUICK_STEPS", 12)
    monkeypatch.setattr(learned, "_BATCH", 128)
    monkeypatch.setattr(learned, "_POSITIONS", 5)  # so that latents are few, as the rows are narrow
    torch.set_num_threads(1)


def coded(spec: str, training: Training) -> tuple[float, float]:
    """Mean cosine of rows that were not trained on, and bytes of a row."""
    x = rows(200, 1)
    found = parse_codec(spec).code(x, training)
    assert found.rows is not None
    assert len(set(found.bytes.tolist())) == 1
    return float((as_embeddings(found.rows) * x).sum(axis=1).mean()), float(found.bytes[0])


@pytest.mark.parametrize(
    ("coarse", "fine", "sizes"),
    [
        ("learned-sq:1", "learned-sq:3", (8, 24)),
        ("pqvae:2,32", "pqvae:16,32", (3, 10)),
        ("pqvae:2,32,own", "pqvae:16,32,own", (3, 10)),
    ],
)
def test_more_bits_cost_the_stated_bytes_and_lose_less(
    coarse: str, fine: str, sizes: tuple[float, float], training: Training
) -> None:
    few, more = coded(coarse, training), coded(fine, training)
    assert (few[1], more[1]) == sizes
    assert more[0] > few[0] + 0.02


def test_vqvae_has_the_papers_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for bits in learned.VQVAE_CODEWORDS:
        assert learned._shape("vqvae", str(bits)).config(512).bits == bits


def test_all_cells_of_the_ablation_have_the_bits_of_their_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    for bits, specs in ablation.SHARED.items():
        for spec in specs:
            assert learned._shape("pqvae", spec.partition(":")[2]).config(512).bits == bits
    assert set(ablation.OWN) < set(ablation.CELLS)


def test_own_codebooks_are_trained_apart(training: Training) -> None:
    """They differ from each other; a shared one does not, and gives other rows."""
    x = rows(50, 1)
    own, shared = (
        parse_codec(f"pqvae:16,32{kind}").code(x, training).rows for kind in (",own", "")
    )
    assert own is not None
    assert shared is not None
    assert not np.allclose(own, shared)
    network = networks.trained(settings("16,32,own", training), training)
    assert isinstance(network, networks.OwnCodebooks)
    assert float(network.codewords.std(dim=0).mean()) > 0.01


def settings(argument: str, training: Training) -> networks.Settings:
    return learned._settings(learned._shape("pqvae", argument), training)


@pytest.mark.parametrize("argument", ["16,32", "16,32,own"])
def test_training_beats_random_codewords(argument: str, training: Training) -> None:
    x = rows(200, 1)
    network = networks.trained(settings(argument, training), training)
    symbols, good = networks.code(network, x)
    networks._last.clear()  # what is changed here is not for other tests
    if isinstance(network, networks.OwnCodebooks):
        network.codewords.normal_()
    else:
        network.codebook.codewords = torch.randn_like(network.codebook.codewords)
    other, bad = networks.code(network, x)
    assert symbols.max() < 16
    assert not np.array_equal(symbols, other)
    good, bad = as_embeddings(good), as_embeddings(bad)
    assert (good * x).sum(axis=1).mean() > (bad * x).sum(axis=1).mean() + 0.02


def test_a_kept_network_is_not_trained_again(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = coded("vqvae:400", training)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(networks, "optimise", refuse)
    networks._last.clear()
    assert coded("vqvae:400", training) == before
    networks._last.clear()
    monkeypatch.setattr(learned, "_QUICK_STEPS", 13)  # other settings: another network
    with pytest.raises(AssertionError, match="trained again"):
        coded("vqvae:400", training)


def test_a_damaged_kept_network_is_trained_anew(tmp_path: Path, training: Training) -> None:
    other = Training(training.folder, quick=True, kept=tmp_path)
    before = coded("learned-sq:1", other)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    networks._last.clear()
    assert coded("learned-sq:1", other) == before
    assert kept.stat().st_size > 1000


def test_rows_of_labelled_sets_count_three_times(tmp_path: Path) -> None:
    save_file({"embeddings": rows(20, 0)}, tmp_path / "train.safetensors")
    labels = np.arange(10) % 2
    held = np.array([0, 1], np.uint8)
    save_file(
        {"embeddings": rows(10, 1), "labels": labels, "class_is_val": held},
        tmp_path / "imagenet.safetensors",
    )
    weights = networks._weights(Training(tmp_path))
    assert weights.tolist() == [1.0] * 20 + [3.0] * 5


def test_a_cell_of_the_ablation_says_how_codewords_are_used(training: Training) -> None:
    bench = Bench([EmbeddingSet("things", rows(60, 1), "digest")])
    results = Results(None, "x")
    evaluate(bench, [parse_codec("pqvae:16,32")], training, results, quiet=True)
    point = results.points["pqvae:16,32"]
    assert point["bytes"] == 10
    assert 0 < point["used"] <= 1
    assert 0 < point["entropy"] <= point["limit"] == 4
    assert 0 < point["ideal"] <= 10
    assert point["sets"]["things"]["cosine"] > 0.5
    assert point["quick"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vqvae:500", "500 bits: expected one of 400"),
        ("vqvae:", "expected such as vqvae:400"),
        ("learned-sq:4", "1, 2 or 3 bits"),
        ("learned-sq:x", "expected such as learned-sq:2"),
        ("pqvae:4", "expected such as pqvae:4,16"),
        ("pqvae:5,16", "5 codewords: expected a power of two"),
        ("pqvae:65536,128", "take too long to train"),
        ("pqvae:4,24", "sub-vectors of 24 channels: expected a divisor of 128"),
        ("pqvae:4,16,mine", "expected such as pqvae:4,16"),
    ],
)
def test_what_is_no_codec_is_named(spec: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_codec(spec)
