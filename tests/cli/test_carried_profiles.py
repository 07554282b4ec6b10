"""Verbs that read containers need no --profile for one that carries the profile of its streams."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import clipcodec
from clipcodec import Codec, SearchIndex, TextEmbeddings, UnknownProfileError, classify, search
from clipcodec.profile.file import METADATA_KEY
from clipcodec.retrieval import codec_of
from clipcodec.web.collection import Collection
from tests.helpers.processes import caller, run
from tests.helpers.profiles import compact_profile, cone

COUNT = 9


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return cone(COUNT, 24)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: np.ndarray) -> Path:
    """own.clpc and other.clpc carry a profile each, plain.clpc has streams of the first."""
    monkeypatch.chdir(tmp_path)
    for name in ("own", "other"):
        file = compact_profile(tmp_path / f"{name}.safetensors", name=f"private/{name}")
        streams = Codec(file).encode_embeddings(rows, quality=60)
        with clipcodec.create(f"{name}.clpc", profile=file) as writer:
            writer.extend(streams, [f"{i}.jpg" for i in range(COUNT)])
        if name == "own":
            with clipcodec.create("plain.clpc") as writer:
                writer.extend(streams)
        file.unlink()
    TextEmbeddings(("third", "last"), rows[[2, -1]]).save("words.safetensors")
    return tmp_path


@pytest.fixture
def cli(here: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Runs a command: its exit code, stdout and stderr."""
    return caller(capsysbinary)


def carded(path: Path, card: dict[str, Any]) -> Path:
    """A profile with this card."""
    data = compact_profile(path).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta = json.loads(header["__metadata__"][METADATA_KEY])
    path.write_bytes(save(load(data), {METADATA_KEY: json.dumps(meta | {"card": card})}))
    return path


def damage(name: str) -> None:
    """One bit in the body of the profile."""
    data = bytearray(Path(name).read_bytes())
    data[data.index(b"prof") + 200] ^= 1
    Path(name).write_bytes(data)


def test_info_shows_what_a_container_carries(cli: Any) -> None:
    code, out, _ = cli("info", "own.clpc")
    assert code == 0
    with clipcodec.open("own.clpc") as container:
        profile, embedded = container.profile, container.embedded()
    assert profile is not None
    assert embedded is not None
    size = len(embedded.block)
    (line,) = (line for line in out.splitlines() if line.startswith("  carries"))
    digest = profile.digest.hex()
    assert line.startswith(
        f"  carries    private/own: kind compact, 24 dimensions, SHA-256 {digest[:8]}…; "
    )
    assert line.endswith(f", {size / COUNT:.1f} bytes per item")
    code, out, _ = cli("info", "--json", "own.clpc", "plain.clpc")
    own, plain = map(json.loads, out.splitlines())
    assert own["carries"] == {
        "name": "private/own", "kind": "compact", "id": None, "backbone": profile.backbone,
        "dim": 24, "sha256": digest, "file_bytes": embedded.size, "bytes": size,
        "bytes_per_item": size / COUNT, "card": profile.card,
    }  # fmt: skip
    assert plain["carries"] is None


def test_info_of_a_damaged_profile_shows_the_items_all_the_same(cli: Any) -> None:
    """What is known is on stdout; what is wrong is an error, as of any damaged input."""
    damage("own.clpc")
    code, out, err = cli("info", "own.clpc")
    assert code == 1
    assert f"items      {COUNT}, {COUNT} of them with ids" in out
    assert "  carries    a profile that cannot be read" in out
    assert "own.clpc: the profile that the container carries is damaged" in err
    code, out, err = cli("info", "--json", "own.clpc")
    assert "damaged" in json.loads(out)["carries"]["error"]
    assert cli("ids", "own.clpc")[0] == 0
    code, _, err = cli("decompress", "own.clpc", "-o", "out.npy")
    assert code == 1
    assert "give its file, --profile FILE" in err
    assert not Path("out.npy").exists()


def test_what_a_card_says_is_shown_in_short(cli: Any, here: Path, rows: np.ndarray) -> None:
    """A line for each key, escaped, and not more lines than a screen has."""
    card: dict[str, Any] = {
        "data": "x\x1b[31m" + "y" * 999,
        "learned": {"rows": 7, "plan": {"a": 1}},
    }
    card |= {f"key {i}": i for i in range(20)}
    clipcodec.create("card.clpc", profile=carded(here / "card.safetensors", card)).close()
    _, out, _ = cli("info", "card.clpc")
    lines = [line for line in out.splitlines() if line.startswith("    ")]
    assert lines[0].startswith("    data: x\\x1b[31myyy")
    assert "    learned: rows 7" in lines
    assert max(map(len, lines)) < 200
    assert lines[-1] == "    and 10 more: --json shows all"


def test_what_a_profile_was_learned_from_and_how_a_job_was_asked_are_words(cli: Any) -> None:
    """As the command line says it; what only looks like it is shown as it is."""
    known = {"learned": {"rows": 5999, "held_out": 600, "rank": 243}}
    asked = {"profile": "private/own", "digest": "ab" * 32, "mean_bytes": 50.0, "quality": None,
             "effort": 1, "settled": {"quality": 65.0, "weight": 0.5}, "root": None}  # fmt: skip
    for card, line in (
        (known, "learned from 5,999 distinct embeddings, 600 held out: 243 coefficients"),
        ({"learned": known["learned"] | {"held_out": 5999}},
         "learned from 5,999 distinct embeddings, each held out once: 243 coefficients"),
        ({"learned": {"rows": True, "held_out": "x\x1b", "rank": 1}},
         "learned: rows True, held_out x\\x1b, rank 1"),
    ):  # fmt: skip
        clipcodec.create("card.clpc", "w", profile=carded(Path("card.safetensors"), card)).close()
        assert f"    {line}" in cli("info", "card.clpc")[1].splitlines()
    for metadata, line in (
        (asked, "made with  --profile private/own, --mean-bytes 50, --effort 1, settled at quality "
         "65.0, weight 0.5"),
        ({"profile": "\x1b[31m"}, "made with  --profile \\x1b[31m"),
        ({"profile": {"a": 1}}, 'metadata   clipcodec: {"profile": {"a": 1}}'),
        ([1], "metadata   clipcodec: [1]"),
        ({"settled": 3, "effort": "9" * 999}, "made with  settled at 3, --effort 999"),
    ):  # fmt: skip
        with clipcodec.create("card.clpc", "w", metadata={"clipcodec": metadata}):
            pass
        last = cli("info", "card.clpc")[1].splitlines()[-1]
        assert last.startswith(f"  {line}")
        assert len(last) < 200


def test_decompress_takes_a_file_and_a_pipe(cli: Any, here: Path) -> None:
    code, _, err = cli("decompress", "own.clpc", "-o", "out.npy", "--ids", "ids.txt")
    assert code == 0, err
    expected = clipcodec.open("own.clpc").decode_all()
    assert np.array_equal(np.load("out.npy"), expected)
    command = [sys.executable, "-m", "clipcodec", "decompress", "-", "-o", "-"]
    with open("own.clpc", "rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, check=True)
    assert done.stdout == Path("out.npy").read_bytes()


def test_words_are_searched_and_items_named(cli: Any) -> None:
    code, out, err = cli("search", "own.clpc", "--text-embeddings", "words.safetensors", "-k", 1)
    assert code == 0, err
    assert "2.jpg" in out
    assert f"{COUNT - 1}.jpg" in out
    code, out, err = cli("classify", "own.clpc", "--labels", "words.safetensors", "-q", "--tsv")
    assert code == 0, err
    best = {
        line.split("\t")[0]: line.split("\t")[2] for line in out.splitlines() if "\t1\t" in line
    }
    assert (best["2.jpg"], best[f"{COUNT - 1}.jpg"]) == ("third", "last")


def test_head_names_profile_and_quality(cli: Any) -> None:
    code, out, _ = cli("head", "own.clpc", "-n", 1, "--json")
    assert code == 0
    line = json.loads(out)
    assert (line["profile"], line["quality"]) == ("private/own", 60)
    line = json.loads(cli("head", "plain.clpc", "-n", 1, "--json")[1])
    assert (line["profile"][:7], line["quality"]) == ("private", None)


def test_containers_of_containers_carry_it_on(cli: Any) -> None:
    expected = clipcodec.open("own.clpc").decode_all()
    code, _, err = cli("merge", "plain.clpc", "own.clpc", "-o", "all.clpc")
    assert code == 0, err
    assert np.array_equal(clipcodec.open("all.clpc").decode_all(), np.tile(expected, (2, 1)))
    code, _, err = cli("split", "all.clpc", "--parts", 2, "-o", "parts")
    assert code == 0, err
    assert np.array_equal(clipcodec.open("parts/all.0001.clpc").decode_all(), expected)
    code, _, err = cli("cat", "own.clpc", "3.jpg", "1.jpg", "-o", "two.clpc")
    assert code == 0, err
    assert np.array_equal(clipcodec.open("two.clpc").decode_all(), expected[[3, 1]])


def test_two_profiles_do_not_fit_into_one_container(cli: Any) -> None:
    code, _, err = cli("merge", "own.clpc", "other.clpc", "-o", "all.clpc")
    assert code == 1
    assert err.startswith("clipcodec: own.clpc and other.clpc carry different profiles")
    assert "merge those of each profile apart" in err
    assert not Path("all.clpc").exists()


def test_cat_and_merge_leave_out_a_damaged_profile_when_told_to(cli: Any) -> None:
    damage("own.clpc")
    for verb, more in (("cat", ["3.jpg"]), ("merge", [])):
        code, _, err = cli(verb, "own.clpc", *more, "-o", f"{verb}.clpc")
        assert (code, Path(f"{verb}.clpc").exists()) == (1, False), err
        code, _, err = cli(verb, "own.clpc", *more, "-o", f"{verb}.clpc", "--partial")
        assert code == 0, err
        assert "left out: own.clpc: the profile that the container carries is damaged" in err
        with clipcodec.open(f"{verb}.clpc") as container:
            assert container.profile is None


def test_a_stream_taken_out_needs_the_container_by_name(cli: Any) -> None:
    """The message names the remedy, and the remedy works."""
    assert cli("cat", "own.clpc", "3.jpg", "-o", "3.clip")[0] == 0
    for args in (("info", "3.clip"), ("decompress", "3.clip", "-o", "3.npy")):
        code, _, err = cli(*args)
        assert code == 1
        assert "a container that carries it, --profile FILE" in err
        code, _, err = cli(*args, "--profile", "own.clpc")
        assert code == 0, err
    with clipcodec.open("own.clpc") as container:
        assert np.array_equal(np.load("3.npy")[0], container.decode("3.jpg"))


def test_worker_processes_need_no_file_either(here: Path) -> None:
    """A real command in a fresh interpreter, by a real pipe."""
    done = run("search", "own.clpc", "--text-embeddings", "words.safetensors", "-k", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


# what takes containers in Python


def test_search_classify_and_the_page_decode_with_it(here: Path, rows: np.ndarray) -> None:
    with clipcodec.open("own.clpc") as container:
        expected = container.decode_all()
        scores, places = search(container, rows[4], k=1)
        assert (places[0, 0], float(scores[0, 0]) > 0.9) == (4, True)
        assert np.array_equal(SearchIndex(container).search(rows[4], 1)[1], [[4]])
        named = classify(container, "words.safetensors", k=1)
        assert named.names[2] == ["third"]
        page = Collection(container, "own")
        assert (page.profile.name, page.dim) == ("private/own", 24)
        assert np.array_equal(page.embedding(3), expected[3])
        assert page.nearest(rows[4], 1)[0].index == 4
    other = Codec(compact_profile(here / "mine.safetensors", name="private/mine")).profile
    with clipcodec.open("own.clpc") as container:  # given, and carried
        assert np.array_equal(codec_of(container, other).decode_batch([*container]), expected)
        assert codec_of(container, other).profile is other
        assert np.array_equal(search(container, rows[4], k=1, profile=other)[1], [[4]])


def test_faiss_and_tables_take_a_container_with_its_profile(here: Path, rows: np.ndarray) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("faiss")
    from clipcodec.integrations.arrow import decode_array
    from clipcodec.integrations.faiss import to_faiss

    with clipcodec.open("own.clpc") as container:
        expected = container.decode_all()
        index = to_faiss(container)
        assert index.ntotal == COUNT
        column = pyarrow.array([*container])
        with pytest.raises(UnknownProfileError, match="container that carries it"):
            decode_array(column)
        for way in (container.profile, container.codec):
            found = np.stack(decode_array(column, profile=way).to_numpy(zero_copy_only=False))
            assert np.array_equal(found, expected)
