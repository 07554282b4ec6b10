"""clipcodec.training.checkpoint: weights that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from clipcodec.errors import OptionError, TrainingError
from clipcodec.training.checkpoint import load
from clipcodec.training.predictive import train
from clipcodec.training.recipe import Recipe
from clipcodec.training.refiner import Refiner
from clipcodec.training.trainer import bands_for
from tests.helpers.profiles import cone, one_torch_thread

DIM, UNITS = 24, 3


def weights(**other: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    bands = np.array(bands_for(DIM))
    stages = len(bands) - 1
    basis = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    return {
        "mean": cone(500, DIM).mean(axis=0), "analysis": basis, "synthesis": basis.T.copy(),
        "variance": np.linspace(0.05, 0.01, DIM), "bands": bands,
        "hidden": rng.normal(size=(stages, DIM, UNITS)),
        "out": rng.normal(size=(stages, UNITS, DIM)),
        "bias": rng.normal(size=(stages, UNITS)), "quality": rng.normal(size=(stages, UNITS)),
        "center": np.array([-2.0]), **other,
    }  # fmt: skip


def written(path: Path, **other: np.ndarray) -> Path:
    save_file(weights(**other), path)
    return path


def test_a_network_computes_with_the_weights_of_the_file(tmp_path: Path) -> None:
    """At any center of the log steps; further units of the restoration add nothing at first."""
    given = load(written(tmp_path / "w.safetensors"))
    refiner = Refiner(given.bands, (UNITS, 2 * UNITS), 0.0, seed=0).eval()
    given.copy_to(refiner, center=-1.5)
    w = weights()
    e = np.random.default_rng(1).normal(size=(4, DIM))
    for band in (1, len(given.bands) - 2):
        units = e @ w["hidden"][band] + w["bias"][band] + (-2.3 + 2.0) * w["quality"][band]
        change = np.maximum(units, 0) @ w["out"][band]
        end = given.bands[band + 1] % DIM  # what is known is left alone but by the restoration
        change[:, :end] = 0
        log_step = torch.full((4, 1), -2.3 + 1.5)
        with torch.no_grad():
            found = refiner.refine(torch.from_numpy(e).float(), band, log_step)
        assert np.allclose(found.numpy(), e + change, atol=1e-4)


def test_training_goes_on_from_them(tmp_path: Path) -> None:
    """No first phase: KLT, bands and units are the file's, and the card names it."""
    np.save(tmp_path / "x.npy", cone(1200, DIM))
    start = written(tmp_path / "w.safetensors", hidden=np.zeros((10, DIM, UNITS)))
    out = tmp_path / "p.safetensors"
    with one_torch_thread():
        train([str(tmp_path / "x.npy")], out, Recipe(replay=3, batch=64), name="private/x",
              backbone="none", start=start)  # fmt: skip
    from clipcodec import Codec

    codec = Codec(out)
    assert codec.profile.card["embeddings"]["start"] == "w.safetensors"
    assert codec.profile.card["recipe"]["hidden"] == UNITS
    assert codec.profile.card["recipe"]["steps"] == 0


@pytest.mark.parametrize("given", [{"steps": 5}, {"hidden": 3}, {"shrinkage": 0.1}])
def test_what_the_weights_fix_may_not_be_given(tmp_path: Path, given: dict[str, Any]) -> None:
    """It would count nothing."""
    np.save(tmp_path / "x.npy", cone(1200, DIM))
    start = written(tmp_path / "w.safetensors")
    with pytest.raises(OptionError, match="with weights to start from: these fix it"):
        train([str(tmp_path / "x.npy")], tmp_path / "p", Recipe(**given), name="a", backbone="b",
              start=start)  # fmt: skip
    assert not (tmp_path / "p").exists()


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", cone(1200, 16))
    start = written(tmp_path / "w.safetensors")
    with pytest.raises(OptionError, match="weights for 24 dimensions, the embeddings have 16"):
        train([str(tmp_path / "x.npy")], tmp_path / "p", Recipe(), name="a", backbone="b",
              start=start)  # fmt: skip


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"bias": np.zeros((2, UNITS))}, "bias has shape"),
        ({"mean": np.full(DIM, np.nan)}, "mean has shape .* not finite"),
        ({"bands": np.arange(12) * 3}, "bands are"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, other: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        load(written(tmp_path / "w.safetensors", **other))


def test_other_files_are_refused(tmp_path: Path) -> None:
    """One that is missing, one that is no safetensors file, one that holds something else."""
    with pytest.raises(TrainingError, match="cannot be read"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(TrainingError, match="cannot be read"):
        load(tmp_path / "text")
    save_file({"embeddings": np.zeros((2, 2))}, tmp_path / "rows.safetensors")
    with pytest.raises(TrainingError, match=r"lacks analysis, bands, .* no weights to start from"):
        load(tmp_path / "rows.safetensors")


def test_too_narrow_a_network_is_refused(tmp_path: Path) -> None:
    given = load(written(tmp_path / "w.safetensors"))
    with pytest.raises(TrainingError, match="weights of 3 units"):
        given.copy_to(Refiner(given.bands, (2, 2), 0.0, seed=0), center=0.0)
