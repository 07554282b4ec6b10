"""clipcodec.models.preprocess: the pixels are those of open_clip's own transform, bit by bit."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipcodec.models import Preprocess

open_clip = pytest.importorskip("open_clip")
side = st.integers(1, 90)


@settings(max_examples=150)
@given(
    width=side,
    height=side,
    size=st.one_of(st.integers(32, 60), st.tuples(st.integers(32, 60), st.integers(32, 60))),
    mode=st.sampled_from(["shortest", "longest", "squash", None]),
    interpolation=st.sampled_from(["bicubic", "bilinear", "random", None]),
    fill=st.integers(0, 255),
)
def test_pixels_are_those_of_open_clip(
    width: int, height: int, size: object, mode: str, interpolation: str, fill: int
) -> None:
    """Every mode that open_clip has, for images of any shape up to 32:1."""
    width, height = max(width, height // 32 + 1), max(height, width // 32 + 1)
    cfg = open_clip.transform.PreprocessCfg(
        size=size, mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode=mode, interpolation=interpolation,
        fill_color=fill,
    )  # fmt: skip
    noise = np.random.default_rng(width * 97 + height).integers(0, 256, (height, width, 3))
    image = Image.fromarray(noise.astype(np.uint8))
    theirs = open_clip.transform.image_transform_v2(cfg, is_train=False)(image)
    ours = Preprocess.from_config(cfg)(image)
    assert np.array_equal(theirs.numpy(), ours.transpose(2, 0, 1).astype(np.float32) / 255)


def test_what_is_not_known_is_refused() -> None:
    cfg = open_clip.transform.PreprocessCfg(resize_mode="tile")
    with pytest.raises(ValueError, match="tile"):
        Preprocess.from_config(cfg)
    cfg = open_clip.transform.PreprocessCfg(interpolation="lanczos")
    with pytest.raises(ValueError, match="lanczos"):
        Preprocess.from_config(cfg)


def test_another_process_needs_no_torch() -> None:
    """A pickle of it makes pixels in an interpreter that imports neither torch nor open_clip."""
    preprocess = Preprocess((8, 8), "shortest", "bicubic", 0)
    code = (
        "import pickle, sys; from PIL import Image\n"
        "made = pickle.load(sys.stdin.buffer)(Image.new('RGB', (20, 10), (9, 8, 7)))\n"
        "assert made.shape == (8, 8, 3) and (made == (9, 8, 7)).all()\n"
        "assert not {'torch', 'open_clip'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(preprocess), check=False)
    assert done.returncode == 0
