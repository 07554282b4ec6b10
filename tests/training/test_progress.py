"""clipcodec.training: shares of the training that are done, and estimates as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clipcodec.training import trainer
from clipcodec.training.estimate import Estimate
from clipcodec.training.klt import klt
from clipcodec.training.progress import Moment, Watch
from clipcodec.training.recipe import Recipe, complete
from clipcodec.training.trainer import COMPACT, PREDICTIVE, Trainer, by_steps, by_time
from tests.helpers.profiles import cone, one_torch_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in ("progress", "trainer"):
        monkeypatch.setattr(
            f"clipcodec.training.{module}.time", SimpleNamespace(perf_counter=found)
        )
    return found


def test_shares_go_by_steps_or_by_the_clock(clock: Clock) -> None:
    """By time, the last step begins before the end; there is one step at least."""
    assert list(by_steps(4)) == [0, 0.25, 0.5, 0.75]
    assert list(by_steps(0)) == []
    found = []
    for share in by_time(10.0):
        found.append(share)
        clock.now += 3
    assert found == pytest.approx([0, 0.3, 0.6, 0.9])
    for seconds in (0.0, -5.0):
        assert list(by_time(seconds)) == [0.0]


def test_estimates_are_rare(clock: Clock) -> None:
    """One in half a minute, and fewer where they take long: 8 % of the time at most."""
    for takes, expected in ((1.0, 6), (6.0, 2)):
        told: list[Moment] = []

        def estimate(takes: float = takes) -> float:
            clock.now += takes
            return 0.95

        watch = Watch(told.append, estimate, takes, 0.9)
        start = clock.now
        while clock.now < start + 200:
            clock.now += 1
            watch((clock.now - start) / 300)
        assert told[0] == Moment(0.0, 0.0, 0.9, True)
        assert sum(moment.new for moment in told) - 1 == expected
        assert {moment.cosine for moment in told} == {0.9, 0.95}
        assert told[-1].share > 0.6


@pytest.mark.parametrize("form", [PREDICTIVE, COMPACT])
def test_the_estimate_is_what_the_codec_keeps(form: trainer.Form) -> None:
    """Within a few thousandths of what a whole profile gives, for either kind; torch's and numpy's
    random numbers are left alone.
    """
    rows = cone(1500, 64)
    base = klt(rows[:1200], np.ones(1200)).first(50)
    made = Trainer(
        rows[:1200], np.ones(1200, np.int64), base,
        complete(Recipe(hidden=4, steps=10, batch=64), 1200), form=form,
    )  # fmt: skip
    made.phase_one(by_steps(10))
    before = made.rng.bit_generator.state
    found = Estimate(made, rows[1200:])()
    assert made.rng.bit_generator.state == before
    fitted = made.fit_tables(rows[1200:])
    engine = made.engine(fitted)
    latents = engine.transform.analyse(rows[1200:])
    # at 352 bits without header, on average: a little better than at most 50 bytes for each
    bits, cosines = [], []
    for quality in range(30, 101, 14):
        attempt = engine.attempt(latents, np.full(len(latents), quality))
        y = engine.transform.synthesise(attempt.latent)
        bits.append(attempt.bits.mean())
        cosines.append(((y * rows[1200:]).sum(1) / np.linalg.norm(y, axis=1)).mean())
    assert found == pytest.approx(np.interp(352, bits, cosines), abs=0.005)


def test_the_estimate_changes_nothing() -> None:
    """A training that is watched gives the same weights."""
    rows = cone(1200, 24)
    plan = complete(Recipe(hidden=4, steps=8, batch=64, dropout=0.3), 1200)

    def trained(watched: bool) -> Trainer:
        made = Trainer(rows, np.ones(1200, np.int64), klt(rows, np.ones(1200)), plan)
        estimate = Estimate(made, rows[:100])

        def watch(share: float) -> None:
            if share == 0.5:
                estimate()

        if watched:
            made.watch = watch
        made.phase_one(by_steps(8))
        return made

    made, other = trained(watched=False).tensors(), trained(watched=True)
    for name, tensor in other.tensors().items():
        assert np.array_equal(tensor, made[name]), name
    assert other.steps_done == 8


@pytest.mark.parametrize("half", [True, False])
def test_training_works_in_either_precision(monkeypatch: pytest.MonkeyPatch, half: bool) -> None:
    """A processor without products of 16-bit numbers takes float32; both learn to predict."""
    monkeypatch.setattr(trainer, "_half_is_fast", lambda device: half)
    rows = cone(1200, 24)
    plan = complete(Recipe(hidden=8, batch=256, dropout=0.0, device="cpu"), 1200)
    made = Trainer(rows, np.ones(1200, np.int64), klt(rows, np.ones(1200)), plan)
    made.phase_one(by_steps(150))
    u = torch.from_numpy(made.latents / made.scale)
    estimate, coded = torch.zeros_like(u), torch.zeros(len(u), 1)
    made.refiner.eval()
    gained = 0.0
    for band, (_, b) in enumerate(made.refiner.bands[:-1]):
        estimate = torch.cat([u[:, :b], estimate[:, b:]], 1)  # as if it were coded without loss
        with torch.no_grad():
            estimate = made.refiner.refine(estimate, band, coded)
        missing = u[:, b:]
        gained += float((missing**2).sum() - ((missing - estimate[:, b:]) ** 2).sum())
    assert estimate.dtype == torch.float32
    assert gained > 0.02 * float((u**2).sum())
