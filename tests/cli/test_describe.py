"""`clipcodec info` of embeddings, images and tables: what is in them, and which verb takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import clipcodec
from clipcodec.carriers import dimensions
from clipcodec.errors import ImageError
from tests.helpers.processes import exit_code, run
from tests.helpers.profiles import cone, write_tiny_profile


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def info(capsys: pytest.CaptureFixture[str]) -> Any:
    """What `info --json` says of files, which must not fail."""

    def ask(*names: str, code: int = 0) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert exit_code("info", "--json", *names) == code
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return ask


def stream(seed: int = 0, **options: Any) -> bytes:
    return clipcodec.encode_embedding(cone(3, 16, seed)[0], profile="any/rotation", **options)


# embeddings


def test_every_file_of_embeddings(info: Any) -> None:
    rows = cone(40, 512) * np.linspace(1, 3, 40, dtype=np.float32)[:, None]
    np.save("a.npy", rows)
    np.savez("a.npz", embeddings=rows, labels=np.arange(40))
    save_file({"embeddings": rows}, "a.safetensors")
    np.savetxt("a.csv", rows, delimiter=",", fmt="%.9g")
    names = ["a.npy", "a.npz", "a.safetensors", "a.csv"]
    for name, found in zip(names, info(*names), strict=True):
        assert found["file"] == name
        assert found["shape"] == [40, 512]
        assert found["dtype"] == ("float64" if name == "a.csv" else "float32")
        assert found["size"] == Path(name).stat().st_size
        assert found["profiles"] == ["openai-vit-b-32/predictive", "any/rotation"]
        assert found["norms"] == pytest.approx({"least": 1, "mean": 2, "most": 3}, abs=1e-4)
        assert (found["zero"], found["not_finite"], found["measured"]) == (0, 0, 40)
        assert "clipcodec compress" in found["verbs"]


def test_rows_that_cannot_be_encoded_are_counted(info: Any) -> None:
    rows = cone(100_000, 3).astype(np.float16)
    rows[0] = 0
    rows[-1, 1] = np.inf
    np.save("rows.npy", rows)
    np.save("wide.npy", cone(2, 7))
    np.save("words.npy", np.array(["a", "b"]))
    found, wide, words = info("rows.npy", "wide.npy", "words.npy")
    assert (found["zero"], found["not_finite"], found["measured"]) == (1, 1, 1 << 16)
    assert found["norms"]["most"] == pytest.approx(1, abs=1e-2)
    assert wide["profiles"] == ["any/rotation"]
    assert "expected real numbers" in words["fault"]
    assert words["verbs"] is None


def test_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("rows.npy", np.eye(512, dtype=np.float32)[:3])
    assert exit_code("info", "rows.npy") == 0
    assert capsys.readouterr().out.splitlines() == [
        "rows.npy: a NumPy array",
        "  shape      3 × 512, float32",
        "  size       6,272 bytes",
        "  norms      1 to 1, mean 1",
        "  profiles   openai-vit-b-32/predictive, any/rotation",
        "  verbs      `clipcodec compress` makes a container of its rows",
    ]


def test_pipes_and_bad_files(info: Any, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("rows.npy", cone(3, 16))
    done = run("info", "-", "--json", stdin=Path("rows.npy").read_bytes())
    assert json.loads(done.stdout)["shape"] == [3, 16]
    Path("cut.npy").write_bytes(Path("rows.npy").read_bytes()[:90])
    Path("cut.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00")
    Path("cut.gif").write_bytes(b"GIF89a")
    for name in ("cut.npy", "cut.jpg", "cut.gif", "none.npy"):
        assert exit_code("info", name) == 1
        said = capsys.readouterr().err
        assert f"{name}: " in said
        assert "Traceback" not in said
    (found,) = info("cut.npy", "rows.npy", code=1)  # the others go on
    assert found["file"] == "rows.npy"


# images

FORMATS = {"jpg": "a JPEG image", "png": "a PNG image", "webp": "a WebP image",
           "avif": "an AVIF or HEIF image"}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("size", [(300, 20), (31, 257)])
def test_an_image_and_its_streams(info: Any, suffix: str, size: tuple[int, int]) -> None:
    name = f"a.{suffix}"
    Image.linear_gradient("L").convert("RGB").resize(size).save(name)
    assert dimensions(name) == size
    (found,) = info(name)
    assert (found["format"], found["width"], found["height"]) == (FORMATS[suffix], *size)
    assert found["streams"] == []
    assert "extract" in found["verbs"]
    with_stream = clipcodec.attach(name, stream(quality=40))
    write_tiny_profile(Path("p.safetensors"))
    private = clipcodec.encode_embedding(cone(1, 8)[0], profile="p.safetensors")
    Path(name).write_bytes(clipcodec.attach(with_stream, private))
    assert dimensions(name) == size
    (found,) = info(name)
    ours, other = found["streams"]
    assert (ours["profile"], ours["quality"], ours["dim"]) == ("any/rotation", 40, 16)
    assert ours["size"] == len(stream(quality=40))
    assert other["profile"].startswith("private, ")
    assert "profile" in other["fault"]
    (found,) = info(name, "--profile", "p.safetensors")
    assert "fault" not in found["streams"][1]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}])
def test_dimensions_of_every_webp(mode: str, options: dict[str, Any]) -> None:
    """Lossy, lossless and extended."""
    Image.new(mode, (33, 7)).save("a.webp", **options)
    assert dimensions("a.webp") == (33, 7)


def test_dimensions_of_other_writers() -> None:
    """A progressive JPEG with a long Exif before its frame; a PNG of 16 bits; damage."""
    Image.new("RGB", (40, 50)).save("a.jpg", progressive=True, exif=b"Exif\0\0" + bytes(60_000))
    assert dimensions("a.jpg") == (40, 50)
    Image.new("I;16", (9, 8)).save("a.png")
    assert dimensions("a.png") == (9, 8)
    with pytest.raises(ImageError, match="damaged"):
        dimensions(Path("a.png").read_bytes()[:20])
    with pytest.raises(ImageError, match="cannot hold a stream"):
        dimensions(b"GIF89a")


@pytest.mark.parametrize(("suffix", "kind"), [("gif", "GIF"), ("tif", "TIFF")])
def test_an_image_that_carries_no_streams(info: Any, suffix: str, kind: str) -> None:
    Image.new("RGB", (12, 5)).save(f"a.{suffix}")
    (found,) = info(f"a.{suffix}")
    assert (found["kind"], found["width"], found["height"]) == (kind, 12, 5)
    assert "compress" in found["verbs"]
    assert "extract" not in found["verbs"]


# tables


def test_a_table(info: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    from clipcodec.integrations.arrow import compress_parquet

    rows = cone(5, 512)
    Image.new("RGB", (8, 8)).save("a.jpg")
    photo = Path("a.jpg").read_bytes()
    mixed = [stream(), clipcodec.encode_embedding(rows[0]), None, None, None]
    columns = {
        "n": pa.array(range(5)),
        "fixed": pa.array(list(rows), pa.list_(pa.float32(), 512)),
        "free": pa.array([None, *(row[:7].tolist() for row in rows[1:])]),
        "uneven": pa.array([[1.0] * n for n in range(1, 6)]),
        "streams": pa.array([None, *clipcodec.encode_embeddings(rows[1:])]),
        "mixed": pa.array(mixed),
        "photo": pa.array([photo] * 5),
        "hf": pa.array([{"bytes": photo, "path": None}] * 5),
        "blob": pa.array([b"zz"] * 5),
        "none": pa.array([None] * 5, pa.binary()),
        "text": pa.array(["x"] * 5),
        "a.b": pa.array([[1.0, 2.0]] * 5),
    }
    pq.write_table(pa.table(columns), "t.parquet", row_group_size=3)
    (found,) = info("t.parquet")
    assert (found["rows"], found["row_groups"]) == (5, 2)
    assert found["size"] == Path("t.parquet").stat().st_size
    assert "--column" in found["verbs"]
    b32 = "openai-vit-b-32/predictive"
    told = {c["name"]: (c["holds"], c["width"], c["profile"]) for c in found["columns"]}
    assert told == {
        "n": ("other", None, None),
        "fixed": ("embeddings", 512, None),
        "free": ("embeddings", 7, None),
        "uneven": ("embeddings", None, None),
        "streams": ("streams", 512, b32),
        "mixed": ("streams", None, None),
        "photo": ("images", None, None),
        "hf": ("images", None, None),
        "blob": ("other", None, None),
        "none": ("other", None, None),
        "text": ("other", None, None),
        "a.b": ("embeddings", 2, None),
    }
    compress_parquet("t.parquet", "t.clip.parquet", "fixed")
    piped = run("info", "-", "--json", stdin=Path("t.clip.parquet").read_bytes())
    by_name = {c["name"]: c for c in json.loads(piped.stdout)["columns"]}
    made = by_name["fixed"]
    assert (made["holds"], made["width"], made["profile"]) == ("streams", 512, b32)


def test_a_damaged_table_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    Path("t.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    assert exit_code("info", "t.parquet") == 1
    said = capsys.readouterr().err
    assert "t.parquet" in said
    assert "not a readable Parquet file" in said


# search indexes


def test_a_search_index(info: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What it was made of, and that `search` takes it; every verb knows it by its first bytes."""
    with clipcodec.create("a.clpc") as writer:
        writer.extend([stream(seed) for seed in range(3)], ["x", "y", "z"])
    with clipcodec.open("a.clpc") as container:
        clipcodec.SearchIndex.build(container, "a.clpi")
    (found,) = info("a.clpi")
    assert (found["items"], found["width"], found["exact"]) == (3, 16, False)
    assert found["profiles"] == ["any/rotation"]
    assert [Path(source).name for source in found["sources"]] == ["a.clpc"]
    assert "`clipcodec search` takes it" in found["verbs"]
    assert exit_code("info", "a.clpi") == 0
    assert "made of" in capsys.readouterr().out
    for line in ("decompress a.clpi", "head a.clpi", "delete a.clpi x", "compress a.clpi"):
        assert exit_code(*line.split()) == 1
        assert "a.clpi: a search index, expected" in capsys.readouterr().err
    done = run("info", "-", stdin=Path("a.clpi").read_bytes())
    assert done.returncode == 1
    assert b"give its path" in done.stderr
    Path("cut.clpi").write_bytes(Path("a.clpi").read_bytes()[:200])
    assert exit_code("info", "cut.clpi") == 1
    assert "cut; copy it or build it again" in capsys.readouterr().err


def test_containers_and_search_indexes_are_told_apart_in_python() -> None:
    with clipcodec.create("a.clpc") as writer:
        writer.append(stream())
    with clipcodec.open("a.clpc") as container:
        index = clipcodec.SearchIndex.build(container, "a.clpi")
    with pytest.raises(clipcodec.CorruptError, match=r"a.clpi: a search index, no container"):
        clipcodec.open("a.clpi")
    with pytest.raises(clipcodec.CorruptError, match=r"a.clpc: a container, no search index"):
        clipcodec.SearchIndex.open("a.clpc")
    with pytest.raises(clipcodec.DecodeError, match=r"index\.search"):
        clipcodec.search(index, np.ones(16, np.float32))
    Path("empty.clpc").touch()
    with pytest.raises(clipcodec.TruncatedError, match="empty: expected a container"):
        clipcodec.open("empty.clpc")
