"""clipcodec.evaluation.heads: measures with known answers, the files of heads, the study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from clipcodec.errors import EmbeddingError, OptionError
from clipcodec.evaluation import heads
from clipcodec.evaluation.codecs import Coded
from clipcodec.evaluation.results import Results
from clipcodec.evaluation.sets import EmbeddingSet
from tests.helpers.profiles import drawn

LAION = "LAION-AI/aesthetic-predictor"
SIMULACRA = "crowsonkb/simulacra-aesthetic-models"
FAKE = "WisconsinAIVision/UniversalFakeDetect"


def unit(x: object) -> np.ndarray:
    rows = np.asarray(x, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def write_head(path: Path, weight: object, bias: float = 0.0, prefix: str = "", **info: Any
               ) -> Path:  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    tensors = {
        f"{prefix}weight": np.atleast_2d(np.asarray(weight, np.float32)),
        f"{prefix}bias": np.array([bias], np.float32),
    }
    save_file(tensors, path, {"info": json.dumps(info)})
    return path


# measures


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert heads.ranks(np.array([10.0, 20, 20, 5])).tolist() == [2, 3.5, 3.5, 1]
    assert heads.ranks(np.array([7.0, 7, 7])).tolist() == [2, 2, 2]


def test_correlations_of_known_lists() -> None:
    a = np.array([1.0, 2, 3, 4, 5])
    assert heads.pearson(a, 3 * a - 7) == pytest.approx(1)
    assert heads.spearman(a, np.exp(a)) == pytest.approx(1)
    assert heads.pearson(a, np.exp(a)) < 0.9
    assert heads.spearman(a, -(a**3)) == pytest.approx(-1)
    # without ties it is 1 − 6 Σ d² / (n (n² − 1)): here d = (1, −1, 0, 2, −2)
    assert heads.spearman(a, np.array([2.0, 1, 3, 6, 3.5]) * 1.0) == pytest.approx(0.8)
    # ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5 / √(4.5 · 5)
    tied = heads.spearman(np.array([0.0, 1, 1, 2]), np.array([0.0, 1, 2, 3]))
    assert tied == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert heads.spearman(np.ones(3), a[:3]) == 0


def test_changes_of_a_score_are_in_its_units() -> None:
    """Scores 10 · (first number) + 1: one of two rows loses 2 units, the other stays."""
    head = heads.Head("a", np.array([10.0, 0]), 1.0)
    before, after = unit([[0.6, 0.8], [0.8, 0.6]]), unit([[0.6, 0.8], [0.6, 0.8]])
    assert head.scores(before) == pytest.approx([7, 9], rel=1e-6)
    found = heads.compare(head, before, after)
    assert found["change"] == pytest.approx(1, rel=1e-5)
    assert found["shift"] == pytest.approx(-1, rel=1e-5)
    assert found["change95"] == pytest.approx(2 * 0.95, rel=1e-5)
    assert found["relative"] == pytest.approx(1, rel=1e-5)  # the deviation of 7 and 9 is 1
    assert found["rank"] == found["pearson"] == 0  # decoded, both are the same
    assert "stay" not in found
    same = heads.compare(head, before, before)
    assert same["rank"] == pytest.approx(1)
    assert same["change"] == same["shift"] == 0


def test_decisions_of_a_logit_depend_on_the_length_of_embeddings() -> None:
    """Cosines .6 and .8 to the weight, bias −14: above zero from the lengths 23.3 and 17.5 on."""
    head = heads.Head("a", np.array([1.0, 0]), -14.0, length=20.0, logit=True)
    before, after = unit([[0.6, 0.8], [0.8, 0.6]]), unit([[0.6, 0.8], [0.6, 0.8]])
    found = heads.compare(head, before, after)
    assert found["change"] == pytest.approx(2, rel=1e-5)  # (0 + 20 · 0.2) / 2
    assert found["stay"] == 0.5
    assert found["stay_at_15"] == 1  # 12 − 14 and 9 − 14: both below
    assert found["stay_at_25"] == 1  # 20 − 14 and 15 − 14: both above
    assert found["positive"] == 0
    assert heads.summary(head, before)["positive"] == 0.5


# files


def test_a_head_is_read_with_its_scale(tmp_path: Path) -> None:
    plain = heads.load_head(write_head(tmp_path / "plain.safetensors", [1, 2, 3, 4], 0.5))
    assert (plain.name, plain.dim, plain.bias, plain.length, plain.logit) == (
        "plain", 4, 0.5, 1, False,
    )  # fmt: skip
    own = write_head(tmp_path / "own.safetensors", [1, 2], prefix="linear.", scale=3, kind="logit")
    assert (heads.load_head(own).length, heads.load_head(own).logit) == (3, True)
    for repo, length, logit in ((LAION, 1, False), (SIMULACRA, 2, False), (FAKE, 20, True)):
        head = heads.load_head(write_head(tmp_path / "x.safetensors", [1, 0, 0, 0], repo=repo))
        assert (head.length, head.logit) == (length, logit)


@pytest.mark.parametrize(
    ("info", "words"),
    [({"scale": "raw"}, "expected unit, sqrt or a length"), ({"scale": -1}, "a length"),
     ({"scale": True}, "a length"), ({"kind": "vote"}, "expected score or logit")],
)  # fmt: skip
def test_a_head_that_says_something_unknown_is_refused(
    tmp_path: Path, info: dict[str, Any], words: str
) -> None:
    path = write_head(tmp_path / "a.safetensors", [1, 2], **info)
    with pytest.raises(EmbeddingError, match=words) as error:
        heads.load_head(path)
    assert "a.safetensors" in str(error.value)


def test_files_that_are_no_heads_are_named(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(b"noise")
    with pytest.raises(EmbeddingError, match=r"b\.safetensors is not a readable head"):
        heads.load_head(path)
    save_file({"weight": np.ones((1, 4), np.float32)}, path)
    with pytest.raises(EmbeddingError, match=r"tensors \['weight'\]: expected weight and bias"):
        heads.load_head(path)
    save_file({"weight": np.ones((2, 4), np.float32), "bias": np.ones(2, np.float32)}, path)
    with pytest.raises(EmbeddingError, match=r"weight \(2, 4\), bias \(2,\)"):
        heads.load_head(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmbeddingError, match="holds no heads"):
        heads.load_heads(tmp_path / "empty")


# the study


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Few rows of each model, and a head of each width; one size."""
    monkeypatch.setattr(heads, "SIZES", (50,))
    monkeypatch.setattr(heads, "MEANS", ())
    rng = np.random.default_rng(0)
    for model, profile in heads.PROFILES.items():
        (tmp_path / model).mkdir()
        rows = drawn(16, profile)
        if model == heads.B32:
            save_file({"embeddings": rows}, tmp_path / model / "test_few.safetensors")
        else:
            parts = {"things": rows[:6].copy(), "news_336px": rows[6:].copy()}
            save_file(parts, tmp_path / model / "test.safetensors")
    folder = tmp_path / "heads"
    write_head(folder / "b32.safetensors", rng.normal(size=512), 5, repo=SIMULACRA)
    write_head(folder / "l14.safetensors", rng.normal(size=768), repo=FAKE)
    return tmp_path


def test_the_study_measures_each_head_on_rows_of_its_width_and_resumes(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data / "heads.json"

    def study() -> tuple[Results, list[str]]:
        results = Results.load(path, "study")
        return results, heads.study(data, data / "heads", results, quiet=True)

    results, failed = study()
    assert failed == []
    assert list(results.points) == [
        "clip-vit-b-32-openai: original",
        "clip-vit-b-32-openai: openai-vit-b-32/predictive@max_bytes=50",
        "clip-vit-l-14-openai: original",
        "clip-vit-l-14-openai: openai-vit-l-14-336/predictive@max_bytes=50",
    ]
    b32, l14 = (results.points[key] for key in list(results.points)[1::2])
    assert list(b32["heads"]) == ["b32"]
    assert 0.5 < b32["heads"]["b32"]["rank"] < 1
    assert list(l14["heads"]["l14"]["sets"]) == ["things", "news_336px"]
    assert 30 < b32["bytes"] <= b32["most"] <= 50
    assert b32["images"] == 16

    measured: list[int] = []
    measure = heads.Heads.measure

    def counting(self: heads.Heads, coded: Coded) -> dict[str, object]:
        measured.append(len(self.rows))
        return measure(self, coded)

    monkeypatch.setattr(heads.Heads, "measure", counting)
    first = path.read_bytes()
    study()
    assert measured == []
    assert path.read_bytes() == first
    write_head(data / "heads" / "b32.safetensors", np.ones(512), repo=SIMULACRA)
    study()
    assert measured == [16]  # the head of the other width has not changed


def test_other_codecs_are_measured_beside_ours(data: Path) -> None:
    (data / "heads" / "l14.safetensors").unlink()
    results = Results.load(data / "heads.json", "study")
    spec = "any/rotation@max_bytes=200"
    heads.study(data, data / "heads", results, specs=[spec], quiet=True)
    point = results.points[f"{heads.B32}: {spec}"]
    assert point["series"] == "any/rotation"
    assert point["heads"]["b32"]["rank"] > 0.9


def test_a_bound_has_no_rows_to_score(data: Path) -> None:
    rows = drawn(4)
    group = heads.Heads(heads.B32, [heads.Head("a", np.ones(512), 0)],
                        [EmbeddingSet("few", rows, "")])  # fmt: skip
    with pytest.raises(OptionError, match="a bound has no rows"):
        group.measure(Coded(None, np.array([5.0]), 0.9))


def test_the_command_prints_a_table_and_names_what_is_missing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "heads.json"
    (data / "heads" / "l14.safetensors").unlink()
    arguments = [str(data), str(data / "heads"), "-o", str(out), "-q"]
    assert heads.main([*arguments, "--rows", "2", "--codec", "any/rotation@max_bytes=4"]) == 1
    done = capsys.readouterr()
    assert "heads: clip-vit-b-32-openai: any/rotation@max_bytes=4: " in done.err
    assert "openai-vit-b-32/predictive@max_bytes=50" in done.out
    assert json.loads(out.read_text("utf-8"))["command"] == (
        "python -m clipcodec.evaluation.heads DATA DATA/heads --codec any/rotation@max_bytes=4 "
        "--rows 2"
    )
    write_head(data / "heads" / "odd.safetensors", np.ones(8))
    assert heads.main(arguments) == 1
    assert "has no rows for odd (8 dimensions)" in capsys.readouterr().err
