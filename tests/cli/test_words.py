"""`search --text`, `classify` and `embed-text` as people type them, many in real subprocesses.

The model is tiny and random, so what comes out is compared with the Python API on the same model.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcodec
from clipcodec import TextEmbeddings
from clipcodec.cli import main
from tests.helpers import tiny_models
from tests.helpers.paths import ROOT

pytest.importorskip("open_clip")


@dataclass(frozen=True)
class World:
    folder: Path
    backbone: str

    def run(self, *args: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "clipcodec", *args],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **env},
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def out(self, *args: str) -> str:
        """What a command that succeeds prints; in this process, where torch is loaded already."""
        raw, here = io.BytesIO(), os.getcwd()
        os.chdir(self.folder)
        try:
            with redirect_stdout(io.TextIOWrapper(raw, "utf-8", newline="")) as out:
                code = main(list(args))
                out.flush()
        finally:
            os.chdir(here)
        assert code == 0
        return raw.getvalue().decode()

    @property
    def model(self) -> list[str]:
        return ["--backbone", self.backbone, "--device", "cpu"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six pictures in a folder, a container of them, and the model that embedded them."""
    folder = tmp_path_factory.mktemp("words")
    spec = tiny_models.make_folder(folder / "model", text=tiny_models.TEXT)
    model = tiny_models.make_model(spec)
    tiny_models.save(model, folder / "model" / "open_clip_model.safetensors")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.png")
    made = World(folder, "local-dir:model")
    done = made.run("search", "photos", "--text", "a dog", "--index", "photos.clpc",
                    "--profile", "any/rotation", "-k", "1", *made.model)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return made


def expected(world: World, text: str, **options: Any) -> tuple[list[int], np.ndarray]:
    """Places by cosine, the best first, and the cosines, by the Python API."""
    name = f"local-dir:{world.folder / 'model'}"
    query = clipcodec.embed_texts([text], backbone=name, device="cpu", **options)
    with clipcodec.open(world.folder / "photos.clpc") as photos:
        hits = clipcodec.search(photos, query, k=6)
    return hits.indices[0].tolist(), hits.scores[0]


# --- search ---


def test_search_by_words_finds_what_the_embeddings_say(world: World) -> None:
    line = world.out("search", "photos.clpc", "--text", "a dog", "-k", "6", "--json", *world.model)
    found = json.loads(line)
    places, scores = expected(world, "a dog")
    assert (found["query"], found["kind"]) == ("a dog", "text")
    assert [hit["index"] for hit in found["hits"]] == places
    assert [hit["id"] for hit in found["hits"]] == [f"{i}.png" for i in places]
    assert np.allclose([hit["score"] for hit in found["hits"]], scores, atol=1e-4)


def test_several_queries_are_told_apart_in_every_output(world: World) -> None:
    asked = ["search", "photos.clpc", "--text", "a dog", "--text", "two\tcats", "--query",
             "photos/3.png", "-k", "2", *world.model]  # fmt: skip
    plain = world.out(*asked).splitlines()
    assert [plain[0], plain[3], plain[6]] == ['"a dog"', '"two\\tcats"', "photos/3.png"]
    assert plain[7].split()[1] == "3.png", "a picture is nearest to itself"
    rows = [line.split("\t") for line in world.out(*asked, "--tsv").splitlines()]
    assert rows[0] == ["query", "rank", "score", "index", "id"]
    assert [row[:2] for row in rows[1:]] == [
        [query, rank] for query in ("a dog", "two\\tcats", "photos/3.png") for rank in "12"
    ]
    lines = [json.loads(line) for line in world.out(*asked, "--json").splitlines()]
    assert [line["query"] for line in lines] == ["a dog", "two\tcats", "photos/3.png"]
    assert [line["kind"] for line in lines] == ["text", "text", "image"]


def test_rows_of_a_file_of_embeddings_are_told_apart(world: World) -> None:
    np.save(world.folder / "two.npy", np.random.default_rng(1).normal(size=(2, 16)))
    lines = world.out("search", "photos.clpc", "--query", "two.npy", "--json").splitlines()
    assert [json.loads(line)["query"] for line in lines] == ["two.npy/0", "two.npy/1"]


def test_an_index_is_made_of_a_folder_and_kept_up_to_date(world: World, tmp_path: Path) -> None:
    """What is there already is not embedded again; a picture that is new is added."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photos" / "red.png")
    here = World(tmp_path, f"local-dir:{world.folder / 'model'}")
    asked = ["search", "photos", "--text", "x", "--index", "p.clpc", "--profile", "any/rotation",
             *here.model]  # fmt: skip
    assert "photos: 1 image → " in here.run(*asked).stderr
    Image.new("RGB", (40, 40), "blue").save(tmp_path / "photos" / "blue.png")
    done = here.run(*asked)
    assert "photos: 1 image → " in done.stderr
    assert "1 more there already)" in done.stderr
    assert len(done.stdout.splitlines()) == 3
    done = here.run("search", "photos", "--text", "x")
    assert done.returncode == 1
    assert "makes a container of its images; or give --index OUT.clpc" in done.stderr
    done = here.run("search", "p.clpc", "--text", "x", "--max-bytes", "50")
    assert (done.returncode, "needs --index FILE" in done.stderr) == (2, True)
    done = here.run("search", "p.clpc", "--text", "x", "--index", "q.clpc")
    assert (done.returncode, "a container already" in done.stderr) == (2, True)


@pytest.mark.parametrize("column", ["vectors", "streams"])
def test_an_index_is_made_of_a_table(tmp_path: Path, column: str) -> None:
    """The ids are the numbers of the rows; a null has none."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    from clipcodec.integrations.arrow import encode_table

    x = np.random.default_rng(0).normal(size=(5, 16))
    rows = [x[0], x[1], None, x[3], x[4]]
    table = pa.table({"n": list(range(5)), "vectors": pa.array(rows, pa.list_(pa.float64()))})
    if column == "streams":
        table = encode_table(table, "vectors", profile="any/rotation", into="streams")
    pq.write_table(table, tmp_path / "t.parquet")
    np.save(tmp_path / "q.npy", x[3])
    here = World(tmp_path, "")
    asked = ["search", "t.parquet", "--index", "t.clpc", "--query", "q.npy", "--json", "-k", "1",
             "--profile", "any/rotation"]  # fmt: skip
    assert json.loads(here.out(*asked))["hits"][0]["id"] == "3"
    done = here.run(*asked)
    assert "used as it is" in done.stderr
    assert json.loads(done.stdout)["hits"][0]["id"] == "3"


def test_a_table_without_one_choice_needs_a_column(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    two = pa.array([[1.0, 2.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"a": two, "b": two}), tmp_path / "t.parquet")
    np.save(tmp_path / "q.npy", np.ones(2))
    done = World(tmp_path, "").run("search", "t.parquet", "--index", "t.clpc", "--query", "q.npy")
    assert (done.returncode, "'a', 'b'; name one with --column" in done.stderr) == (2, True)
    assert not (tmp_path / "t.clpc").exists()


def test_a_table_that_failed_is_indexed_once_it_is_mended(tmp_path: Path) -> None:
    """What the first run left is no obstacle; the message names the table."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    x = np.random.default_rng(0).normal(size=(3, 16))
    bad = x.copy()
    bad[1, 0] = np.nan
    np.save(tmp_path / "q.npy", x[1])
    here = World(tmp_path, "")
    asked = ["search", "t.parquet", "--index", "t.clpc", "--query", "q.npy", "--json", "-k", "1",
             "--profile", "any/rotation"]  # fmt: skip
    kind = pa.list_(pa.float64())
    pq.write_table(pa.table({"v": pa.array(list(bad), kind)}), tmp_path / "t.parquet")
    done = here.run(*asked)
    assert (done.returncode, done.stdout) == (1, "")
    assert "t.parquet" in done.stderr
    assert "row 1" in done.stderr
    pq.write_table(pa.table({"v": pa.array(list(x), kind)}), tmp_path / "t.parquet")
    assert json.loads(here.out(*asked))["hits"][0]["id"] == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.npy", "t.clpc", "t.parquet"]


def test_an_input_that_failed_in_the_index_shows_in_the_exit_code(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 16))
    rows[1] = 0
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "q.npy", rows[2])
    done = World(tmp_path, "").run("search", "rows.npy", "--index", "r.clpc", "--query", "q.npy",
                                   "--json", "-k", "1", "--profile", "any/rotation")  # fmt: skip
    assert json.loads(done.stdout)["hits"][0]["id"] == "rows.npy/2"
    assert (done.returncode, "rows.npy/1: all zero" in done.stderr) == (1, True), done.stderr


def test_an_index_on_stdout_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.eye(2, 16))
    done = World(tmp_path, "").run("search", "rows.npy", "--index", "-", "--query", "rows.npy")
    assert (done.returncode, "name a file" in done.stderr) == (2, True), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


def test_a_container_of_several_models_is_named_with_the_remedy(tmp_path: Path) -> None:
    with clipcodec.create(tmp_path / "mixed.clpc") as writer:
        for dim in (16, 24):
            writer.extend(clipcodec.encode_embeddings(np.eye(1, dim), profile="any/rotation"))
    np.save(tmp_path / "q.npy", np.eye(1, 16))
    done = World(tmp_path, "").run("search", "mixed.clpc", "--query", "q.npy")
    assert (done.returncode, done.stdout) == (1, "")
    assert "mixed.clpc" in done.stderr
    assert "keep streams of each model apart" in done.stderr


# --- embed-text, and what needs no torch ---


def test_words_embedded_on_one_machine_search_and_classify_on_another(world: World) -> None:
    """The second machine has no torch: importing it fails there."""
    (world.folder / "words.txt").write_text("a dog\n\n  a cat  \n", "utf-8-sig")
    world.out("embed-text", "words.txt", "--text", "a cow", "-o", "w.safetensors", "-f",
              "--templates", "simple", *world.model)  # fmt: skip
    texts = TextEmbeddings.load(world.folder / "w.safetensors")
    assert texts.names == ("a dog", "a cat", "a cow")
    assert texts.backbone == world.backbone
    block = world.folder / "block"
    block.mkdir(exist_ok=True)
    for name in ("torch", "open_clip", "PIL"):
        (block / f"{name}.py").write_text(f"raise ImportError('no {name}')\n")
    path = f"{block}{os.pathsep}{ROOT}"
    done = world.run("search", "photos.clpc", "--text-embeddings", "w.safetensors", "--json",
                     "-k", "6", PYTHONPATH=path)  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["query"] for line in lines] == ["a dog", "a cat", "a cow"]
    places, _ = expected(world, "a dog", templates="simple")
    assert [hit["index"] for hit in lines[0]["hits"]] == places
    done = world.run(
        "classify", "photos.clpc", "--labels", "w.safetensors", "--json", PYTHONPATH=path
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6


def test_embed_text_reads_stdin_and_writes_stdout(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clipcodec", "embed-text", "-", "-o", "-", *world.model],
        cwd=world.folder, input=b"cat\ndog\n", capture_output=True, check=True,
    )  # fmt: skip
    assert TextEmbeddings.load(done.stdout).names == ("cat", "dog")


@pytest.mark.parametrize(
    ("args", "stdin", "words"),
    [
        (["-o", "w.npy", "--text", "a"], b"", ".npy has no place for them"),
        (["-o", "x.safetensors"], b"", "no texts"),
        (["-", "-o", "x.safetensors"], b"\n \n", "no texts, expected one per line"),
        (["-", "-o", "x.safetensors"], b"\xff\xfe", "expected texts in UTF-8"),
        (["-o", "x.safetensors", "--text", "a", "--templates", "none"], b"", "imagenet or simple"),
    ],
)
def test_embed_text_refuses(world: World, args: list[str], stdin: bytes, words: str) -> None:
    done = world.run("embed-text", *args, *world.model, stdin=stdin)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert not (world.folder / "x.safetensors").exists()


# --- classify ---


def test_classify_gives_the_probabilities_of_the_python_api(world: World) -> None:
    labels = ["cat", "dog", "cow"]
    with clipcodec.open(world.folder / "photos.clpc") as photos:
        found = clipcodec.classify(photos, labels, k=2, device="cpu",
                                   backbone=f"local-dir:{world.folder / 'model'}")  # fmt: skip
    asked = ["classify", "photos.clpc", "--labels", *labels, "-k", "2", *world.model]
    lines = [json.loads(line) for line in world.out(*asked, "--json").splitlines()]
    assert [line["id"] for line in lines] == [f"{i}.png" for i in range(6)]
    for line, names, values in zip(lines, found.names, found.probabilities, strict=True):
        assert [label["label"] for label in line["labels"]] == names
        assert np.allclose([label["probability"] for label in line["labels"]], values, atol=1e-4)
    rows = [line.split("\t") for line in world.out(*asked, "--tsv").splitlines()]
    assert rows[0] == ["name", "rank", "label", "probability"]
    assert len(rows) == 13


def test_classify_takes_images_streams_and_embeddings_and_counts_at_the_end(world: World) -> None:
    streams = clipcodec.encode_embeddings(np.eye(2, 16), profile="any/rotation")
    (world.folder / "one.clip").write_bytes(streams[0])
    np.save(world.folder / "rows.npy", np.eye(2, 16))
    (world.folder / "bad.clip").write_bytes(b"\x41\x00")
    (world.folder / "labels.txt").write_text("cat\ndog\n")
    done = world.run("classify", "photos/1.png", "one.clip", "bad.clip", "rows.npy", "--labels",
                     "labels.txt", "--profile", "any/rotation", *world.model)  # fmt: skip
    assert done.returncode == 1
    names = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert names == ["photos/1.png", "one.clip", "rows.npy/0", "rows.npy/1"]
    assert "bad.clip" in done.stderr
    assert "4 in all, by their best label:" in done.stderr
    assert done.stdout.count("%") == 8


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["photos.clpc", "--labels", "cat", "cat"], 2, "'cat' given more than once"),
        (["photos.clpc", "--labels", ""], 2, "number 0 is empty"),
        (["photos.clpc", "--labels", "cat", "-k", "0"], 2, "-k 0"),
        (["photos.clpc", "--labels", "cat", "--temperature", "0"], 2, "--temperature 0"),
        (
            ["photos.clpc", "--labels", "cat"],
            2,
            "does not say which model made them: name it, --backbone NAME",
        ),
        (["-", "--labels", "-"], 2, "cannot both be stdin"),
    ],
)
def test_classify_refuses(world: World, args: list[str], code: int, words: str) -> None:
    done = world.run("classify", *args)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["labls.txt"], "there is no file labls.txt"),
        (["words.safetensors"], "there is no file words.safetensors"),
        (["photos"], "photos is a directory"),
        (["some.txt", "cat"], "some.txt is a file, and more is given"),
    ],
)
def test_labels_meant_as_a_file_are_never_taken_as_words(
    world: World, labels: list[str], words: str
) -> None:
    """A single word would get 100 % of every picture, so a mistyped name must be said."""
    (world.folder / "some.txt").write_text("cat\ndog\n")
    done = world.run("classify", "photos.clpc", "--labels", *labels, *world.model)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert done.stdout == ""


def test_a_text_ends_at_the_end_of_its_line_only(world: World) -> None:
    """Not at other characters that Python counts as ends of lines."""
    (world.folder / "odd.txt").write_bytes("a\u2028b\x0bc\x85d\r\ntwo\rthree\n".encode())
    world.out("embed-text", "odd.txt", "-o", "odd.safetensors", "-f", *world.model)
    names = TextEmbeddings.load(world.folder / "odd.safetensors").names
    assert names == ("a\u2028b\x0bc\x85d", "two", "three")


def test_labels_of_another_model_are_said_once_for_a_file(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(1100, 512))
    with clipcodec.create(tmp_path / "c.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(x, max_bytes=20))
    TextEmbeddings(("cat", "dog"), x[:2].astype(np.float32), "another").save(
        tmp_path / "w.safetensors"
    )
    done = World(tmp_path, "").run("classify", "c.clpc", "--labels", "w.safetensors", "-q")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("clipcodec: c.clpc: embeddings of openai-vit-b-32, the labels are of")


def test_other_verbs_know_a_file_of_text_embeddings(tmp_path: Path) -> None:
    """They are no images, so `compress` and `classify` refuse them as inputs."""
    TextEmbeddings(("cat", "dog"), np.eye(2, 512, dtype=np.float32), None).save(
        tmp_path / "w.safetensors"
    )
    here = World(tmp_path, "")
    for args in (["compress", "w.safetensors", "-o", "w.clpc"], ["compress", "w.safetensors"],
                 ["classify", "w.safetensors", "--labels", "w.safetensors"]):  # fmt: skip
        done = here.run(*args)
        assert done.returncode in (1, 2), args
        assert "a file of text embeddings, expected" in done.stderr
        assert "clipcodec search --text-embeddings" in done.stderr
    assert "a file of text embeddings" in here.out("info", "w.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_without_weights_the_remedy_is_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 512))
    with clipcodec.create(tmp_path / "c.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(x))
    here = World(tmp_path, "")
    for args in (["search", "c.clpc", "--text", "a"], ["classify", "c.clpc", "--labels", "a"]):
        done = here.run(*args, HF_HOME=str(tmp_path), CLIPCODEC_WEIGHTS="")
        assert (done.returncode, done.stdout) == (1, "")
        assert "clipcodec fetch openai-vit-b-32" in done.stderr


def test_an_empty_container_is_named(tmp_path: Path) -> None:
    clipcodec.create(tmp_path / "e.clpc").close()
    np.save(tmp_path / "q.npy", np.ones(512))
    done = World(tmp_path, "").run(
        "search", "e.clpc", "--query", "q.npy", "--profile", "any/rotation"
    )
    assert (done.returncode, "e.clpc: no items to search" in done.stderr) == (0, True), done.stderr
