"""`clipcodec search` of several containers, of some items, and by a saved index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import SearchIndex
from clipcodec.cli import main
from tests.helpers.profiles import cone

DIM = 24
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two containers with ids, one query, and a folder to work in."""
    monkeypatch.chdir(tmp_path)
    for seed, count in enumerate((30, 20)):
        streams = clipcodec.encode_embeddings(cone(count, DIM, seed), profile="any/rotation")
        with clipcodec.create(f"{seed}.clpc") as writer:
            writer.extend(streams, ids=[f"{seed}/{i}.jpg" for i in range(count)])
    np.save("q.npy", cone(1, DIM, 9))
    return tmp_path


@pytest.fixture
def said(here: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["search", *words, "--query", "q.npy"])
        return code, *capsys.readouterr()

    return run


def both() -> list[clipcodec.Container]:
    return [clipcodec.open("0.clpc"), clipcodec.open("1.clpc")]


def test_several_containers_are_named_in_every_form(said: Said) -> None:
    hits = clipcodec.search(both(), np.load("q.npy"), 4)
    files = [f"{source}.clpc" for source in hits.sources[0]]
    code, out, _ = said("0.clpc", "1.clpc", "-k", "4", "--json")
    assert code == 0
    found = json.loads(out)["hits"]
    assert [hit["id"] for hit in found] == hits.ids[0]
    assert [hit["file"] for hit in found] == files
    assert [hit["index"] for hit in found] == hits.places[0].tolist()
    assert {*files} == {"0.clpc", "1.clpc"}
    lines = said("0.clpc", "1.clpc", "-k", "4")[1].splitlines()
    assert lines[1:] == [
        f"  {score:.4f}  {id}  in {file}"
        for score, id, file in zip(hits.scores[0], hits.ids[0], files, strict=True)
    ]
    rows = [line.split("\t") for line in said("0.clpc", "1.clpc", "--tsv")[1].splitlines()]
    assert rows[0] == ["query", "rank", "score", "index", "id", "file"]
    assert rows[1][3:] == [str(hits.places[0, 0]), hits.ids[0][0], files[0]]


def test_words_that_are_not_quoted_are_no_containers(said: Said) -> None:
    code, out, err = said("0.clpc", "dogs", "--text", "two")
    assert (code, out) == (2, "")
    assert "dogs: there is no such file (a text of several words is put in quotes)" in err


def test_one_container_is_not_named(said: Said) -> None:
    assert "file" not in json.loads(said("0.clpc", "--json")[1])["hits"][0]
    assert said("0.clpc", "--tsv")[1].splitlines()[0].split("\t")[-1] == "id"


def test_a_bad_container_is_named_and_the_others_are_searched(said: Said, here: Path) -> None:
    alone = said("1.clpc", "--json")[1]
    (here / "text.clpc").write_text("no container")
    data = bytearray((here / "0.clpc").read_bytes())
    data[200] ^= 1
    (here / "0.clpc").write_bytes(data)
    code, out, err = said("none.clpc", "text.clpc", "1.clpc", "0.clpc", "--json")
    assert (code, out) == (1, alone)
    lines = err.splitlines()
    assert [
        name in line
        for name, line in zip(("none.clpc", "text.clpc", "0.clpc: items 0"), lines, strict=True)
    ] == [True] * 3
    code, out, err = said("none.clpc", "0.clpc")
    assert (code, out) == (1, "")


def test_only_some_items_are_searched(said: Said, here: Path) -> None:
    (here / "ids.txt").write_bytes("\ufeff0/3.jpg\r\n\r\n1/4.jpg\n".encode())

    def found(*words: str) -> set[str]:
        code, out, _ = said("0.clpc", "1.clpc", *words, "--json", "-k", "50")
        assert code == 0
        return {hit["id"] for hit in json.loads(out)["hits"]}

    assert found("--ids", "ids.txt") == {"0/3.jpg", "1/4.jpg"}
    assert found("--match", "*/1?.jpg") == {f"{i}/1{j}.jpg" for i in (0, 1) for j in range(10)}
    assert found("--ids", "ids.txt", "--match", "1/*") == {"1/4.jpg"}
    assert found("--match", "none*") == set()
    assert "no item fits --match none*" in said("0.clpc", "--match", "none*")[2]
    (here / "empty.txt").write_text("\n")
    code, _, err = said("0.clpc", "--ids", "empty.txt")
    assert (code, err) == (1, "clipcodec: empty.txt names no ids: expected one per line\n")
    (here / "null.txt").write_bytes(b"0/3.jpg\0")
    assert found("--ids", "null.txt") == {"0/3.jpg"}
    (here / "ids.txt").write_text("0/3.jpg\nmissing.jpg\n")
    code, _, err = said("0.clpc", "--ids", "ids.txt")
    assert code == 2
    assert err == "clipcodec search: 0.clpc: no item has the id 'missing.jpg'\n"
    code, _, err = said("0.clpc", "--ids", "none.txt")
    assert code != 0
    assert "none.txt" in err
    (here / "ids.txt").write_bytes(b"\xff")
    assert "ids.txt: a list of ids is UTF-8 text" in said("0.clpc", "--ids", "ids.txt")[2]


def test_an_index_is_made_used_and_brought_up_to_date(
    said: Said, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same hits; the second time no stream is read; ids filter it, too."""
    words = ("0.clpc", "1.clpc", "-k", "4", "--json")
    code, out, _ = said(*words)
    assert said(*words, "--save-index", "a.clpi")[:2] == (code, out)
    before = (here / "a.clpi").stat()
    with monkeypatch.context() as patch:
        patch.setattr("clipcodec.retrieval.adding.block_of", None)
        assert said(*words, "--save-index", "a.clpi")[:2] == (code, out)
    assert (here / "a.clpi").stat() == before
    where = ("--match", "1/*")
    assert said(*words, *where)[1] == said(*words, *where, "--save-index", "a.clpi")[1]
    with clipcodec.ContainerWriter("1.clpc", "a") as writer:
        writer.append(clipcodec.encode_embeddings(np.load("q.npy"), profile="any/rotation")[0],
                      id="itself.jpg")  # fmt: skip
    code, out, err = said(*words, "--save-index", "a.clpi")
    assert json.loads(out)["hits"][0]["id"] == "itself.jpg"
    assert "a.clpi: 1 item added, 0 dropped" in err
    SearchIndex.open("a.clpi").check(both())


def test_a_saved_index_is_searched_without_its_containers(said: Said, here: Path) -> None:
    words = ("-k", "3", "--json")
    wanted = said("0.clpc", *words, "--save-index", "a.clpi")[1]
    os.unlink("0.clpc")
    assert said("a.clpi", *words)[:2] == (0, wanted)
    assert json.loads(said("a.clpi", *words, "--match", "0/1.jpg")[1])["hits"][0]["index"] == 1
    for more in (("1.clpc",), ("--save-index", "b.clpi"), ("--approximate",)):
        code, _, err = said("a.clpi", *more)
        assert code == 2
        assert "a saved index is searched alone" in err


def test_a_damaged_index_is_built_again_and_other_files_stay(said: Said, here: Path) -> None:
    words = ("0.clpc", "-k", "3", "--json")
    wanted = said(*words, "--save-index", "a.clpi")[1]
    data = bytearray((here / "a.clpi").read_bytes())
    data[3 * len(data) // 4] ^= 1
    for content, why in ((bytes(data), "does not match"), (bytes(data[:200]), "cut")):
        (here / "a.clpi").write_bytes(content)
        code, out, err = said(*words, "--save-index", "a.clpi")
        assert (code, out) == (0, wanted)
        assert why in err
        assert "built again" in err
    assert said(*words, "--save-index", "b.clpc")[0] == 2  # the name of a container
    assert not (here / "b.clpc").exists()
    (here / "notes").write_text("mine")
    code, _, err = said(*words, "--save-index", "notes")
    assert code == 1
    assert "notes exists, and is no search index" in err
    assert (here / "notes").read_text() == "mine"


def test_queries_of_another_model_are_refused(
    said: Said, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).normal(size=(5, 512))
    with clipcodec.create("clip.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(x, profile="openai-vit-b-32/predictive"))
    SearchIndex.build(clipcodec.open("clip.clpc"), "clip.clpi")
    clipcodec.TextEmbeddings(("cat",), x[:1].astype(np.float32), "other/model", 100.0).save(
        here / "cat.safetensors"
    )
    assert main(["search", "clip.clpi", "--text-embeddings", "cat.safetensors"]) == 1
    assert "queries of other/model, and the index has embeddings of openai-vit-b-32" in (
        capsys.readouterr().err
    )
