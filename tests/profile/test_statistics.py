"""clipcodec.profile.statistics: another network's embeddings are told apart; samples."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from clipcodec import encode_embedding, encode_embeddings
from clipcodec.errors import BackboneWarning, WeightsError
from clipcodec.profile.registry import DEFAULT, by_name
from clipcodec.profile.statistics import Statistics, check_statistics
from tests.helpers.profiles import drawn


def world(mean: NDArray[np.float32]) -> Statistics:
    """Limits like those of OpenAI's ViT-B/32: see `check_statistics`."""
    nothing = np.empty((len(mean), 0), np.float32)
    return Statistics(mean, 0.31, 0.01, nothing, np.ones(1, np.float32))


def cone(cosine: float, count: int) -> tuple[NDArray[np.float32], Statistics]:
    """Unit rows with exactly this cosine to the mean direction."""
    rng = np.random.default_rng(2)
    mean = rng.standard_normal(512)
    mean /= np.linalg.norm(mean)
    rest = rng.standard_normal((count, 512))
    rest -= (rest @ mean)[:, None] * mean
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    rows = cosine * mean + np.sqrt(1 - cosine**2) * rest
    return rows.astype(np.float32), world((0.67 * mean).astype(np.float32))


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("count", [0, 1, 8, 100])
def test_ordinary_embeddings_pass_in_silence(count: int, ours: bool) -> None:
    rows, statistics = cone(0.32, count)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_statistics(rows, statistics, "name", ours=ours)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("count", [1, 8])
def test_unusual_embeddings_give_one_warning_and_are_never_refused(count: int, ours: bool) -> None:
    """0.157 is the lowest of 48,399 real images: even a batch of such rows is only warned about."""
    rows, statistics = cone(0.157, count)
    with pytest.warns(BackboneWarning, match=f"{count} of {count} embeddings.*'name'") as caught:
        check_statistics(rows, statistics, "name", ours=ours)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_odd_rows_among_many_are_counted_from_two_on() -> None:
    """One row in a thousand of any real data is odd: one in a batch says nothing."""
    rows, statistics = cone(0.6, 50)
    rows[7] = cone(0.2, 1)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_statistics(rows, statistics, "name", ours=True)
    rows[8] = rows[7]
    with pytest.warns(BackboneWarning, match="2 of 50 embeddings"):
        check_statistics(rows, statistics, "name", ours=True)


@pytest.mark.parametrize(("cosine", "count"), [(0.0, 1), (-0.3, 1), (0.05, 8), (0.1, 64)])
def test_another_network_is_refused_if_it_ran_here_and_warned_about_if_not(
    cosine: float, count: int
) -> None:
    rows, statistics = cone(cosine, count)
    with pytest.raises(WeightsError, match=r"not those of backbone 'name'.*another network"):
        check_statistics(rows, statistics, "name", ours=True)
    with pytest.warns(BackboneWarning):
        check_statistics(rows, statistics, "name")


def test_few_rows_between_the_limits_are_not_refused() -> None:
    rows, statistics = cone(0.05, 7)
    with pytest.warns(BackboneWarning):
        check_statistics(rows, statistics, "name", ours=True)


@pytest.mark.slow
def test_a_random_network_of_the_real_architecture_is_refused() -> None:
    """With the real cone's width, whatever its direction: eight rows of noise images suffice."""
    open_clip, torch = pytest.importorskip("open_clip"), pytest.importorskip("torch")
    torch.manual_seed(0)
    text = {"layers": 1, "width": 64, "heads": 1, "context_length": 8, "vocab_size": 8}
    model = open_clip.create_model("ViT-B-32-quickgelu", load_weights=False, text_cfg=text)
    with torch.no_grad():
        rows = torch.nn.functional.normalize(model.eval().visual(torch.randn(8, 3, 224, 224)))
    for seed in range(4):
        mean = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
        with pytest.raises(WeightsError):
            check_statistics(rows.numpy(), world(mean), "openai-vit-b-32", ours=True)


def test_the_shipped_statistics_know_their_own_samples_and_no_others() -> None:
    """Given embeddings are checked when encoded: silence for samples, a warning for noise."""
    samples = drawn(50, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_embeddings(samples)
    noise = np.random.default_rng(0).normal(size=(50, 512))
    with pytest.warns(BackboneWarning, match="50 of 50 embeddings are unlike") as caught:
        encode_embeddings(noise)
    assert caught[0].filename == __file__
    with pytest.warns(BackboneWarning, match="1 of 1"):
        encode_embedding(noise[0])


def test_real_embeddings_pass_in_silence(real_rows: NDArray[np.float32]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_embeddings(real_rows)


def test_samples_have_the_statistics() -> None:
    """Seeded unit rows whose mean direction and spread are those of the training embeddings."""
    statistics = by_name(DEFAULT).statistics
    assert statistics is not None
    x = statistics.draw(4000, seed=1)
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    assert (x == statistics.draw(4000, seed=1)).all()
    assert (x[:5] != statistics.draw(5, seed=2)).any()
    direction = statistics.mean / np.linalg.norm(statistics.mean)
    assert abs((x @ direction).mean() - np.linalg.norm(statistics.mean)) < 0.03
    assert abs((x @ statistics.basis[:, 0]).std() / statistics.scale[0] - 1) < 0.1


def test_the_warning_names_the_model_and_the_remedies() -> None:
    rows, statistics = cone(0.0, 20)
    with pytest.warns(BackboneWarning) as caught:
        check_statistics(rows, statistics, "some-model")
    message = str(caught[0].message)
    assert "20 of 20 embeddings are unlike those of backbone 'some-model'" in message
    assert "`clipcodec compare`" in message
    assert "`clipcodec compress --train`" in message


def test_of_a_profile_of_no_named_model_the_warning_names_its_own_rows() -> None:
    """One that was learned from somebody's rows has the backbone "any": that is no model."""
    rows, statistics = cone(0.0, 20)
    with pytest.warns(BackboneWarning, match="that this profile was learned from") as caught:
        check_statistics(rows, statistics, "any")
    assert "'any'" not in str(caught[0].message)
