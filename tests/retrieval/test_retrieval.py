"""Search gives what sorting all inner products with decoded rows would, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipcodec
from clipcodec import Codec, SearchIndex, search
from clipcodec.columns import Columns
from clipcodec.errors import (
    CorruptError,
    DecodeError,
    EmbeddingError,
    OptionError,
    UnknownProfileError,
)
from clipcodec.profile import registry
from clipcodec.profile.file import Profile
from clipcodec.retrieval import blocks, hits, sources
from tests.helpers.profiles import cone, drawn

NAMES = ("openai-vit-b-32/pqvae-400", "openai-vit-b-32/predictive", "any/rotation")


def brute(rows: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    unit = np.atleast_2d(queries).astype(np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    scores = unit @ rows.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


def agrees(found: hits.Hits, rows: np.ndarray, queries: np.ndarray, k: int, atol: float) -> None:
    """Scores are those of the best, and each index has the score it is listed with."""
    scores, _ = brute(rows, queries, k)
    unit = np.atleast_2d(queries) / np.linalg.norm(np.atleast_2d(queries), axis=1, keepdims=True)
    assert found.scores.shape == found.indices.shape == scores.shape
    assert found.scores.dtype == np.float32
    assert found.indices.dtype == np.int64
    assert np.allclose(found.scores, scores, atol=atol)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    own = np.take_along_axis(unit @ rows.T, found.indices, 1)
    assert np.allclose(own, found.scores, atol=atol)
    assert all(len({*row}) == len(row) for row in found.indices.tolist())


Coded = tuple[list[bytes], np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=NAMES)
def coded(request: pytest.FixtureRequest) -> Coded:
    """Streams, what they decode to, and queries that are none of them."""
    rows = drawn(330)
    streams = clipcodec.encode_embeddings(rows[30:], profile=request.param)
    return streams, clipcodec.decode_batch(streams), rows[:30]


# --- the same as decoding, then multiplying ---


def test_search_finds_what_decoding_and_multiplying_does(coded: Coded) -> None:
    streams, rows, queries = coded
    agrees(search(streams, queries, 10), rows, queries, 10, 1e-5)


def test_an_exact_index_gives_the_scores_of_search(coded: Coded) -> None:
    streams, rows, queries = coded
    agrees(SearchIndex(streams, exact=True).search(queries, 10), rows, queries, 10, 1e-5)


def test_an_index_is_off_by_a_thousandth_at_most_in_a_quarter_of_the_memory(coded: Coded) -> None:
    streams, rows, queries = coded
    index = SearchIndex(streams)
    agrees(index.search(queries, 10), rows, queries, 10, 1e-3)
    assert index.nbytes == len(streams) * (512 + 4)
    assert (len(index), index.dim) == (len(streams), 512)


def test_rotated_symbols_are_searched_without_a_row_being_decoded(
    coded: Coded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one pass and in both kinds of index, exactly; other profiles do decode, each row once."""
    streams, rows, queries = coded
    indexes = [SearchIndex(streams), SearchIndex(streams, exact=True)]
    rotated = clipcodec.info(streams[0]).profile == NAMES[2]
    decoded: list[bytes] = []
    whole = Codec._decode_columns

    def spy(codec: Codec, columns: Sequence[Columns]) -> np.ndarray:
        pairs = [pair for g in columns for pair in zip(g.rows.tolist(), g.payloads, strict=True)]
        decoded.extend(payload for _, payload in sorted(pairs))
        return whole(codec, columns)

    monkeypatch.setattr(Codec, "_decode_columns", spy)
    search(streams, queries, 10)
    payloads = [parsed.payload for parsed in Codec().parse_batch(streams)]
    assert decoded == ([] if rotated else payloads)
    if rotated:
        for index in indexes:
            agrees(index.search(queries, 10), rows, queries, 10, 1e-5)
            assert index.nbytes == len(streams) * (512 + 4)


def test_no_payload_is_decoded_twice(coded: Coded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first one for its width, and none to find the damaged one among them."""
    streams, _, queries = coded
    kind = type(registry.by_name(clipcodec.info(streams[0]).profile).kind)
    payloads: list[bytes] = []
    whole = kind.decode

    def spy(self: Any, coder: str, some: Sequence[bytes], *more: Any) -> Any:
        payloads.extend(some)
        return whole(self, coder, some, *more)

    monkeypatch.setattr(kind, "decode", spy)
    monkeypatch.setattr(sources, "BLOCK", 64)  # several parts
    monkeypatch.setattr(blocks, "_ROWS", 16)
    search(streams, queries)
    SearchIndex(streams)
    assert len(payloads) == 2 * len(streams)
    payloads.clear()
    damaged = [*streams[:99], streams[99][:-1] + bytes([streams[99][-1] ^ 1]), *streams[99:]]
    with pytest.raises(DecodeError, match=r"^stream 99: ") as caught:
        search(damaged, queries)
    assert caught.value.index == 99
    assert payloads.count(Codec().parse(damaged[99]).payload) == 1
    assert len(payloads) <= len(damaged)


def test_symbols_beyond_eight_bits_are_exact_where_that_is_asked() -> None:
    """At the highest qualities; without, they are rounded as all rows are."""
    x = np.eye(40) + 0.01
    streams = clipcodec.encode_embeddings(x, profile="any/rotation", quality=100)
    spike = np.zeros(40, np.float32)
    spike[3] = 1
    peaked = blocks.rotation().engine(40).transform.synthesise(spike[None])[0]
    streams += [clipcodec.encode_embedding(peaked, profile="any/rotation", quality=100)]
    rows = clipcodec.decode_batch(streams)
    exact, rounded = SearchIndex(streams, exact=True), SearchIndex(streams)
    agrees(exact.search(rows, 5), rows, rows, 5, 1e-5)
    agrees(rounded.search(rows, 5), rows, rows, 5, 2e-3)
    assert exact.nbytes > rounded.nbytes == len(streams) * 44
    agrees(search(streams, rows, 5), rows, rows, 5, 1e-5)


@given(
    count=st.integers(0, 40), k=st.integers(1, 50), queries=st.integers(0, 5),
    step=st.integers(1, 9), block=st.integers(1, 20), seed=st.integers(0, 9),
)  # fmt: skip
def test_any_blocks_give_what_one_sort_gives(
    count: int, k: int, queries: int, step: int, block: int, seed: int
) -> None:
    """However the rows fall into blocks and steps; of equal scores the first in the source."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (count, 3)).astype(np.float32)  # many ties
    asked = hits.Queries(rng.integers(1, 3, (queries, 3)))
    asked.plain = np.rint(asked.plain * 4)  # whole numbers: sums are exact
    parts = [blocks.Block(rows[at : at + block]) for at in range(0, count, block)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hits, "_ROWS", step)
        patch.setattr(hits, "_QUERIES", 2)
        found = hits.best_hits(parts, asked, k)
    scores = asked.plain @ rows.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert found.indices.tolist() == order.tolist()
    assert found.scores.tolist() == np.take_along_axis(scores, order, 1).tolist()


@pytest.mark.parametrize("count", [2, 3, 5, 17, 63, 64, 65, 300])
def test_equal_rows_score_equally(count: int) -> None:
    """Wherever they are: matrix products add in another order at the end of a matrix."""
    row, query = cone(2, 512, seed=count)
    found = hits.best_hits(
        [blocks.Block(np.tile(row, (count, 1)))], hits.Queries(query[None]), count
    )
    assert len(set(found.scores[0].tolist())) == 1
    assert found.indices[0].tolist() == list(range(count))


@given(seed=st.integers(0, 50), norm=st.sampled_from([1e-200, 1e-3, 7.0, 1e300]))
def test_the_norm_of_a_query_does_not_matter(rates: Profile, seed: int, norm: float) -> None:
    streams = Codec(rates).encode_embeddings(cone(20, 24))
    query = cone(60, 24, 1)[seed].astype(np.float64)
    found, scaled = (search(streams, query * n, 3, profile=rates) for n in (1, norm))
    assert scaled.indices.tolist() == found.indices.tolist()
    assert np.allclose(scaled.scores, found.scores, atol=1e-6)


# --- sources ---


def test_all_sources_give_the_same(rates: Profile, rates_path: Path, tmp_path: Path) -> None:
    """A list, an iterator, a container, which brings its profile, and Arrow columns."""
    pa = pytest.importorskip("pyarrow")
    streams = Codec(rates).encode_embeddings(cone(50, 24))
    with clipcodec.create(tmp_path / "s.clpc", block_items=7) as writer:
        writer.extend(streams)
    query = cone(1, 24, 2)
    expected = search(streams, query, 5, profile=rates)
    assert expected.indices.shape == (1, 5)
    column = pa.chunked_array([pa.array(streams[:20]), pa.array(streams[20:], pa.large_binary())
                               .cast(pa.binary())])  # fmt: skip
    with clipcodec.open(tmp_path / "s.clpc", profile=rates_path) as container:
        for source, profile in (
            (iter(streams), rates), (tuple(streams), rates), (container, None),
            (column, rates), (pa.array(streams, pa.large_binary()), rates_path),
        ):  # fmt: skip
            found = search(source, query, 5, profile=profile)
            assert found.indices.tolist() == expected.indices.tolist()
            assert found.scores.tolist() == expected.scores.tolist()
        assert len(SearchIndex(container)) == 50


def test_one_query_or_many_give_rows_of_hits(rates: Profile) -> None:
    streams = Codec(rates).encode_embeddings(cone(5, 24))
    assert search(streams, cone(1, 24)[0], 2, profile=rates).scores.shape == (1, 2)
    assert search(streams, cone(3, 24), 2, profile=rates).scores.shape == (3, 2)
    assert search(streams, cone(3, 24).tolist(), 9, profile=rates).scores.shape == (3, 5)
    assert search([], cone(3, 24), 2).indices.shape == (3, 0)
    assert search(streams, np.empty((0, 24)), 2, profile=rates).indices.shape == (0, 2)
    assert SearchIndex().search(cone(3, 24)).indices.shape == (3, 0)


def test_memory_does_not_grow_with_the_source(rates: Profile) -> None:
    """Sixteen times the streams, from an iterator: the same peak."""
    streams = Codec(rates).encode_embeddings(cone(512, 24))
    query = cone(1, 24, 3)

    def peak(times: int) -> int:
        source: Iterator[bytes] = chain.from_iterable(repeat(streams, times))
        tracemalloc.start()
        try:
            assert search(source, query, 3, profile=rates).indices.tolist()[0][0] < 512
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK", 512)
        peak(1)
        assert peak(32) < 1.5 * peak(2)


# --- an index that grows ---


def test_an_index_grows_and_keeps_places(coded: Coded) -> None:
    """Whatever the parts it was given in; small parts are kept together."""
    streams, rows, queries = coded
    index = SearchIndex(streams[:100])
    for stream in streams[100:110]:
        index.add([stream])
    index.add(iter(streams[110:]))
    assert len(index._blocks) == 1
    found, whole = index.search(queries, 7), SearchIndex(streams).search(queries, 7)
    assert found.indices.tolist() == whole.indices.tolist()
    agrees(found, rows, queries, 7, 1e-3)


def test_profiles_of_one_width_may_be_mixed() -> None:
    """Rows of symbols beside decoded ones, in one index and in one block."""
    x = drawn(90, seed=4)
    parts = [clipcodec.encode_embeddings(x[i::3], profile=NAMES[i]) for i in range(3)]
    streams = list(chain(*parts, *zip(*parts, strict=True)))
    rows = clipcodec.decode_batch(streams)
    agrees(search(streams, x[:9], 8), rows, x[:9], 8, 1e-5)
    index = SearchIndex(exact=True)
    for part in (*parts, streams[90:]):
        index.add(part)
    agrees(index.search(x[:9], 8), rows, x[:9], 8, 1e-5)


def test_a_part_that_is_damaged_adds_nothing(coded: Coded) -> None:
    streams, _, queries = coded
    index = SearchIndex(streams[:20])
    before = index.search(queries, 5)
    with pytest.raises(DecodeError, match="stream 9: "):
        index.add([*streams[20:29], streams[29][:-3]])
    assert len(index) == 20
    assert index.search(queries, 5).indices.tolist() == before.indices.tolist()


@pytest.mark.slow
def test_searching_while_another_thread_adds(coded: Coded) -> None:
    """A search sees what was added before it or after, never a part."""
    streams, _, queries = coded
    index = SearchIndex(streams[:50], exact=True)
    seen: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.append(index.search(queries[:1], 1000).indices.shape[1])

    thread = threading.Thread(target=look)
    thread.start()
    for at in range(50, 300, 50):
        index.add(streams[at : at + 50])
    stop.set()
    thread.join()
    assert {*seen} <= {50, 100, 150, 200, 250, 300}


# --- errors ---


def test_damaged_streams_are_named_by_their_place(coded: Coded) -> None:
    """In any block, and by the same class as `decode` would raise."""
    streams, _, queries = coded
    bad = bytearray(streams[7])
    bad[-2] ^= 0x10
    with pytest.raises(DecodeError) as alone:
        clipcodec.decode(bytes(bad))
    with pytest.raises(type(alone.value), match=r"stream 207: "):
        search([*streams[:207], bytes(bad), *streams[207:]], queries)
    for other in (None, [streams[0]], 5):
        with pytest.raises(DecodeError, match=r"stream 3: expected the bytes of a stream"):
            search([*streams[:3], other], queries)
    with pytest.raises(DecodeError, match=r"stream 0: "):
        search([b"", *streams], queries)


def test_streams_of_another_width_are_named(rates: Profile) -> None:
    narrow = Codec(rates).encode_embeddings(cone(3, 24))
    x = np.random.default_rng(0).normal(size=(3, 30))
    wide = clipcodec.encode_embeddings(x, profile="any/rotation")
    for source in ([*narrow, *wide], [narrow[0], *wide]):
        with pytest.raises(DecodeError, match="30 dimensions, expected 24 as in the oth") as caught:
            search(source, cone(1, 24), profile=rates)
        assert caught.value.rows == tuple(range(len(source)))[-3:]
    index = SearchIndex(narrow, profile=rates)
    with pytest.raises(DecodeError, match=r"^stream 0 and 2 more: 30 dimensions, expected 24"):
        index.add(wide)


def test_damage_that_looks_like_another_width_is_damage() -> None:
    """The width is in the header of `any/rotation`, before the check value is known."""
    streams = clipcodec.encode_embeddings(cone(9, 24), profile="any/rotation")
    start = streams[0].index(24)
    for place in (0, 5):
        bad = list(streams)
        bad[place] = bad[place][:start] + b"\x19" + bad[place][start + 1 :]
        assert Codec().parse(bad[place]).dim == 25
        with pytest.raises(DecodeError) as alone:
            clipcodec.decode(bad[place])
        with pytest.raises(type(alone.value)) as caught:
            search(bad, cone(1, 24 if place else 25))
        assert caught.value.index == place
        assert caught.value.reason == alone.value.reason


def test_queries_that_cannot_be_asked(coded: Coded) -> None:
    streams, _, queries = coded
    index = SearchIndex(streams[:5])
    asks: list[Callable[[Any], Any]] = [lambda q: search(streams, q), index.search]
    for ask in asks:
        with pytest.raises(EmbeddingError, match=r"queries of 511 dimensions, the source has 512"):
            ask(queries[:, :-1])
        for bad, why in (
            (np.zeros(512), "zero"), (np.full((2, 512), np.nan), "NaN"), ("cat", "dtype"),
            (np.ones((2, 2, 512)), "shape"), ([[1.0], [1.0, 2.0]], "not an array"), (3.0, "shape"),
        ):  # fmt: skip
            with pytest.raises(EmbeddingError, match=f"^queries.*: .*{why}"):
                ask(bad)


@pytest.mark.parametrize("k", [0, -1, 2.5, None, "3"])
def test_k_is_a_whole_number_of_one_or_more(coded: Coded, k: Any) -> None:
    streams, _, queries = coded
    with pytest.raises(OptionError, match="k="):
        search(streams, queries, k)
    with pytest.raises(OptionError, match="k="):
        SearchIndex().search(queries, k)


def test_what_is_no_source_says_what_is(coded: Coded) -> None:
    streams, _, queries = coded
    for source in (streams[0], "photos.clpc", 5, None):
        with pytest.raises(DecodeError, match=r"not a source of streams: give a container"):
            search(source, queries)
    with pytest.raises(DecodeError, match=r"clipcodec\.open\('photos\.clpc'\)"):
        search("photos.clpc", queries)


def test_private_streams_need_their_profile(rates: Profile) -> None:
    streams = Codec(rates).encode_embeddings(cone(3, 24))
    with pytest.raises(UnknownProfileError, match=r"^stream 0: .*profile=FILE"):
        search(streams, cone(1, 24))


# --- real embeddings ---


def test_most_neighbours_are_kept(real_rows: np.ndarray) -> None:
    """At 50 bytes three of four of the nearest ten stay, and rounding to int8 costs none."""
    base, queries = real_rows[100:], real_rows[:100]
    streams = clipcodec.encode_embeddings(base, quality=50)
    _, truth = brute(base, queries, 10)

    def recall(found: hits.Hits) -> float:
        return float(
            np.mean([np.isin(a, b).mean() for a, b in zip(truth, found.indices, strict=True)])
        )

    exact = recall(search(streams, queries))
    assert exact > 0.75
    assert abs(recall(SearchIndex(streams).search(queries)) - exact) < 0.01


# --- the command ---


def run(*args: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "clipcodec", "search", *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, **options)


@pytest.fixture
def store(tmp_path: Path, rates: Profile) -> Path:
    streams = Codec(rates).encode_embeddings(cone(30, 24))
    with clipcodec.create(tmp_path / "s.clpc") as writer:
        writer.extend(streams, ids=[f"{i}.jpg" for i in range(29)] + ["tab\there"])
    return tmp_path / "s.clpc"


def test_the_command_prints_scores_and_ids(store: Path, rates: Profile, rates_path: Path) -> None:
    """One line a hit, or one of JSON a query; all queries of all files in one pass."""
    np.save(store.with_name("two.npy"), cone(2, 24, 5))
    np.save(store.with_name("one.npy"), cone(30, 24)[29] * 5)
    names = [store.with_name("two.npy"), store.with_name("one.npy")]
    private = ("--profile", rates_path)
    done = run(store, "--query", *names, "-k", 3, "--json", *private)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    with clipcodec.open(store, profile=rates_path) as container:
        scores, places = search(container, np.concatenate([cone(2, 24, 5), cone(30, 24)[29:]]), 3)
    assert [line["query"] for line in lines] == [f"{names[0]}/0", f"{names[0]}/1", str(names[1])]
    for line, own, where in zip(lines, scores, places, strict=True):
        assert [hit["index"] for hit in line["hits"]] == where.tolist()
        assert np.allclose([hit["score"] for hit in line["hits"]], own, atol=1e-5)
    words = run(store, "--query", names[1], "-k", 1, *private)
    assert words.stdout.decode() == f"{names[1]}\n  {scores[2, 0]:.4f}  tab\\there\n"
    piped = run(store, "--query", "-", "-k", 1, *private, input=names[1].read_bytes())
    assert piped.stdout.splitlines()[1:] == words.stdout.splitlines()[1:]


@pytest.mark.slow
def test_the_command_names_bad_queries_and_goes_on(store: Path, rates_path: Path) -> None:
    np.save(store.with_name("zero.npy"), np.zeros(24))
    np.save(store.with_name("good.npy"), np.ones(24))
    np.save(store.with_name("wide.npy"), np.ones(25))
    names = [store.with_name(f"{name}.npy") for name in ("zero", "none", "good", "wide")]
    done = run(store, "--query", *names, "-k", 2, "--profile", rates_path)
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert ["zero" in lines[0], "none" in lines[1], "wide" in lines[2]] == [True] * 3
    assert len(done.stdout.splitlines()) == 3
    assert run(store, "--query", names[2], "-k", 0, "--profile", rates_path).returncode == 2
    missing = run(store.with_name("no.clpc"), "--query", names[2])
    assert missing.returncode == 1
    assert b"no.clpc" in missing.stderr


def test_the_command_embeds_images_with_the_backbone_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The profile of the first stream says which backbone."""
    from clipcodec.cli import main

    x = drawn(6)
    with clipcodec.create(tmp_path / "s.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(x, profile=NAMES[0]))
    (tmp_path / "photo.jpg").write_bytes(b"an image")

    def embed(codec: Codec, images: list[str]) -> np.ndarray:
        assert codec.profile.name == NAMES[0]
        assert images == [str(tmp_path / "photo.jpg")]
        return x[4:5]

    monkeypatch.setattr(Codec, "embed_images", embed)
    args = ["search", str(tmp_path / "s.clpc"), "--query", str(tmp_path / "photo.jpg"), "-k", "1",
            "--tsv"]  # fmt: skip
    assert main(args) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[3:] == ["4", ""]


def test_an_image_in_a_container_of_any_model_needs_a_backbone(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 30))
    with clipcodec.create(tmp_path / "s.clpc") as writer:
        writer.extend(clipcodec.encode_embeddings(x, profile="any/rotation"))
    (tmp_path / "photo.png").write_bytes(clipcodec_png())
    done = run(tmp_path / "s.clpc", "--query", tmp_path / "photo.png")
    assert done.returncode == 2
    assert b"--backbone NAME" in done.stderr


def clipcodec_png() -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_damaged_container_is_named(store: Path, rates_path: Path) -> None:
    data = bytearray(store.read_bytes())
    data[len(data) // 2] ^= 1
    store.write_bytes(data)
    with pytest.raises(CorruptError), clipcodec.open(store, profile=rates_path) as container:
        search(container, cone(1, 24))
