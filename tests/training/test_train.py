"""clipcodec.training.predictive: few rows, groups, minutes, small profiles, and what goes wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcodec import Codec
from clipcodec.errors import OptionError
from clipcodec.training import predictive, trainer
from clipcodec.training.predictive import LEAST_ROWS, Result, train
from clipcodec.training.progress import Moment
from clipcodec.training.recipe import Recipe
from tests.helpers.profiles import cone, one_torch_thread

QUICK = Recipe(hidden=4, steps=6, replay=2, batch=64)
STILL = Recipe(hidden=0)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(autouse=True)
def few_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "REPLAYED", 256)


def made(folder: Path, rows: np.ndarray, recipe: Recipe, **options: Any) -> Result:
    np.save(folder / "x.npy", rows)
    out = folder / "p.safetensors"
    return train([str(folder / "x.npy")], out, recipe, name="private/t", backbone="b", **options)


def kept(profile: str | Path, x: np.ndarray, size: int) -> float:
    codec = Codec(profile)
    y = codec.decode_batch(codec.encode_embeddings(x, max_bytes=size))
    return float((x * y).sum(axis=1).mean())


def test_a_few_hundred_rows_beat_the_profile_for_any(tmp_path: Path) -> None:
    """The KLT alone, on rows of many dimensions that it has not seen; tables from rows in turn."""
    rows, unseen = cone(300, 96), cone(200, 96, seed=9)
    result = made(tmp_path, rows, Recipe())
    assert (result.rows, result.held_out, result.hidden, result.steps) == (300, 60, 0, 0)
    assert not result.given_up
    assert kept(tmp_path / "p.safetensors", unseen, 30) > kept("any/rotation", unseen, 30) + 0.002


def test_as_few_rows_as_there_may_be(tmp_path: Path) -> None:
    """Fewer than dimensions: whatever comes, it loads and keeps what is asked."""
    result = made(tmp_path, cone(LEAST_ROWS, 160), STILL)
    assert result.held_out == LEAST_ROWS // 5
    codec, unseen = Codec(tmp_path / "p.safetensors"), cone(20, 160, seed=9)
    y = codec.decode_batch(codec.encode_embeddings(unseen, min_cosine=0.97))
    assert ((unseen * y).sum(axis=1) >= 0.9699).all()


@pytest.mark.parametrize("recipe", [STILL, QUICK])
def test_compact_profiles_are_small_and_keep_the_rank_asked_for(
    tmp_path: Path, recipe: Recipe
) -> None:
    rows = cone(1200, 64)
    np.save(tmp_path / "x.npy", rows)
    size = {}
    for kind, rank in (("predictive", None), ("compact", 24)):
        out = tmp_path / f"{kind}.safetensors"
        result = train(
            [str(tmp_path / "x.npy")], out, Recipe(**{**vars(recipe), "rank": rank}),
            name="private/t", backbone="b", kind=kind,
        )  # fmt: skip
        size[kind] = out.stat().st_size
        profile = Codec(out).profile
        assert (profile.kind.name, profile.dim, result.rank) == (kind, 64, rank or 64)
        assert profile.card["recipe"]["name"] == kind
        assert profile.card["recipe"]["rank"] == (rank or 64)
    assert size["compact"] < size["predictive"]
    found = kept(tmp_path / "compact.safetensors", cone(100, 64, seed=9), 14)
    assert found > kept("any/rotation", cone(100, 64, seed=9), 14)


def test_a_compact_profile_keeps_nearly_all_by_default(tmp_path: Path) -> None:
    """99 % of the variance of held-out rows; directions without variance are left out."""
    rows = cone(1200, 48)
    rows[:, 30:] = 0
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    result = made(tmp_path, rows, STILL, kind="compact")
    assert 10 < result.rank <= 30
    assert kept(tmp_path / "p.safetensors", rows[:50], 60) > 0.995


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"kind": "compact"}, {"rank": 40}, "rank=40: at most 32 for embeddings of 32"),
        ({"kind": "compact"}, {"rank": 0}, "rank=0"),
        ({"kind": "compact", "text_paths": ["x"]}, {}, "texts for the metric: not for a compact"),
        ({"kind": "compact", "start": "x"}, {}, "weights to start from: not for a compact"),
        ({"kind": "pqvae"}, {}, "kind='pqvae': expected one of predictive, compact"),
        ({"groups": np.arange(5)}, {}, "groups of shape"),
    ],
)
def test_what_does_not_go_together(
    tmp_path: Path, options: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        made(tmp_path, cone(200, 32), Recipe(**{**vars(STILL), **change}), **options)
    assert not (tmp_path / "p.safetensors").exists()


def test_groups_stay_out_of_all_that_is_learned(tmp_path: Path) -> None:
    """Result and card say how many; the rows it is measured on are whole groups."""
    rows = cone(1200, 16)
    groups = np.arange(1200) // 30
    result = made(tmp_path, rows, STILL, groups=groups)
    number = {row.tobytes(): group for row, group in zip(rows, groups, strict=True)}
    held = [number[row.tobytes()] for row in result.held]
    assert result.groups == len(set(held)) == len(held) // 30 == 4
    card = Codec(tmp_path / "p.safetensors").profile.card
    assert card["embeddings"]["groups_held_out"] == 4
    assert made(tmp_path, rows, STILL).groups is None


def test_minutes_are_as_many_steps_as_they_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock ends the first phase, before the minutes are over: tables need time, too."""
    told: list[Moment] = []
    asked: list[float] = []

    def by_time(seconds: float) -> Iterator[float]:
        asked.append(seconds)
        return trainer.by_steps(5)

    monkeypatch.setattr(predictive, "by_time", by_time)
    recipe = Recipe(hidden=4, minutes=60, replay=2, batch=64)
    result = made(tmp_path, cone(1200, 24), recipe, progress=told.append)
    assert result.steps == 5
    assert 1800 <= asked[0] < 3600
    assert [moment.share for moment in told] == [0, 0, 0.2, 0.4, 0.6, 0.8]
    assert told[0].new
    assert 0.9 < (told[0].cosine or 0) < 1
    card = Codec(tmp_path / "p.safetensors").profile.card["recipe"]
    assert (card["minutes"], card["steps"]) == (60, 5)


def test_networks_that_gain_nothing_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless their size was asked for: then they are kept."""
    monkeypatch.setattr(predictive, "_LEAST_GAIN", 1.0)
    monkeypatch.setattr(trainer.Trainer, "_step", lambda *args: None)
    monkeypatch.setattr("clipcodec.training.recipe._FOR_NETWORKS", 1000)
    result = made(tmp_path, cone(1200, 24), Recipe(steps=2, replay=0, batch=64))
    assert (result.given_up, result.hidden, result.steps) == (True, 0, 0)
    assert Codec(tmp_path / "p.safetensors").profile.card["recipe"]["hidden"] == 0
    result = made(tmp_path, cone(1200, 24), Recipe(hidden=3, steps=2, replay=0, batch=64))
    assert (result.given_up, result.hidden, result.steps) == (False, 3, 2)


@pytest.mark.parametrize("kind", ["predictive", "compact"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interruption_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, fault: BaseException
) -> None:
    """Nothing half-written is left beside it."""
    (tmp_path / "p.safetensors").write_bytes(b"old")

    def fail(*args: object) -> None:
        raise fault

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(fault)):
        made(tmp_path, cone(200, 16), STILL, kind=kind)
    assert (tmp_path / "p.safetensors").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.safetensors", "x.npy"]


def test_an_interruption_while_networks_train_writes_nothing(tmp_path: Path) -> None:
    def stop(moment: Moment) -> None:
        if moment.share:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, cone(1200, 16), QUICK, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_the_same_steps_give_the_same_file_watched_or_not(tmp_path: Path) -> None:
    """Byte for byte, with the device named or left out."""
    found = []
    for options in ({}, {"progress": lambda moment: None}):
        made(tmp_path, cone(1200, 16), Recipe(**{**vars(QUICK), "device": "cpu"}), **options)
        found.append((tmp_path / "p.safetensors").read_bytes())
    assert found[0] == found[1]
