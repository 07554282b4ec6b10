"""The networks that stand in for CLIP's, which the examples and the snippets of pages rely on."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec.models import BACKBONES
from tests.helpers.paths import ROOT
from tests.helpers.pictures import write_picture
from tests.helpers.stand_in import stand_in


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [write_picture(tmp_path / f"{i}.png", i, (320, 240)) for i in range(12)]
    smaller = Image.open(paths[0]).resize((160, 120))
    smaller.save(tmp_path / "smaller.jpg", quality=80)
    return [*paths, tmp_path / "smaller.jpg"]


def test_one_picture_gives_one_embedding_and_a_smaller_copy_nearly_the_same(
    pictures: list[Path],
) -> None:
    with stand_in():
        rows = clipcodec.embed_images(pictures)
        assert np.array_equal(rows, clipcodec.embed_images(pictures))
    cosines = rows[-1] @ rows.T
    assert cosines[0] > 0.99
    assert cosines[1:-1].max() < 0.95


def test_embeddings_compress_as_real_ones_do_and_no_check_warns(pictures: list[Path]) -> None:
    with stand_in(), warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = clipcodec.embed_images(pictures)
        texts = clipcodec.embed_texts(["two dogs on a beach", "cat"])
        decoded = clipcodec.decode_batch(clipcodec.encode_batch(pictures, max_bytes=50))
    assert (rows * decoded).sum(axis=1).mean() > 0.97
    assert texts.shape == (2, 512)
    assert (texts @ rows.T).max() < 0.7  # two cones apart, as CLIP's


def test_other_backbones_stand_in_by_name_and_all_is_undone_after_the_block(
    pictures: list[Path],
) -> None:
    before, name = dict(BACKBONES), "open_clip:ViT-B-16-SigLIP:webli"
    with stand_in(name):
        assert clipcodec.embed_images(pictures[:1], backbone=name).shape == (1, 512)
        assert clipcodec.embed_images(pictures[:1], backbone="openai-vit-l-14-336").shape[1] == 768
    assert before == BACKBONES


def test_a_program_runs_in_the_block_with_its_own_arguments(
    pictures: list[Path], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, clipcodec\n"
        "if __name__ == '__main__':\n"
        "    print(sys.argv[1:], len(clipcodec.encode(sys.argv[1], max_bytes=50)) <= 50)\n"
    )
    command = [sys.executable, "-m", "tests.helpers.stand_in", str(program), str(pictures[0])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ran.stdout, ran.stderr) == (f"[{str(pictures[0])!r}] True\n", "")
