"""clipcodec.training: seeded profiles from files, or errors that name the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from clipcodec import Codec
from clipcodec.errors import OptionError, TrainingError
from clipcodec.kinds.pqvae.config import PqvaeConfig
from clipcodec.kinds.pqvae.transform import PqvaeTransform
from clipcodec.profile.file import read_profile
from clipcodec.training import predictive, recipe, trainer
from clipcodec.training.codebook import Codebook
from clipcodec.training.data import MIN_ROWS, load_embeddings
from clipcodec.training.export import frequency_tables
from clipcodec.training.network import Network
from clipcodec.training.pqvae import Recipe, train
from clipcodec.training.register import register
from tests.helpers.kinds import pqvae
from tests.helpers.profiles import cone, one_torch_thread

QUICK = Recipe(codewords=4, steps=12, batch=256)


def clustered(count: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Rows around a few centres with a fast-falling spectrum, as embeddings have."""
    rng = np.random.default_rng(seed)
    spectrum = 1 / np.arange(1, dim + 1)
    centres = np.random.default_rng(99).normal(size=(5, dim)) * spectrum + 0.5
    rows = centres[rng.integers(0, 5, count)] + 0.3 * rng.normal(size=(count, dim)) * spectrum
    return rows.astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, clustered(1500))
    return path


def make(rows: Path, out: Path, recipe: Recipe = QUICK, **options: object) -> Codec:
    train([str(rows)], out, recipe, name="private/t", backbone="none", **options)  # type: ignore[arg-type]
    return Codec(out)


def cosine(codec: Codec, x: np.ndarray) -> float:
    y = codec.decode_batch(codec.encode_embeddings(x))
    return float(((x / np.linalg.norm(x, axis=1, keepdims=True)) * y).sum(axis=1).mean())


@pytest.mark.slow
def test_training_helps_and_more_codewords_help(tmp_path: Path, rows_file: Path) -> None:
    """Unseen rows come back closer after training, and closer still at a higher rate."""
    unseen = clustered(300, seed=7)
    start = cosine(make(rows_file, tmp_path / "a", replace(QUICK, steps=1)), unseen)
    trained = cosine(make(rows_file, tmp_path / "b", replace(QUICK, steps=60)), unseen)
    finer = cosine(make(rows_file, tmp_path / "c", replace(QUICK, codewords=16)), unseen)
    assert 0.9 < start < trained
    assert start < finer


@pytest.mark.slow
def test_the_seed_decides(tmp_path: Path, rows_file: Path) -> None:
    """Same files, recipe and machine: the same profile, byte for byte."""
    make(rows_file, tmp_path / "a")
    make(rows_file, tmp_path / "b")
    make(rows_file, tmp_path / "c", replace(QUICK, seed=1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.slow
def test_any_sizes_that_divide(tmp_path: Path, rows_file: Path) -> None:
    """K and sub_dim as the latent allows, K not a power of two among them."""
    codec = make(rows_file, tmp_path / "p", replace(QUICK, codewords=6, sub_dim=64, steps=2))
    config = pqvae(codec.profile).config
    assert (config.count, config.codewords, config.sub_dim, config.rank) == (50, 6, 64, 2)
    codec = make(rows_file, tmp_path / "p", replace(QUICK, codewords=2, sub_dim=2, steps=1))
    config = pqvae(codec.profile).config
    assert (config.count, config.rank) == (1600, 2)
    assert len(codec.encode_embedding(clustered(1)[0], entropy="raw")) == 5 + 2 + 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sub_dim": 24}, "does not divide"),
        ({"sub_dim": 0}, r"sub_dim|zero|modulo"),
        ({"codewords": 1}, "expected 2"),
        ({"steps": 0}, "at least 1"),
        ({"seed": -1}, "seed=-1"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"seed": 1 << 40}, "seed="),
    ],
)
def test_settings_that_cannot_work(
    tmp_path: Path, rows_file: Path, change: dict[str, int], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        make(rows_file, tmp_path / "p", replace(QUICK, **change))
    assert not (tmp_path / "p").exists()


def test_files_of_both_kinds_and_repetition_counts(tmp_path: Path) -> None:
    rows = clustered(MIN_ROWS)
    np.save(tmp_path / "a.npy", rows)
    save_file({"embeddings": rows[:10] * 2}, tmp_path / "b.safetensors")
    x, counts = load_embeddings([tmp_path / "a.npy", tmp_path / "b.safetensors"])
    assert x.shape == (MIN_ROWS, 16)
    assert counts.tolist() == [2] * 10 + [1] * (MIN_ROWS - 10)
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)


def test_every_file_that_compress_takes_is_trained_on(tmp_path: Path) -> None:
    """The same rows from each; a weight of a checkpoint beside them is not taken."""
    rows = clustered(MIN_ROWS)
    np.save(tmp_path / "rows.npy", rows)
    np.savez(tmp_path / "rows.npz", embeddings=rows, labels=np.arange(MIN_ROWS))
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", fmt="%.17g")
    torch.save({"embeddings": torch.from_numpy(rows), "epoch": 3}, tmp_path / "rows.pt")
    save_file({"anything": rows}, tmp_path / "rows.safetensors")
    expected, _ = load_embeddings([tmp_path / "rows.npy"])
    for suffix in (".npz", ".csv", ".pt", ".safetensors"):
        found, counts = load_embeddings([tmp_path / f"rows{suffix}"])
        assert np.array_equal(found, expected), suffix
        assert set(counts) == {1}
    x, counts = load_embeddings(sorted(tmp_path.iterdir()))
    assert np.array_equal(x, expected)
    assert set(counts) == {5}


def test_bad_files_are_named(tmp_path: Path) -> None:
    rows = clustered(MIN_ROWS)
    np.save(tmp_path / "good.npy", rows)
    np.save(tmp_path / "few.npy", rows[:-1])
    np.save(tmp_path / "wide.npy", np.ones((5, 7)))
    np.save(tmp_path / "same.npy", np.ones((2 * MIN_ROWS, 16)))
    rows[3, 3] = np.nan
    np.save(tmp_path / "nan.npy", rows)
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    (tmp_path / "noise.npy").write_bytes(b"noise")
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    save_file({"some": rows, "other": rows}, tmp_path / "other.safetensors")
    np.savez(tmp_path / "nan.npz", embeddings=rows, labels=np.arange(MIN_ROWS))
    torch.save({"rows": "none"}, tmp_path / "empty.pt")
    (tmp_path / "words.csv").write_text("a,b\nc,d\n")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "folder.npy").mkdir()
    for names, message in (
        (["none.npy"], "no such file"),
        (["few.npy"], f"{MIN_ROWS - 1} distinct"),
        (["same.npy"], "1 distinct"),
        (["nan.npy"], r"nan\.npy: embedding 3"),
        (["words.npy"], r"words\.npy"),
        (["objects.npy"], r"objects\.npy"),
        (["noise.npy"], r"noise\.npy"),
        (["noise.safetensors"], r"noise\.safetensors"),
        (["other.safetensors"], r"2 arrays, 'other' .*: expected one called 'embeddings'"),
        (["nan.npz"], r"nan\.npz: embedding 3"),
        (["empty.pt"], r"empty\.pt: no arrays"),
        (["words.csv"], r"words\.csv: not a readable \.csv file"),
        (["photo.jpg"], r"photo\.jpg is not a file of embeddings: expected \.npy, \.npz"),
        (["folder.npy"], r"folder\.npy: Is a directory"),
        (["good.npy", "wide.npy"], r"several widths \[7, 16\]"),
    ):
        with pytest.raises(TrainingError, match=message):
            load_embeddings([tmp_path / name for name in names])


def test_torch_and_numpy_agree() -> None:
    """The profile does what was trained: same symbols, same reconstruction."""
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.from_numpy(clustered(500)), dim=1)
    config = PqvaeConfig(16, positions=5, channels=16, sub_dim=4, codewords=8,
                         analysis=32, synthesis=32, blocks=2)  # fmt: skip
    network = Network(config, x, generator)
    tensors = network.tensors()
    from clipcodec.kinds.pqvae.quantizer import SharedProductQuantizer

    quantizer = SharedProductQuantizer(tensors["codebook"], tensors["analysis.lift"])
    transform = PqvaeTransform(config, tensors)
    with torch.no_grad():
        _, quantized, symbols = network.analyse(x)
        decoded = network.synthesise(quantized)
    ours = transform.analyse(x.numpy(), quantizer)
    assert (ours == symbols.numpy()).mean() > 0.99  # near ties may part, and lead apart after
    latent = quantizer.dequantize(symbols.numpy())
    assert np.allclose(transform.synthesise(latent), decoded.numpy(), atol=1e-4)
    assert {k: t.shape for k, t in tensors.items() if k != "codebook"} == PqvaeTransform.shapes(
        config
    )


def test_dead_codewords_are_restarted() -> None:
    generator = torch.Generator().manual_seed(0)
    codebook = Codebook(8, 2, generator)
    far = torch.full((8, 2), 100.0)
    codebook.codewords = torch.cat([codebook.codewords[:1], far[1:]])
    codebook.total = codebook.codewords.clone()
    for _ in range(500):
        latents = torch.randn(512, 2, generator=generator)
        codebook.update(latents, codebook.nearest(latents).symbols)
    assert codebook.restarts >= 7
    used = torch.bincount(codebook.nearest(torch.randn(4096, 2)).symbols, minlength=8)
    assert (used > 40).all()


def test_tables_of_each_position_only_where_they_pay() -> None:
    rng = np.random.default_rng(0)
    alike = rng.integers(0, 4, (4000, 6))
    assert len(frequency_tables(alike, 4).frequencies) == 1
    unlike = np.minimum(alike, np.arange(6) % 3 + 1)
    tables = frequency_tables(unlike, 4)
    assert tables.table_of.tolist() == list(range(6))
    assert tables.information(unlike).mean() < 6 * 1.6


def test_the_card_keeps_data_and_recipe(tmp_path: Path, rows_file: Path) -> None:
    codec = make(rows_file, tmp_path / "p", card={"licence": "CC0", "data": "noise"})
    card = codec.profile.card
    assert (card["licence"], card["data"]) == ("CC0", "noise")
    assert (card["embeddings"]["rows"], card["embeddings"]["files"]) == (1500, ["rows.npy"])
    assert card["recipe"]["steps"] == QUICK.steps


def test_registering_gives_ids_once(tmp_path: Path, tiny_path: Path) -> None:
    registry = {"profiles": [{"id": 1, "name": "a/b"}]}
    (tmp_path / "registry.json").write_text(json.dumps(registry))
    with pytest.raises(SystemExit, match="id 1 belongs to a/b"):
        register(tiny_path, 1, tmp_path)
    row = register(tiny_path, 2, tmp_path)
    assert (tmp_path / row["file"]).read_bytes() == tiny_path.read_bytes()
    assert row["sha256"] == read_profile(tiny_path).digest.hex()
    rows = json.loads((tmp_path / "registry.json").read_text())["profiles"]
    assert [r["id"] for r in rows] == [1, 2]
    with pytest.raises(SystemExit, match="id 2 belongs"):
        register(tiny_path, 3, tmp_path)


# the recipe `predictive`

RATES = recipe.Recipe(hidden=4, steps=6, replay=2, batch=64)


@pytest.fixture(scope="module")
def cone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "cone.npy"
    np.save(path, cone(1200, 32))
    return path


@pytest.fixture(autouse=True)
def few_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second phase runs the encoder over few rows: the way is the same."""
    monkeypatch.setattr(trainer, "REPLAYED", 256)


def make_rates(
    rows: Path, out: Path, recipe: recipe.Recipe = RATES, **options: object
) -> predictive.Result:
    return predictive.train([str(rows)], out, recipe, name="private/r", backbone="none", **options)  # type: ignore[arg-type]


def test_all_rates_from_one_training(tmp_path: Path, cone_file: Path) -> None:
    """The file loads; unseen rows come back, the better the more bytes; the result is measured."""
    result = make_rates(cone_file, tmp_path / "p", card={"licence": "CC0"})
    codec, unseen = Codec(tmp_path / "p"), cone(200, 32, seed=9)
    assert (codec.profile.kind.name, codec.profile.dim, codec.profile.name) == ("predictive", 32,
                                                                           "private/r")  # fmt: skip
    reached = [
        (unseen * codec.decode_batch(codec.encode_embeddings(unseen, quality=q))).sum(axis=1).mean()
        for q in (1, 30, 60, 100)
    ]
    assert 0.8 < reached[0] < reached[1] < reached[2] < reached[3]
    assert reached[3] > 0.999
    assert (result.rows, result.held_out) == (1200, 120)
    assert result.quality == codec.profile.kind.default_quality
    assert result.cosine >= 0.97
    default = codec.encode_embeddings(unseen)
    assert abs(np.mean([len(stream) for stream in default]) - result.bytes) < 1
    card = codec.profile.card
    assert card["licence"] == "CC0"
    assert (card["recipe"]["name"], card["recipe"]["steps"]) == ("predictive", 6)
    assert (card["embeddings"]["rows"], card["embeddings"]["files"]) == (1200, ["cone.npy"])


def test_default_quality_is_the_cosine_asked_for(tmp_path: Path, cone_file: Path) -> None:
    still = replace(RATES, hidden=0)
    low, high = (
        make_rates(cone_file, tmp_path / "p", replace(still, cosine=cosine))
        for cosine in (0.9, 0.99)
    )
    assert low.quality < high.quality
    assert high.cosine >= 0.99 > low.cosine >= 0.9


@pytest.mark.slow
def test_the_seed_decides_predictive_files(tmp_path: Path, cone_file: Path) -> None:
    """Same files, recipe and machine: the same profile, byte for byte."""
    make_rates(cone_file, tmp_path / "a")
    make_rates(cone_file, tmp_path / "b")
    make_rates(cone_file, tmp_path / "c", replace(RATES, seed=1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.slow
def test_texts_bend_the_metric(tmp_path: Path, cone_file: Path) -> None:
    """What texts can tell apart is kept better; a weight of zero is as no texts."""
    still, along = replace(RATES, hidden=0), np.zeros((50, 32), np.float32)
    along[:, 31], along[:, 0] = np.linspace(-1, 1, 50), 1
    np.save(tmp_path / "text.npy", along)
    texts = {"text_paths": [str(tmp_path / "text.npy")]}
    make_rates(cone_file, tmp_path / "plain", still)
    make_rates(cone_file, tmp_path / "bent", replace(still, text_weight=0.9), **texts)
    make_rates(cone_file, tmp_path / "unbent", replace(still, text_weight=0.0), **texts)
    x, errors = cone(200, 32, seed=9), {}
    for name in ("plain", "bent", "unbent"):
        codec = Codec(tmp_path / name)
        y = codec.decode_batch(codec.encode_embeddings(x, max_bytes=14))
        errors[name] = np.abs(y - x)[:, 31].mean()
    assert errors["bent"] < 0.8 * errors["plain"]
    assert errors["unbent"] == pytest.approx(errors["plain"], rel=1e-3)
    assert Codec(tmp_path / "bent").profile.card["embeddings"]["text_files"] == ["text.npy"]


def test_prediction_needs_no_units(tmp_path: Path, cone_file: Path) -> None:
    """hidden=0: the KLT alone, whatever the steps."""
    result = make_rates(cone_file, tmp_path / "a", replace(RATES, hidden=0))
    make_rates(cone_file, tmp_path / "b", replace(RATES, hidden=0, steps=0, replay=0))
    a, b = (Codec(tmp_path / name) for name in "ab")
    x = cone(30, 32, seed=9)
    assert result.cosine >= 0.97
    assert np.allclose(a.decode_batch(a.encode_embeddings(x)),
                       b.decode_batch(b.encode_embeddings(x)))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", ["flat", "wide", "repeated"])
def test_rows_of_odd_shapes_still_train(tmp_path: Path, what: str) -> None:
    """Directions without variance, hardly more rows than dimensions, rows given twice."""
    rows = cone(1000, 32)
    if what == "flat":
        rows[:, 20:] = 0
    elif what == "wide":
        rows = cone(1000, 500)
    else:
        rows = np.concatenate([rows, rows[:500]])
    np.save(tmp_path / "x.npy", rows)
    result = make_rates(tmp_path / "x.npy", tmp_path / "p", replace(RATES, hidden=0))
    assert result.rows == 1000
    assert result.cosine >= 0.96


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (cone(99, 32), "99 distinct"),
        (np.tile(cone(40, 32), (50, 1)), "40 distinct"),
        (np.ones((2000, 32)), "1 distinct"),
        (np.zeros((2000, 32)), "all zero"),
        (cone(1200, 32).astype(complex), "complex"),
        (cone(1200, 32) > 0, "bool"),
        (np.full((1200, 32), "a"), "dtype"),
        (cone(1200, 32)[0], "1 distinct"),
    ],
)
def test_rows_that_cannot_train(tmp_path: Path, rows: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", rows)
    with pytest.raises(TrainingError, match=message):
        make_rates(tmp_path / "x.npy", tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": -1}, "hidden=-1"),
        ({"steps": -1}, "steps=-1"),
        ({"minutes": 1.0}, "minutes and steps exclude each other"),
        ({"steps": None, "minutes": 0.0}, r"minutes=0\.0 is not above 0"),
        ({"steps": None, "minutes": float("nan")}, "minutes=nan"),
        ({"rank": 5}, "rank=5: for a compact profile alone"),
        ({"device": "abacus"}, "device='abacus'"),
        ({"replay": -1}, "replay=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"text_weight": 1.0}, r"text_weight=1\.0"),
        ({"shrinkage": 1.5}, r"shrinkage=1\.5"),
        ({"shrinkage": float("nan")}, "shrinkage=nan"),
        ({"dropout": 0.95}, r"dropout=0\.95"),
        ({"cosine": 1.0}, r"cosine=1\.0"),
        ({"learning_rate": 0.0}, "learning_rate=0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
    ],
)
def test_predictive_settings_that_cannot_work(
    tmp_path: Path, cone_file: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        make_rates(cone_file, tmp_path / "p", replace(RATES, **change))
    assert not (tmp_path / "p").exists()


def test_texts_of_another_width_are_refused(tmp_path: Path, cone_file: Path) -> None:
    np.save(tmp_path / "text.npy", cone(30, 31))
    with pytest.raises(OptionError, match="text embeddings have 31 dimensions, the others 32"):
        make_rates(cone_file, tmp_path / "p", text_paths=[str(tmp_path / "text.npy")])


def test_steps_go_from_coarse_to_fine_at_the_rates_asked_for() -> None:
    """Reverse water-filling of a flat spectrum: half a bit an octave of variance over error."""
    from clipcodec.training.klt import ERROR, steps_for

    steps = steps_for(np.ones(8), 5, 0.5, 4.0)
    assert np.allclose(ERROR * steps[[0, -1]] ** 2, [2**-1.0, 2**-8.0], rtol=1e-3)
    assert np.allclose(steps[1:] / steps[:-1], (steps[-1] / steps[0]) ** 0.25, rtol=1e-4)
