"""Tiny random networks in place of CLIP's, so that everything that needs its weights runs without.

    with stand_in():
        stream = clipcodec.encode("photo.jpg")

    python -m tests.helpers.stand_in SCRIPT.py ARGUMENTS        a program, in that block
    python -m tests.helpers.stand_in -m clipcodec ARGUMENTS     a module, such as the command line

In the block the backbones that are shipped, and others that are named, are random open_clip models
with CLIP's widths, tokenizer and text length. They know nothing of what a picture shows. But
the same picture gives the same embedding, a similar one a similar embedding, and both towers'
embeddings lie where the real ones lie, with the spread that the profile has measured: so rates,
fidelity and checks are like those of real embeddings.
"""

from __future__ import annotations

import atexit
import logging
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from clipcodec.models import BACKBONES, ENVIRONMENT_VARIABLE, BackboneSpec, tower
from clipcodec.profile import registry
from clipcodec.profile.statistics import Statistics
from tests.helpers import tiny_models

FOLDER = "CLIPCODEC_STAND_IN"  # environment: where a program finds the models of another process
WIDTH = 64  # of the networks, inside
AXES = 24  # of the profile's principal axes, those along which the embeddings vary
OTHER = 512  # dimensions of a backbone that is not ours
TEXT = {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 1}
WORDS = (
    "a the cat dog horse bird car red blue green beach mountain house tree two three people child"
    " city night photo of on in with small large old new sea snow chair cup table food bread"
)


@contextmanager
def stand_in(*names: str, folder: Path | None = None) -> Iterator[None]:
    """In the block, `BACKBONES` and the backbones `names` are tiny random models.

    folder  where they are, or are saved; by default a temporary one, made once in a process
    """
    with ExitStack() as stack:
        where = folder or _folder()
        ours = {name: _spec(where, name) for name in (*BACKBONES, *names)}
        stack.enter_context(patch.dict(BACKBONES, ours))
        stack.enter_context(patch.dict(tower._cache, clear=True))
        stack.enter_context(patch.dict(os.environ, {FOLDER: str(where), "HF_HUB_OFFLINE": "1"}))
        os.environ.pop(ENVIRONMENT_VARIABLE, None)
        yield


def _folder() -> Path:
    given = os.environ.get(FOLDER)
    return Path(given) if given else _temporary()


@cache
def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="clipcodec-stand-in-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _spec(folder: Path, name: str) -> BackboneSpec:
    """The stand-in for the backbone `name`; its files are made if they are not there."""
    place = folder / "".join(c if c.isalnum() else "-" for c in name)
    known = BACKBONES.get(name)
    dim = known.dim if known else OTHER
    if not (place / "model.safetensors").exists():
        profile = registry.by_name(registry.for_backbone(name)) if known else None
        logging.disable()  # open_clip warns that these weights are random
        try:
            _make(place, dim, profile.statistics if profile else None)
        finally:
            logging.disable(logging.NOTSET)
    return BackboneSpec(name, f"local-dir:{place}", None, dim)


def _make(place: Path, dim: int, stats: Statistics | None) -> None:
    """A model whose last layers carry the statistics of the profile."""
    torch = import_module("torch")
    spec = tiny_models.make_folder(place, dim=dim, layers=1, width=WIDTH, text=TEXT)
    model = tiny_models.make_model(spec)
    rng, vocabulary = np.random.default_rng(0), WORDS.split()
    axes: NDArray[Any]
    if stats is None:
        axes = np.linalg.qr(rng.standard_normal((dim, AXES)))[0].T * 0.15
        image, text = 0.7 * np.linalg.qr(rng.standard_normal((dim, 2)))[0].T
    else:
        axes = (stats.basis[:, :AXES] * stats.scale[:AXES]).T
        image = stats.mean
        text = image if stats.text is None else stats.text
    words = [" ".join(rng.choice(vocabulary, rng.integers(1, 9))) for _ in range(160)]
    tokens = import_module("open_clip").get_tokenizer(spec.arch)(words)
    with torch.no_grad():
        for norm in (model.visual.ln_post, model.ln_final):  # one feature is always 1
            norm.weight[0], norm.bias[0] = 0, 1
        features = _before(model.visual, "proj", lambda: model.visual(_pictures(rng)))
        model.visual.proj = _projection(features, image, axes)
        features = _before(model, "text_projection", lambda: model.encode_text(tokens))
        model.text_projection = _projection(features, text, axes)
    # Other processes may look for the file: it is whole as soon as it is there.
    tiny_models.save(model, place / "saving.safetensors").replace(place / "model.safetensors")


def _pictures(rng: np.random.Generator) -> Any:
    """Normalised pixels of smooth pictures, coarse and fine, some of one colour only."""
    torch = import_module("torch")
    parts = []
    for size in (1, 3, 4, 4, 8):
        grid = torch.from_numpy(rng.standard_normal((40, 3, size, size)).astype(np.float32))
        parts.append(torch.nn.functional.interpolate(grid, (32, 32), mode="bilinear"))
    return torch.cat(parts)


def _before(module: Any, projection: str, forward: Any) -> NDArray[np.float32]:
    """The features (N, WIDTH) that go into a module's last projection."""
    torch = import_module("torch")
    setattr(module, projection, torch.nn.Parameter(torch.eye(WIDTH)))
    rows: NDArray[np.float32] = forward().numpy()
    return rows


def _projection(features: NDArray[Any], mean: NDArray[Any], axes: NDArray[Any]) -> Any:
    """The matrix (WIDTH, D) that takes the features to `mean` and a spread along `axes` (k, D)."""
    torch = import_module("torch")
    rest = features[:, 1:].astype(np.float64)  # without the one that is always 1
    centre = rest.mean(axis=0)
    _, scale, directions = np.linalg.svd(rest - centre, full_matrices=False)
    count = min(len(axes), int((scale > 0.02 * scale[0]).sum()))
    spread = directions[:count].T / scale[:count] * np.sqrt(len(rest)) @ axes[:count]
    matrix = np.concatenate([(mean - centre @ spread)[None], spread])
    return torch.nn.Parameter(torch.from_numpy(matrix.astype(np.float32)))


def _main(arguments: list[str]) -> None:
    """Run a script or `-m` a module with its arguments, as `python` does, in the block."""
    if not arguments or arguments == ["-m"]:
        sys.exit("usage: python -m tests.helpers.stand_in [-m MODULE | SCRIPT.py] [ARGUMENT ...]")
    module = arguments[0] == "-m"
    name, sys.argv = arguments[module], arguments[module:]
    with stand_in():
        if module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = str(Path(name).resolve().parent)
            runpy.run_path(name, run_name="__main__")


if __name__ == "__main__":
    _main(sys.argv[1:])
