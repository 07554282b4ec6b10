"""Inputs of every kind become blocks of embeddings with names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec.cli.embedded import Block, Embedded
from clipcodec.codec import Codec
from clipcodec.errors import OptionError
from tests.helpers.profiles import drawn
from tests.helpers.tiny_models import make_folder, make_model, save

LARGE = "openai-vit-l-14-336/predictive"


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return drawn(20)


@pytest.fixture
def folder(tmp_path: Path, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """x.npy, one.npy, a.clip, b.clip, named.clpc with ids, plain.clpc without."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows)
    np.save("one.npy", rows[0])
    streams = clipcodec.encode_embeddings(rows)
    Path("a.clip").write_bytes(streams[0])
    Path("b.clip").write_bytes(streams[1])
    write("named.clpc", streams, [f"photo {i}.jpg" for i in range(20)])
    write("plain.clpc", streams)
    return tmp_path


def write(name: str, streams: list[bytes], ids: list[str] | None = None) -> None:
    with clipcodec.create(name) as writer:
        writer.extend(streams, ids=ids)


def gathered(*names: str, codec: Codec | None = None, **options: Any) -> tuple[Embedded, Any, Any]:
    """All blocks together: names and rows."""
    embedded = Embedded(names, codec or Codec(), **options)
    blocks: list[Block] = list(embedded)
    found = [name for block in blocks for name in block.names]
    rows = np.concatenate([block.embeddings for block in blocks]) if blocks else None
    return embedded, found, rows


def test_every_kind_of_input_in_order(folder: Path, rows: np.ndarray) -> None:
    """Names: the input of a single one, the id of an item, else input/number."""
    embedded, names, found = gathered("a.clip", "x.npy", "named.clpc", "one.npy", "plain.clpc")
    assert embedded.failed == 0
    assert embedded.expected == len(names) == 62
    assert names[0] == "a.clip"
    assert names[1:21] == [f"x.npy/{i}" for i in range(20)]
    assert names[21:41] == [f"photo {i}.jpg" for i in range(20)]
    assert names[41] == "one.npy"
    assert names[42:] == [f"plain.clpc/{i}" for i in range(20)]
    assert np.allclose(found[1:21], rows, atol=1e-6)
    decoded = clipcodec.decode_batch(clipcodec.encode_embeddings(rows))
    assert np.allclose(found[21:41], decoded, atol=1e-5)
    assert np.allclose(found[0], decoded[0], atol=1e-5)


def test_blocks_are_bounded_and_small_inputs_share_one(folder: Path) -> None:
    blocks = list(Embedded(["a.clip", "b.clip", "named.clpc"], Codec(), rows=8))
    assert [len(block.places) for block in blocks] == [2, 8, 8, 4]
    blocks = list(Embedded(["a.clip", "b.clip", "named.clpc"], Codec(), rows=30))
    assert [len(block.places) for block in blocks] == [22]
    assert blocks[0].backbone == "openai-vit-b-32"
    mixed = list(Embedded(["a.clip", "one.npy"], Codec()))  # a file of rows does not say its model
    assert [block.backbone for block in mixed] == ["openai-vit-b-32", None]


def test_a_bad_row_and_a_bad_item_are_named_and_the_others_go_on(
    folder: Path, rows: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = rows.copy()
    bad[3] = 0
    np.save("bad.npy", bad)
    streams = clipcodec.encode_embeddings(rows)
    streams[7] = streams[7][:-1]
    write("bad.clpc", streams, [f"p{i}" for i in range(20)])
    embedded, names, _ = gathered("bad.npy", "none.clip", "bad.clpc", "a.clip")
    assert embedded.failed == 3
    assert len(names) == 39
    assert "bad.npy/3" not in names
    assert "p7" not in names
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert "bad.npy, item 3: all zero" in said[0]
    assert "none.clip: No such file" in said[1]
    assert "bad.clpc, item 7 (p7):" in said[2]


@pytest.mark.parametrize("dim", [512, 768])
def test_a_container_of_two_models_is_used_up_to_the_second(
    folder: Path, rows: np.ndarray, capsys: pytest.CaptureFixture[str], dim: int
) -> None:
    """Models of different widths, or of one width but with different backbones."""
    if dim == 768:
        other = clipcodec.encode_embeddings(drawn(2, LARGE), profile=LARGE)
    else:
        other = clipcodec.encode_embeddings(rows[:2], profile="any/rotation")
    write("mixed.clpc", clipcodec.encode_embeddings(rows[:3]) + other)
    embedded, names, _ = gathered("mixed.clpc", "a.clip")
    assert names == ["mixed.clpc/0", "mixed.clpc/1", "mixed.clpc/2", "a.clip"]
    assert embedded.failed == 1
    said = capsys.readouterr().err
    assert f"item 3 is an embedding of {'any' if dim == 512 else 'openai-vit-l-14-336'!r}" in said
    assert "make a container for each model" in said


def test_a_private_profile_that_is_missing_is_said_once(
    folder: Path, tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.helpers.profiles import cone

    write("own.clpc", clipcodec.encode_embeddings(cone(9, 8), profile=tiny_path))
    embedded, names, _ = gathered("own.clpc")
    assert (embedded.failed, names) == (1, [])
    assert "--profile FILE" in capsys.readouterr().err
    embedded, names, found = gathered("own.clpc", codec=Codec(tiny_path), profile=str(tiny_path))
    assert (embedded.failed, len(names), found.shape) == (0, 9, (9, 8))


def test_images_are_embedded_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged one is named; the order of the inputs is kept."""
    spec = make_folder(folder / "model")
    weights = save(make_model(spec), folder / "weights.safetensors")
    for i in range(3):
        Image.new("RGB", (40, 30), (80 * i, 20, 30)).save(f"{i}.png")
    Path("1.png").write_bytes(Path("1.png").read_bytes()[:50])
    codec = Codec("any/rotation", backbone=spec.name, weights=weights, device="cpu")
    stream = codec.encode("0.png")
    Path("s.clip").write_bytes(stream)
    embedded, names, found = gathered("0.png", "1.png", "s.clip", "2.png", codec=codec)
    assert names == ["0.png", "s.clip", "2.png"]
    assert embedded.failed == 1
    assert "1.png" in capsys.readouterr().err
    assert np.allclose(found[[0, 2]], codec.embed_images(["0.png", "2.png"]), atol=1e-5)
    assert (found[0] * found[1]).sum() > 0.9


def test_other_files_are_refused_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    embedded, names, _ = gathered("a.zip", str(folder), "a.clip")
    assert (embedded.failed, names) == (2, ["a.clip"])
    said = capsys.readouterr().err
    assert "an archive, expected an image, embeddings, a stream or a container" in said
    assert "a directory, expected" in said


def test_stdin_is_given_once() -> None:
    with pytest.raises(OptionError, match="only once"):
        Embedded(["-", "-"], Codec())
