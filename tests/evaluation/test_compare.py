"""clipcodec.evaluation.compare: profiles beside each other on rows of a user's own."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, Target, TextEmbeddings
from clipcodec.container.profiles import to_embed
from clipcodec.errors import BackboneWarning, EmbeddingError, OptionError, ProfileError
from clipcodec.evaluation import sample
from clipcodec.evaluation.compare import compare
from clipcodec.evaluation.metrics import divergence
from clipcodec.profile.file import Profile
from clipcodec.profile.registry import DEFAULT, by_name
from tests.helpers.profiles import cone, drawn
from tests.helpers.sets import unit

SIX = Target(max_bytes=14)
ROWS = cone(120, 24, seed=3)
CLASSES = np.arange(120) % 3
TEXTS = TextEmbeddings(("cat", "dog", "owl"), unit(np.random.default_rng(4).normal(size=(3, 24))))


def of_classes() -> np.ndarray:
    """Rows about three directions, which a coarse stream does not mix up."""
    noise = np.random.default_rng(5).normal(size=(120, 24))
    return unit(TEXTS.embeddings[CLASSES] + 0.05 * noise)


def found_at(comparison: Any, profile: str, target: Target) -> dict[str, float]:
    (point,) = [p for p in comparison.points if (p.profile.name, p.target) == (profile, target)]
    return dict(point.found)


# --- what is measured ---


def test_a_point_is_what_encoding_and_decoding_give(rates: Profile) -> None:
    """Bytes of whole streams, cosines to the rows, and neighbours, all rows being decoded."""
    comparison = compare(ROWS, [rates, "any/rotation"], targets=[SIX, Target(mean_bytes=12)])
    assert [(p.profile.name, p.target.mean_bytes) for p in comparison.points] == [
        ("private/rates", None), ("any/rotation", None),
        ("private/rates", 12), ("any/rotation", 12),
    ]  # fmt: skip
    codec = Codec(rates)
    streams = codec.encode_embeddings(ROWS, SIX)
    decoded = codec.decode_batch(streams)
    cosines = (ROWS * decoded).sum(axis=1)
    found = found_at(comparison, "private/rates", SIX)
    assert found["bytes"] == pytest.approx(np.mean([len(s) for s in streams]), abs=1e-4)
    assert found["most"] == max(map(len, streams)) <= 14
    assert found["cosine"] == pytest.approx(cosines.mean(), abs=1e-4)
    assert found["cosine05"] == pytest.approx(np.quantile(cosines, 0.05), abs=1e-4)
    order = [np.argsort(-(x @ x.T - 3 * np.eye(120)), axis=1)[:, :10] for x in (ROWS, decoded)]
    kept = np.mean([len({*a} & {*b}) / 10 for a, b in zip(*order, strict=True)])
    assert found["neighbours"] == pytest.approx(kept, abs=0.01)
    mean = found_at(comparison, "any/rotation", Target(mean_bytes=12))
    assert mean["bytes"] == pytest.approx(12, rel=0.05)


def test_without_profiles_those_that_are_shipped_for_the_width() -> None:
    comparison = compare(np.random.default_rng(0).normal(size=(12, 512)), targets=[SIX])
    names = [profile.name for profile in comparison.profiles]
    assert names == ["openai-vit-b-32/predictive", "any/rotation"]


def test_a_profile_given_twice_is_compared_once(rates: Profile, rates_path: Path) -> None:
    comparison = compare(ROWS, [str(rates_path), rates, rates_path], targets=[SIX])
    assert [profile.name for profile in comparison.profiles] == [str(rates_path)]


def test_a_profile_may_lie_in_a_container(rates: Profile, tmp_path: Path) -> None:
    path = tmp_path / "rows.clpc"
    with clipcodec.create(path, profile=rates) as writer:
        writer.extend(Codec(rates).encode_embeddings(ROWS[:5]))
    carried = compare(ROWS, [path], targets=[SIX])
    assert carried.profiles[0].name == str(path)
    assert carried.points[0].found == compare(ROWS, [rates], targets=[SIX]).points[0].found


def test_many_rows_are_sampled_the_same_way_each_time() -> None:
    first, again, other = (
        compare(ROWS, ["any/rotation"], targets=[SIX], sample=60, seed=seed) for seed in (0, 0, 1)
    )
    assert (first.rows, first.given, first.items) == (60, 120, 120)
    assert first.points[0].found == again.points[0].found != other.points[0].found
    assert first.lines()[0].startswith("60 rows of 120 ")


def test_labels_are_told_before_and_after_by_other_rows() -> None:
    """In each class half of the rows are examples; they are neither measured nor compressed."""
    comparison = compare(of_classes(), ["any/rotation"], targets=[Target(max_bytes=20)],
                         labels=np.array(["a", "b", "c"])[CLASSES])  # fmt: skip
    assert (comparison.rows, comparison.examples) == (60, 60)
    assert comparison.original["knn"] == comparison.original["prototype"] == 1
    found = found_at(comparison, "any/rotation", Target(max_bytes=20))
    assert 0.9 < found["knn"] <= 1
    assert "top1" not in found
    mixed = compare(ROWS, ["any/rotation"], targets=[SIX], labels=CLASSES)
    assert mixed.original["knn"] < 0.6  # rows that have no classes: the measure can fail
    assert mixed.lines()[1].startswith("uncompressed")


def test_labels_belong_to_their_rows_when_some_are_drawn() -> None:
    rows = of_classes()
    drawn = sample.draw([sample.Part(rows[:50]), sample.Part(rows[50:])], 20, labels=CLASSES)
    assert len(drawn.data.rows) + drawn.examples == 40
    data = drawn.data
    assert data.labels is not None
    assert data.support is not None
    assert data.support_labels is not None
    for x, labels in ((data.rows, data.labels), (data.support, data.support_labels)):
        assert (x @ TEXTS.embeddings.T).argmax(axis=1).tolist() == labels.tolist()


def test_texts_say_which_stays_nearest_and_how_much_probabilities_change(rates: Profile) -> None:
    comparison = compare(ROWS, [rates], targets=[SIX], texts=TEXTS)
    codec = Codec(rates)
    decoded = codec.decode_batch(codec.encode_embeddings(ROWS, SIX))
    found = found_at(comparison, "private/rates", SIX)
    before, after = ((x @ TEXTS.embeddings.T).argmax(axis=1) for x in (ROWS, decoded))
    assert found["agree"] == pytest.approx((before == after).mean(), abs=1e-4)
    assert found["kl"] == pytest.approx(divergence(ROWS, decoded, TEXTS.embeddings), abs=1e-4)
    assert "top1" not in found


def test_probabilities_are_those_of_the_texts_own_temperature(rates: Profile) -> None:
    cool = TextEmbeddings(TEXTS.names, TEXTS.embeddings, temperature=10)
    kl = [
        found_at(compare(ROWS, [rates], targets=[SIX], texts=texts), "private/rates", SIX)["kl"]
        for texts in (TEXTS, cool)
    ]
    assert 0 < kl[1] < kl[0] / 5


@pytest.mark.parametrize("by_name", [True, False])
def test_labels_with_texts_are_their_names_or_numbers(by_name: bool) -> None:
    labels = np.array(TEXTS.names)[CLASSES] if by_name else CLASSES
    comparison = compare(of_classes(), ["any/rotation"], targets=[SIX], labels=labels, texts=TEXTS)
    assert comparison.original["top1"] == 1


# --- what does not fit is said ---


def test_rows_unlike_those_of_a_profile_are_named_once_in_the_table(rates: Profile) -> None:
    strangers = np.random.default_rng(6).normal(size=(80, 24))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no BackboneWarning beside it
        found = compare(strangers, [rates, "any/rotation"], targets=[SIX, Target(quality=30)])
    lines = found.lines("clipcodec compress x.npy --train")
    (unlike,) = [line for line in lines if "unlike those it was made for" in line]
    assert unlike.startswith("private/rates: these rows are unlike")
    assert "cosine to its mean" in unlike
    assert lines[-1].endswith("train one: clipcodec compress x.npy --train")
    assert not found.fits
    with pytest.warns(BackboneWarning):  # as the library says it
        Codec(rates).encode_embeddings(strangers, SIX)


def test_a_few_rows_that_are_unlike_are_counted() -> None:
    """The profile is still the one to take."""
    rows = drawn(60)
    rows[:3] = -rows[:3]
    found = compare(rows, targets=[Target(max_bytes=50)])
    assert found.profiles[0].strays == pytest.approx(3 / 60)
    assert str(found.profiles[0].unlike).startswith("3 of 60 rows are unlike those")
    assert found.fits


def test_rows_that_are_texts_are_called_so() -> None:
    """Of the model that the profile is for; they lie elsewhere than its images."""
    statistics = by_name(DEFAULT).statistics
    assert statistics is not None
    assert statistics.text is not None
    noise = np.random.default_rng(8).normal(size=(60, 512)) / 40
    found = compare(statistics.text + noise, [DEFAULT], targets=[Target(max_bytes=50)])
    assert found.profiles[0].unlike == (
        "these rows are texts, and it is made for images of its model"
    )


def test_where_a_trained_profile_is_best_nothing_is_advised() -> None:
    """Rows as the default profile knows them."""
    sizes = [Target(max_bytes=25), Target(max_bytes=40)]
    found = compare(drawn(25), targets=sizes)
    assert found.fits
    best = [point for size in sizes if (point := found.best(size)) is not None]
    assert [point.profile.name for point in best] == [DEFAULT] * 2
    cosines = " and ".join(f"{point.found['cosine']:.3f}" for point in best)
    assert found.lines("train")[-1] == f"at 25 and 40 bytes {DEFAULT} keeps most: cosine {cosines}"


def test_for_a_cosine_the_fewest_bytes_are_best_and_of_a_quality_nothing(rates: Profile) -> None:
    cosine, quality = Target(min_cosine=0.9), Target(quality=30)
    found = compare(ROWS, [rates, "any/rotation"], targets=[cosine, quality])
    best = found.best(cosine)
    assert best is not None
    assert best.found["bytes"] == min(p.found["bytes"] for p in found.points[:2])
    assert found.best(quality) is None
    assert found.lines()[-1] == (
        f"for a cosine of 0.9 {best.profile.name} takes the fewest bytes: {best.found['bytes']:.1f}"
    )


def test_out_of_reach_is_a_reason_in_the_table_and_the_others_go_on(tiny: Profile) -> None:
    """Too few bytes; and a profile of one rate has no qualities."""
    rows = cone(60, 8)
    targets = [Target(max_bytes=2), Target(quality=30), Target(max_bytes=20)]
    found = compare(rows, [tiny, "any/rotation"], targets=targets)
    reasons = [point.reason for point in found.points]
    assert "max_bytes is 2" in str(reasons[0])
    assert "one fixed rate" in str(reasons[2])
    assert reasons[3:] == [None] * 3
    (line,) = [line for line in found.lines() if "one fixed rate" in line]
    assert line.startswith("  private/tiny")
    assert len([line for line in found.lines() if line.startswith("  ")]) == 6


def test_some_rows_out_of_reach_are_counted(rates: Profile) -> None:
    """Half of the rows reach the cosine at the highest quality, and some more by a search."""
    codec = Codec(rates)
    cosines = (codec.decode_batch(codec.encode_embeddings(ROWS, quality=100)) * ROWS).sum(axis=1)
    median = float(np.median(cosines))
    found = compare(ROWS, [rates], targets=[Target(min_cosine=median)]).points[0]
    assert not found.found
    assert re.match(r"[2-4]\d of 120 rows: cosine", str(found.reason))
    assert "embedding" not in str(found.reason)  # its number in the sample says nothing


def test_a_profile_of_another_width_is_named_and_left_out(rates: Profile, tiny: Profile) -> None:
    found = compare(ROWS, [tiny, rates], targets=[SIX])
    assert [profile.name for profile in found.profiles] == ["private/rates"]
    assert found.left_out == ("private/tiny takes 8 dimensions, these rows have 24",)
    assert "left out: private/tiny takes 8 dimensions, these rows have 24" in found.lines()
    with pytest.raises(EmbeddingError, match="24 dimensions, profile private/tiny takes 8"):
        compare(ROWS, [tiny], targets=[SIX])


def test_what_a_private_profile_takes_in_a_container_is_shared_by_its_items(
    rates: Profile,
) -> None:
    few, many = (
        compare(ROWS, [rates, "any/rotation"], targets=[SIX], items=n) for n in (None, 10**6)
    )
    own, shipped = few.profiles
    assert shipped.size is None
    assert own.size == len(to_embed(rates).block)
    record = next(r for r in many.records() if r["profile"] == "private/rates")
    assert record["profile_bytes"] == own.size
    assert record["profile_bytes_each"] == pytest.approx(own.size / 10**6, abs=1e-5)
    (line,) = [line for line in few.lines() if "in a container it takes" in line]
    assert line.endswith(f"{own.size / 120:,.1f} bytes for each of 120 embeddings")


def test_where_a_private_profile_is_best_its_own_size_is_said_not_to_be_counted(
    rates: Profile, compact: Profile
) -> None:
    """The answer is about streams, and a larger profile may take more than it saves."""
    found = compare(ROWS, [rates, compact], targets=[SIX])
    assert found.lines()[-1].endswith(", its own size not counted")


def test_with_few_rows_neighbours_say_nothing() -> None:
    found = compare(ROWS[:30], ["any/rotation"], targets=[SIX])
    assert "neighbours" not in found.points[0].found
    assert "10-nn: not measured, as it needs 50 rows" in found.lines()


# --- for programs ---


def test_records_are_json_of_the_originals_and_of_each_point(rates: Profile) -> None:
    found = compare(ROWS, [rates], targets=[SIX, Target(min_cosine=0.99999)], sample=60)
    first, good, bad = (json.loads(json.dumps(record)) for record in found.records())
    assert first == {"profile": None, "rows": 60, "of": 120, "dim": 24, "bytes": 96, "most": 96,
                     "cosine": 1, "cosine05": 1, "neighbours": 1}  # fmt: skip
    assert good.items() >= {"profile": "private/rates", "max_bytes": 14}.items()
    assert {"bytes", "most", "cosine", "cosine05", "neighbours"} <= good.keys()
    assert (bad["min_cosine"], "cosine" in bad) == (0.99999, False)
    assert "min_cosine" in bad["error"]


def test_progress_is_told_of_every_point() -> None:
    told: list[tuple[int, int | None]] = []
    compare(ROWS, ["any/rotation"], targets=[SIX, Target(quality=30)],
            progress=lambda done, total: told.append((done, total)))  # fmt: skip
    assert told == [(0, 2), (1, 2), (2, 2)]


# --- what cannot be compared ---

NAN = ROWS.copy()
NAN[7] = np.nan


@pytest.mark.parametrize(
    ("rows", "options", "error", "said"),
    [
        (np.empty((0, 24)), {}, EmbeddingError, "no embeddings: expected several"),
        (ROWS[:1], {}, EmbeddingError, "one embedding: expected several"),
        (ROWS[0], {}, EmbeddingError, "expected (N, D)"),
        (NAN, {}, EmbeddingError, "embedding 7: NaN or infinite"),
        (np.zeros((4, 24)), {}, EmbeddingError, "all zero"),
        (ROWS, {"labels": CLASSES[:-1]}, OptionError, "119 labels, and 120 rows"),
        (ROWS, {"labels": CLASSES / 2}, OptionError, "labels of dtype float64"),
        (ROWS, {"labels": np.arange(120)}, OptionError, "classes of two or more rows"),
        (ROWS, {"labels": CLASSES + 1, "texts": TEXTS}, OptionError, "labels from 1 to 3"),
        (ROWS, {"labels": ["cow"] * 120, "texts": TEXTS}, OptionError, "'cow' is none of"),
        (ROWS, {"texts": TextEmbeddings(("a", "b"), unit(np.eye(2, 8)))}, EmbeddingError,
         "texts of 8 dimensions, the embeddings have 24"),
        (ROWS, {"texts": TextEmbeddings(("a",), unit(np.eye(1, 24)))}, OptionError, "one alone"),
        (ROWS, {"profiles": ["any/rotatoin"]}, ProfileError, "did you mean any/rotation?"),
        (ROWS, {"profiles": []}, OptionError, "profiles: expected several"),
        (ROWS, {"profiles": "any/rotation"}, OptionError, "in a list"),
        (ROWS, {"targets": []}, OptionError, "targets: expected several Target"),
        (ROWS, {"targets": [50]}, OptionError, "targets: expected several Target"),
        (ROWS, {"sample": 1}, OptionError, "sample=1"),
        (ROWS, {"items": 0}, OptionError, "items=0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_a_typed_error(
    rows: np.ndarray, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as raised:
        compare(rows, **options)
    assert said in str(raised.value)


def test_a_row_that_is_drawn_is_named_as_its_file_counts_it() -> None:
    parts = [sample.Part(ROWS, "a.npy"), sample.Part(NAN, "b.npy")]
    with pytest.raises(EmbeddingError, match=r"b\.npy, embedding 7: NaN"):
        sample.draw(parts, 1000)
    with pytest.raises(EmbeddingError, match=r"b\.npy: 8 dimensions, those before have 24"):
        sample.draw([sample.Part(ROWS, "a.npy"), sample.Part(cone(9, 8), "b.npy")])
