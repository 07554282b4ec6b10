"""Codecs of others: sizes, known answers, what is kept, errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from clipcodec.entropy.ans import AnsDecoder
from clipcodec.errors import MissingDependencyError, OptionError
from clipcodec.evaluation.codecs import Coded, Training, parse_codec
from clipcodec.evaluation.peers import faiss_codecs, klt, levels, simple

DIM = 32


def made_up(count: int, seed: int) -> np.ndarray:
    """Unit rows around a mean, their spectrum falling."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(9).normal(size=(DIM, DIM)))[0]
    x = (rng.normal(size=(count, DIM)) / np.sqrt(np.arange(1, DIM + 1))) @ axes + 0.4
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


X = made_up(300, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    save_file({"embeddings": made_up(3000, 0)}, folder / "train.safetensors")
    return folder


@pytest.fixture(scope="module")
def training(folder: Path) -> Iterator[Training]:
    yield Training(folder)
    for cache in (faiss_codecs._fitted, klt.plain_klt, simple._tables, simple._around_mean):
        cache.cache_clear()


def cosine(coded: Coded, x: np.ndarray = X) -> float:
    assert coded.rows is not None
    y = coded.rows / np.linalg.norm(coded.rows, axis=1, keepdims=True)
    return float((x * y).sum(axis=1).mean())


def error(x: np.ndarray, coded: Coded) -> float:
    assert coded.rows is not None
    return float(((coded.rows - x) ** 2).sum(axis=1).mean())


def mean_bytes(coded: Coded) -> float:
    return float(coded.bytes.mean())


# every family

SPECS = [
    ("float16", 2 * DIM, "float16"),
    ("int8", DIM, "int8 (sentence-transformers)"),
    ("binary", DIM // 8, "binary (sentence-transformers)"),
    ("binary:centred", DIM // 8, "binary, centred"),
    ("truncate:8", 8, "truncated + int8"),
    ("truncate:pca,8", 8, "PCA, truncated + int8"),
    ("scalar:0.1", None, "scalar quantiser, rANS (lossyless, plain)"),
    ("pca:8", 8, "PCA, fixed length"),
    ("klt:0.1", None, "KLT + RDO, ideal entropy"),
]


@pytest.mark.parametrize(("spec", "size", "series"), SPECS)
def test_a_codec_has_its_size_and_series_and_codes_rows_apart(
    training: Training, spec: str, size: int | None, series: str
) -> None:
    codec = parse_codec(spec)
    coded = codec.code(X, training)
    assert (codec.spec, codec.series) == (spec, series)
    assert coded.rows is not None
    assert coded.rows.shape == X.shape
    assert coded.rows.dtype == np.float32
    assert coded.bytes.shape == (len(X),)
    if size is not None:
        assert set(coded.bytes.tolist()) == {size}
    assert codec.apart
    few = codec.code(X[:7], training)
    assert few.rows is not None
    np.testing.assert_allclose(few.rows, coded.rows[:7], atol=1e-6)
    np.testing.assert_allclose(few.bytes, coded.bytes[:7])
    package = Path(klt.__file__).parents[2]
    assert all(list(package.glob(pattern)) for pattern in codec.modules)


def test_the_better_form_of_each_is_better(training: Training) -> None:
    def of(spec: str) -> float:
        return cosine(parse_codec(spec).code(X, training))

    assert of("float16") > of("int8") > of("truncate:pca,16") > of("truncate:pca,8")
    assert of("binary:centred") > of("binary")
    assert of("truncate:pca,8") > of("truncate:8")
    assert of("int8") > 0.9999


@pytest.mark.parametrize(
    "spec",
    ["int8:4", "float16:x", "binary:sign", "truncate", "truncate:0", "truncate:pca", "scalar",
     "scalar:-1", "scalar:nan", "klt:inf", "pca", "pca:1.5", "bound:x", "faiss", "faiss:nonsense",
     "faiss:RaBitQQ", "faiss:PQ", "faiss:IVF16,Flat"],
)  # fmt: skip
def test_an_argument_that_makes_no_sense_is_named(spec: str) -> None:
    with pytest.raises(OptionError, match="expected") as caught:
        parse_codec(spec)
    assert spec.partition(":")[2] in str(caught.value)


def test_more_dimensions_than_there_are_is_an_error(training: Training) -> None:
    with pytest.raises(OptionError, match="32 dimensions or fewer"):
        parse_codec("truncate:33").code(X, training)


def test_without_training_rows_the_remedy_is_named() -> None:
    for spec in ("int8", "scalar:0.1", "pca:8", "bound:8", "truncate:8"):
        with pytest.raises(OptionError, match="--training"):
            parse_codec(spec).code(X, Training(None))


# formats with fewer bits


def test_int8_is_that_of_sentence_transformers() -> None:
    """Steps of a 255th of the range, rounded down, clipped; known numbers, and a constant."""
    low, high = np.array([0, 1], np.float32), np.array([255, 1], np.float32)
    x = np.array([[0, 1], [0.9, 1], [1, 1], [255, 1], [300, 1], [-5, 1]], np.float32)
    rows = simple.through_int8(x, low, high)
    assert rows[:, 0].tolist() == [0.5, 0.5, 1.5, 255.5, 255.5, 0.5]
    assert rows[:, 1].tolist() == [1.5] * 6


def test_binary_keeps_signs(training: Training) -> None:
    rows = parse_codec("binary").code(np.array([[0.0, -1e-9, 1e-9] + [1.0] * 29]), training).rows
    assert rows is not None
    assert rows[0, :4].tolist() == [-1, -1, 1, 1]


# the scalar quantiser


def test_rans_payloads_are_decoded_to_their_levels() -> None:
    """The sizes counted are those of payloads that hold everything; near the ideal size."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, DIM)) * np.linspace(0.1, 4, DIM)
    bits = levels.table_bits(levels.rounded(values))
    chosen = levels.rounded(3 * values[:50])  # levels that never occurred, too
    payloads = simple.rans_payloads(chosen, bits)
    left, width = simple.rans_intervals(bits)
    assert width.min() > 0
    assert (width.sum(axis=1) == 1 << 24).all()
    decoder = AnsDecoder(payloads)
    for d in reversed(range(DIM)):
        quantile = decoder.quantile()
        symbol = np.array([np.searchsorted(left[d], q, side="right") - 1 for q in quantile])
        assert (symbol - levels.HIGHEST == chosen[:, d]).all()
        decoder.advance(left[d, symbol], width[d, symbol], quantile)
    # of rows like those that the tables count: far levels are cheaper in 24 bits than in the tables
    near = levels.rounded(values[:50])
    sizes = np.array([len(payload) for payload in simple.rans_payloads(near, bits)])
    ideal = np.take_along_axis(bits, near.T + levels.HIGHEST, axis=1).sum(axis=0) / 8
    assert 0 < (sizes - ideal).mean() < 4


def test_the_scalar_quantiser_rounds_around_the_mean(training: Training) -> None:
    """The error is that of rounding, and half the step takes nearly one more bit a dimension."""
    coarse, fine = (parse_codec(f"scalar:{step}").code(X, training) for step in (0.06, 0.03))
    assert coarse.rows is not None
    steps = (coarse.rows - training.rows.mean(axis=0)) / 0.06
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert np.abs(coarse.rows - X).max() < 0.0301
    assert error(X, fine) == pytest.approx(DIM * 0.03**2 / 12, rel=0.05)
    assert 0.8 * DIM / 8 < mean_bytes(fine) - mean_bytes(coarse) <= DIM / 8


# the KLT and the bound


def test_the_bound_is_reverse_water_filling() -> None:
    """Four equal variances in b bits each leave 2^(−2b) of them; a dead one takes no bits."""
    flat = np.array([1.0, 1, 1, 1]) / 4
    assert klt.gaussian_cosine(flat, 1) == pytest.approx(1 - 0.5 / 16, abs=1e-6)
    uneven = np.append(flat, 1e-9)
    assert klt.gaussian_cosine(uneven, 1) == pytest.approx(1 - 0.5 / 16, abs=1e-6)
    sizes = [klt.gaussian_cosine(flat, size) for size in (0.5, 1, 2, 4)]
    assert sizes == sorted(sizes)


def test_the_bound_has_no_rows(training: Training) -> None:
    coded = parse_codec("bound:8").code(X, training)
    assert coded.rows is None
    assert mean_bytes(coded) == 8
    assert coded.cosine is not None
    assert cosine(parse_codec("pca:8").code(X, training)) < coded.cosine < 1


class Gaussian(Training):
    """Gaussian rows around a mean, their spectrum falling; norms are not one."""

    def __init__(self) -> None:
        super().__init__(None)
        x = np.random.default_rng(0).normal(size=(4000, 16)) / np.arange(1, 17) + 1
        self.rows = x.astype(np.float32)


def test_scalar_codecs_lie_above_the_bound_and_gain_by_bits() -> None:
    training = Gaussian()
    x = training.rows
    transform = klt.plain_klt(training)
    pca = [klt.pca_codec(transform, x, size) for size in (2, 4, 8)]
    assert [mean_bytes(coded) for coded in pca] == [2, 4, 8]
    rdo = [klt.klt_codec(transform, x, x, step) for step in (0.8, 0.4, 0.2)]
    for coded in (*pca, *rdo):
        least = 2 * (1 - klt.gaussian_cosine(transform.variance, mean_bytes(coded)))
        assert least * 0.98 < error(x, coded) < 4 * least
    for curve in (pca, rdo):
        assert [error(x, c) for c in curve] == sorted((error(x, c) for c in curve), reverse=True)
    # entropy-coded levels take fewer bits for the same error
    assert mean_bytes(rdo[2]) < 8
    at = np.interp(np.log(error(x, pca[1])), np.log([error(x, c) for c in rdo[::-1]]),
                   [mean_bytes(c) for c in rdo[::-1]])  # fmt: skip
    assert at < mean_bytes(pca[1])


def test_the_size_of_unseen_rows_counts_levels_never_trained_on() -> None:
    training = Gaussian()
    x, transform = training.rows, klt.plain_klt(training)
    far = klt.klt_codec(transform, x, 3 * x[:50], 0.2)
    assert np.isfinite(far.bytes).all()
    assert mean_bytes(far) > mean_bytes(klt.klt_codec(transform, x, x[:50], 0.2))


# faiss


FAISS = [
    ("PQ4x6np", 3, "faiss PQ"), ("OPQ4,PQ4x6np", 3, "faiss OPQ"),
    ("OPQ3_30,PQ3x8np", 3, "faiss OPQ"), ("RQ2x4", 1, "faiss RQ"),
    ("LSQ4x4", 2, "faiss LSQ, fewer rounds"), ("SQ4", 16, "faiss SQ"),
    ("PCAR32,SQ4", 16, "faiss PCA + SQ"),
    ("RR,RaBitQ", 12, "faiss RaBitQ"), ("RR,SQtqmse4", 16, "faiss TurboQuant"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "size", "series"), FAISS)
def test_a_faiss_codec_has_the_size_its_name_says(
    folder: Path, name: str, size: int, series: str
) -> None:
    pytest.importorskip("faiss")
    codec = parse_codec(f"faiss:{name}")
    coded = codec.code(X, Training(folder, quick=True))
    assert (codec.series, codec.setting) == (series, name)
    assert codec.weights.startswith("faiss 1.")
    assert set(coded.bytes.tolist()) == {size}
    assert error(X, coded) < X.var(axis=0).sum()
    assert codec.apart == ("LSQ" not in name)


def test_rabitq_of_more_bits_is_decoded_to_what_its_search_estimates(training: Training) -> None:
    """Its distances to queries are those from the decoded rows, with the rows' own norms."""
    pytest.importorskip("faiss")
    errors = []
    for bits in (2, 4):
        name = f"RaBitQ{bits}"
        coded = parse_codec(f"faiss:{name}").code(X, training)
        assert coded.rows is not None
        errors.append(error(X, coded))
        rotated = parse_codec(f"faiss:RR,{name}").code(X, training)
        assert error(X, rotated) < 2 * errors[-1]
        index = faiss_codecs.import_faiss().IndexRaBitQ(DIM, 1, bits)
        index.train(training.rows)
        index.qb = 0  # queries are not quantised
        index.add(X)
        queries = made_up(5, 3)
        distances, order = index.search(queries, len(X))
        centre = faiss_codecs.import_faiss().vector_to_array(index.center)
        own = ((X - centre) ** 2).sum(axis=1)
        expected = (
            ((queries - centre) ** 2).sum(axis=1, keepdims=True)
            + own
            - 2 * (queries - centre) @ (coded.rows - centre).T
        )
        np.testing.assert_allclose(
            distances, np.take_along_axis(expected, order, axis=1), atol=1e-4
        )
    assert errors[1] < errors[0] / 4


def test_a_fitted_index_is_kept_and_found_again(folder: Path, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    kept = tmp_path / "kept"
    codec = parse_codec("faiss:PQ4x4np")
    first = codec.code(X, Training(folder, kept=kept)).rows
    assert first is not None
    (file,) = kept.iterdir()
    index = faiss.deserialize_index(np.frombuffer(file.read_bytes(), np.uint8))
    # a changed file shows in the rows: it is the file that is used
    codebooks = faiss.vector_to_array(index.pq.centroids)
    faiss.copy_array_to_vector(2 * codebooks, index.pq.centroids)
    codes = faiss.read_index(str(file)).sa_encode(X)
    np.testing.assert_array_equal(faiss.read_index(str(file)).sa_decode(codes), first)
    file.write_bytes(faiss.serialize_index(index).tobytes())
    again = codec.code(X, Training(folder, kept=kept)).rows
    assert again is not None
    assert not np.allclose(again, first)
    # other settings, other rows and another name are other files
    codec.code(X, Training(folder, kept=kept, quick=True))
    parse_codec("faiss:PQ2x4np").code(X, Training(folder, kept=kept))
    assert len(list(kept.iterdir())) == 3
    file.write_bytes(b"noise")
    with pytest.raises(OptionError, match=rf"{file.name}.*delete it"):
        codec.code(X, Training(folder, kept=kept))


def test_coding_twice_fits_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    codec, training = parse_codec("faiss:PQ4x4np"), Training(folder)
    codec.code(X, training)
    monkeypatch.setattr(faiss, "index_factory", None)
    codec.code(X[:5], training)


def test_settings_are_those_of_the_authors_or_shorter() -> None:
    """Few are changed: OPQ has all its rounds and rows; `@authors` changes none."""
    faiss = pytest.importorskip("faiss")
    index, settings = faiss_codecs.unfitted("OPQ4,PQ4x4np", DIM)
    opq = faiss.downcast_VectorTransform(index.chain.at(0))
    assert (opq.niter, opq.max_train_points, settings) == (50, 65536, {})
    assert faiss_codecs.unfitted("RQ2x4@authors", DIM)[1] == {}
    quick, _ = faiss_codecs.unfitted("LSQ4x4", DIM, quick=True)
    shorter, _ = faiss_codecs.unfitted("LSQ4x4", DIM)
    lsq, _ = faiss_codecs.unfitted("LSQ4x4@authors", DIM)
    assert (lsq.lsq.train_iters, lsq.lsq.train_ils_iters) == (25, 8)
    assert quick.lsq.train_iters < shorter.lsq.train_iters < 25
    assert shorter.lsq.encode_ils_iters == lsq.lsq.encode_ils_iters == 16
    rq, _ = faiss_codecs.unfitted("RQ2x4", DIM)
    assert (rq.rq.train_type, rq.rq.max_beam_size) == (faiss.ResidualQuantizer.Train_default, 5)
    codec = parse_codec("faiss:RQ2x4@authors")
    assert (codec.series, codec.setting) == ("faiss RQ, authors' settings", "RQ2x4")


def test_a_name_that_faiss_does_not_take_is_an_error_in_words(training: Training) -> None:
    pytest.importorskip("faiss")
    with pytest.raises(OptionError, match=r"no codec 'PQ5x8' for rows of 32: .*multiple"):
        parse_codec("faiss:PQ5x8").code(X, training)
    with pytest.raises(OptionError, match="no codec 'Foo3,SQ8' for rows of 32"):
        parse_codec("faiss:Foo3,SQ8").code(X, training)


def test_missing_faiss_is_named_when_rows_are_coded(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = parse_codec("faiss:SQ8")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "clipcodec\[evaluation\]"'):
        codec.code(X, training)
