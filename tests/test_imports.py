"""What may be imported where: decoding needs numpy, constriction and safetensors alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["torch", "torchvision", "open_clip", "PIL", "huggingface_hub", "tqdm", "pandas", "scipy"]

BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError("blocked " + name)
sys.meta_path.insert(0, Block())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_embeddings_encode_and_decode_without_heavy_imports() -> None:
    """In a fresh interpreter where importing torch, Pillow and the rest fails."""
    done = run(
        BLOCK + "import clipcodec, numpy as np\n"
        "x = np.random.default_rng(0).normal(size=(20, 512))\n"
        "streams = clipcodec.encode_embeddings(x)\n"
        "assert clipcodec.decode(streams[0]).shape == (512,)\n"
        "assert clipcodec.decode_batch(streams).shape == (20, 512)\n"
        "print(clipcodec.info(streams[0]).profile)\n"
    )
    assert done.returncode == 0, done.stderr
    assert "openai-vit-b-32" in done.stdout


@pytest.mark.parametrize("name", HEAVY[:4])
def test_the_block_above_can_fail(name: str) -> None:
    done = run(BLOCK + f"import {name}")
    assert done.returncode == 1
    assert f"blocked {name}" in done.stderr


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = run("import clipcodec, sys; print('numpy' in sys.modules, 'torch' in sys.modules)")
    assert done.stdout.split() == ["False", "False"]


def test_help_needs_no_numpy() -> None:
    done = run(
        "import sys, clipcodec.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: print('numpy' in sys.modules)"
    )
    assert done.stdout.split()[-1] == "False"


def test_every_public_name_exists_and_has_a_docstring() -> None:
    import clipcodec

    for name in clipcodec.__all__:
        assert getattr(clipcodec, name).__doc__, name
    assert set(clipcodec.__all__) <= set(dir(clipcodec))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        clipcodec.nothing  # noqa: B018
