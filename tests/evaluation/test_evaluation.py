"""clipcodec.evaluation: metrics with known answers, reference codecs, the report as a whole."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from clipcodec.errors import EmbeddingError
from clipcodec.evaluation import figures, metrics, report

DIM = 8  # of the tiny profile


def unit(x: object) -> np.ndarray:
    rows = np.asarray(x, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def write_folder(folder: Path, *, dim: int = DIM, seed: int = 0) -> Path:
    """A data folder of random clusters: 6 ImageNet classes, 2 held out, and one test set."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(6, dim)) + 1)

    def rows(labels: np.ndarray) -> np.ndarray:
        noise = 0.05 * rng.normal(size=(len(labels), dim))
        return unit(centres[labels] + noise).astype(np.float16)

    labels = np.arange(60) % 6
    imagenet = {
        "embeddings": rows(labels),
        "labels": labels,
        "class_is_val": np.array([0, 1, 0, 0, 1, 0], np.uint8),
        "text_ensemble": centres.astype(np.float16),
    }
    few = np.arange(30) % 3
    test = {"embeddings": rows(few), "labels": few, "support": rows(few), "support_labels": few}
    folder.mkdir()
    save_file(imagenet, folder / "imagenet.safetensors")
    save_file(test, folder / "test_things.safetensors")
    save_file({"embeddings": rows(np.arange(400) % 6)}, folder / "train.safetensors")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


# metrics


def test_top1_counts_the_most_similar_reference() -> None:
    rows = unit([[1, 0], [1, 0.1], [0, 1], [1, 2]])
    references = unit([[1, 0], [0, 1]])
    assert metrics.top1(rows, references, np.array([0, 0, 1, 0])) == 0.75


def test_divergence_of_two_known_distributions() -> None:
    """An image as close to both texts, decoded a little closer to one of them."""
    texts = unit([[1, 0], [0, 1]])
    assert metrics.divergence(texts, texts, texts) == 0
    even = unit([[1, 1]])
    tilted = unit([[1, 1.02]])
    logits = 100 * (tilted @ texts.T)[0].astype(np.float64)
    q = np.exp(logits - logits.max())
    q /= q.sum()
    expected = (0.5 * np.log(0.5 / q)).sum()
    assert metrics.divergence(even, tilted, texts) == pytest.approx(expected, rel=1e-4)
    assert expected > 0.1


def test_text_to_image_is_precision_at_the_class_size() -> None:
    texts = unit([[1, 0], [0, 1]])
    rows = unit([[1, 0.1], [1, 0.2], [0.1, 1]])
    assert metrics.text_to_image(rows, texts, np.array([0, 0, 1])) == 1
    # the first text finds rows 0 and 1, of which one is its own; the second row 2, which is not
    assert metrics.text_to_image(rows, texts, np.array([0, 1, 0])) == pytest.approx((0.5 + 0) / 2)


def test_neighbours_leave_out_the_row_itself() -> None:
    rows = unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    found = metrics.nearest(rows, 1)
    assert found.tolist() == [[1], [0], [3], [2]]
    assert metrics.nearest(rows, 10).shape == (4, 3)
    assert metrics.overlap(found, found) == 1
    assert metrics.overlap(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 5]])) == 0.75


def test_only_held_out_classes_are_evaluated_and_the_others_train(data: Path) -> None:
    evaluation = metrics.load_evaluation(data)
    assert [task.name for task in evaluation.tasks] == ["zero-shot", "things"]
    assert [len(task.rows) for task in evaluation.tasks] == [20, 30]
    assert evaluation.tasks[0].references.shape == (2, DIM)
    assert set(evaluation.tasks[0].labels.tolist()) == {0, 1}
    assert len(metrics.load_training(data)) == 400 + 3 * 40
    assert len(metrics.load_training(data, imagenet=1)) == 400 + 40


def test_scores_of_the_originals_and_of_noise(data: Path) -> None:
    evaluation = metrics.load_evaluation(data)
    perfect = evaluation.score(7 * evaluation.rows)  # norms do not matter
    assert perfect.cosine == pytest.approx(1)
    assert perfect.cosine05 == pytest.approx(1)
    assert perfect.kl == pytest.approx(0, abs=1e-5)
    assert (perfect.zero_shot, perfect.neighbours, perfect.text_image) == (1, 1, 1)
    assert perfect.top1 == {"things": 1}
    rng = np.random.default_rng(0)
    noise = evaluation.score(rng.normal(size=evaluation.rows.shape).astype(np.float32))
    assert noise.cosine05 < noise.cosine < 0.5
    assert noise.kl > 1
    assert noise.zero_shot < 1
    assert noise.neighbours < 0.8


def test_a_file_without_its_tensors_is_named(data: Path) -> None:
    save_file({"embeddings": np.ones((2, DIM), np.float16)}, data / "test_things.safetensors")
    with pytest.raises(EmbeddingError, match=r"test_things\.safetensors has no tensors \['labels'"):
        metrics.load_evaluation(data)
    (data / "imagenet.safetensors").write_bytes(b"noise")
    with pytest.raises(EmbeddingError, match=r"imagenet\.safetensors is not a readable"):
        metrics.load_evaluation(data)


# the report


def rows_of(page: Path) -> dict[tuple[str, str], list[str]]:
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {(row[0], row[1]): row[2:] for row in cells}


def test_the_report_on_a_tiny_folder(data: Path, tmp_path: Path, tiny_path: Path) -> None:
    """The codecs' rows alone: a file of one rate, and the untrained profile where it reaches."""
    out = tmp_path / "out"
    arguments = ["-o", str(out), "--profile", str(tiny_path), "--max-bytes", "2", "12"]
    done = report.main([str(data), *arguments, "--no-baselines", "--no-figures"])
    assert done == 0
    rows = rows_of(out / report.TABLE)
    assert list(rows) == [
        ("uncompressed", "float32"), ("private/tiny", ""), ("any/rotation", "max_bytes=12"),
    ]  # fmt: skip
    assert rows["uncompressed", "float32"][:4] == ["32", "32", "1.0000", "1.0000"]
    mean, most, cosine = (float(c) for c in rows["any/rotation", "max_bytes=12"][:3])
    assert 0 < mean <= most <= 12
    assert 0.5 < cosine <= 1
    assert "any/rotation max_bytes=2" in (out / report.TABLE).read_text("utf-8")
    assert [path.name for path in out.iterdir()] == [report.TABLE]


def test_a_report_with_all_of_it(
    data: Path, tmp_path: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(baselines, "PCA_BYTES", (2,))
    monkeypatch.setattr(baselines, "KLT_STEPS", (0.1,))
    out = tmp_path / "out"
    options = {"profile": str(tiny_path), "budgets": [12], "rows": 300, "quiet": True,
               "faiss": ("PQ2x4np",)}  # fmt: skip
    points = report.run(data, out, **options)  # type: ignore[arg-type]
    assert {point.series for point in points} == {
        "private/tiny", "any/rotation", "faiss PQ", "PCA, fixed length",
        "KLT + RDO, ideal entropy", "Gaussian bound",
    }  # fmt: skip
    assert "fitted to 300 rows" in (out / report.TABLE).read_text("utf-8")
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(first) == sorted([report.TABLE, figures.COSINE, figures.ZERO_SHOT])
    report.run(data, out, **options)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_missing_extras_are_named(
    data: Path, tmp_path: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = [str(data), "-o", str(tmp_path / "out"), "--profile", str(tiny_path)]
    for module, option in (("faiss", "--no-figures"), ("matplotlib", "--no-baselines")):
        monkeypatch.setitem(sys.modules, module, None)
        assert report.main([*arguments, option]) == 1
        error = capsys.readouterr().err
        assert f'{module} is missing: pip install "clipcodec[evaluation]"' in error
    assert not (tmp_path / "out").exists()


def test_an_unknown_profile_or_folder_is_an_error_in_words(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-o", str(tmp_path / "out"), "--no-baselines", "--no-figures"]
    assert report.main([str(data), *options, "--profile", "no/such"]) == 1
    assert "no profile 'no/such'" in capsys.readouterr().err
    assert report.main([str(tmp_path / "nowhere"), *options]) == 1
    assert "report: " in capsys.readouterr().err
