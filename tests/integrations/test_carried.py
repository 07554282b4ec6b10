"""A column of streams that carries its private profile: who has the table can read it."""

from __future__ import annotations

import base64
import hashlib
import pickle
import shutil
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, CorruptError, DecodeError, InputError, OptionError
from clipcodec.cli import main
from clipcodec.profile import Profile, read_profile
from tests.helpers.profiles import cone, write_tiny_profile

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pd = pytest.importorskip("pandas")

from clipcodec.integrations import arrow, carried  # noqa: E402
from clipcodec.integrations.contents import contents  # noqa: E402
from clipcodec.integrations.pandas import decode_series  # noqa: E402

D = 24  # of the profile `rates`
KEY = b"clipcodec.profile_file"


def table(rows: np.ndarray) -> Any:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    return pa.table({"id": np.arange(len(rows)), "v": vectors})


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return cone(100, D, seed=3)


@pytest.fixture(scope="module")
def coded(rows: np.ndarray, rates: Profile) -> Any:
    return arrow.encode_table(table(rows), "v", profile=rates, embed_profile=True)


@pytest.fixture(scope="module")
def expected(coded: Any, rates: Profile) -> np.ndarray:
    return Codec(rates).decode_batch(coded["v"].to_pylist())


@pytest.fixture
def small(tmp_path: Path, coded: Any) -> Path:
    pq.write_table(coded, tmp_path / "small.parquet")
    return tmp_path / "small.parquet"


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of another width."""
    return write_tiny_profile(tmp_path_factory.mktemp("eight") / "eight.safetensors")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, rates_path: Path) -> Profile:
    """The same profile under another name, so of another digest."""
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    path.write_bytes(renamed(rates_path.read_bytes()))
    return read_profile(path)


def renamed(data: bytes) -> bytes:
    return data.replace(b"private/rates", b"private/other")


def vectors(column: Any) -> np.ndarray:
    found: np.ndarray = column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)
    return found


def changed(coded: Any, **metadata: bytes | None) -> Any:
    """The table with other metadata of the column v; None: without."""
    field = coded.schema.field("v")
    names = {f"clipcodec.{name}".encode(): value for name, value in metadata.items()}
    merged = {**field.metadata, **names}
    kept = {name: value for name, value in merged.items() if value is not None}
    schema = coded.schema.set(coded.schema.names.index("v"), field.with_metadata(kept))
    return coded.cast(schema)


def packed(data: bytes) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(made.compress(data) + made.flush())


# --- what the format says ---


def test_the_metadata_are_the_profile_file_deflated_in_base64(
    coded: Any, rates: Profile, rates_path: Path
) -> None:
    metadata = coded.schema.field("v").metadata
    inflated = zlib.decompressobj(-15).decompress(base64.b64decode(metadata[KEY], validate=True))
    assert inflated == rates_path.read_bytes()
    assert metadata[b"clipcodec.profile_sha256"].decode() == hashlib.sha256(inflated).hexdigest()
    schema = arrow.encoded_schema(table(cone(1, D)).schema, "v", profile=rates, embed_profile=True)
    assert schema.equals(coded.schema, check_metadata=True)


def test_streams_are_the_same_with_and_without(
    coded: Any, rows: np.ndarray, rates: Profile
) -> None:
    plain = arrow.encode_table(table(rows), "v", profile=rates)
    assert plain["v"].equals(coded["v"])
    assert KEY not in plain.schema.field("v").metadata
    with pytest.raises(clipcodec.UnknownProfileError):
        arrow.decode_table(plain)


def test_a_registered_profile_is_not_carried(rows: np.ndarray) -> None:
    with pytest.raises(OptionError, match="registered"):
        arrow.encode_table(table(rows), "v", profile="any/rotation", embed_profile=True)


# --- who reads it ---


def test_tables_batches_and_schemas_are_decoded_without_a_second_file(
    coded: Any, expected: np.ndarray
) -> None:
    assert np.array_equal(vectors(arrow.decode_table(coded)["v"]), expected)
    batches = coded.to_batches(max_chunksize=30)
    made = pa.Table.from_batches(arrow.decode_batches(batches))
    assert np.array_equal(vectors(made["v"]), expected)
    assert made.schema == arrow.decoded_schema(coded.schema)
    assert made.schema.field("v").metadata is None


def test_parquet_there_and_back(
    tmp_path: Path, rows: np.ndarray, rates_path: Path, expected: np.ndarray
) -> None:
    own = shutil.copy(rates_path, tmp_path / "mine.safetensors")
    pq.write_table(table(rows), tmp_path / "t.parquet")
    arrow.compress_parquet(
        tmp_path / "t.parquet", tmp_path / "s.parquet", "v", profile=own, embed_profile=True
    )
    Path(own).unlink()
    assert arrow.decompress_parquet(tmp_path / "s.parquet", tmp_path / "b.parquet") == 100
    back = pq.read_table(tmp_path / "b.parquet")
    assert np.array_equal(vectors(back["v"]), expected)
    assert back.schema.names == ["id", "v"]


def test_a_table_that_is_read_in_parts_of_columns_still_has_it(
    small: Path, expected: np.ndarray
) -> None:
    """As is one that was filtered, renamed and written again by others."""
    read = pq.read_table(small, columns=["v"]).slice(10, 5).rename_columns(["w"])
    pq.write_table(read, small)
    made = arrow.decode_table(pq.read_table(small))
    assert np.array_equal(vectors(made["w"]), expected[10:15])


def test_what_has_no_metadata_is_given_the_profile_of_the_column(
    small: Path, coded: Any, expected: np.ndarray, rates: Profile
) -> None:
    """Arrays, Series, rows of Spark; also in other processes, which have no file of it."""
    profile = arrow.column_profile(small)
    assert profile is not None
    assert (profile.digest, profile.id) == (rates.digest, None)
    for source in (coded, coded.schema, coded.to_batches()[0]):
        found = arrow.column_profile(source, "v")
        assert found is not None
        assert found.digest == rates.digest
    series = decode_series(pd.read_parquet(small)["v"], profile=profile)
    assert np.array_equal(np.stack([*series]), expected)
    sent = pickle.loads(pickle.dumps(Codec(profile)))
    assert np.array_equal(vectors(arrow.decode_array(coded["v"], profile=sent)), expected)


def test_a_column_without_one_gives_none(rows: np.ndarray, rates: Profile) -> None:
    assert arrow.column_profile(arrow.encode_table(table(rows), "v", profile=rates)) is None
    with pytest.raises(OptionError, match="columns of streams or embeddings"):
        arrow.column_profile(pa.table({"id": [1]}))


def test_streams_of_another_private_profile_among_them_need_its_file(
    coded: Any, expected: np.ndarray, other: Profile
) -> None:
    """What is given is beside what the column carries, not in place of it."""
    stream = Codec(other).encode_embedding(cone(1, D)[0])
    mixed = coded.set_column(
        1, coded.schema.field("v"), pa.chunked_array([[stream], coded["v"].chunk(0)[1:]])
    )
    with pytest.raises(clipcodec.UnknownProfileError, match="row 0"):
        arrow.decode_table(mixed)
    made = arrow.decode_table(mixed, profile=other)
    assert np.array_equal(vectors(made["v"])[1:], expected[1:])


def test_tables_of_two_profiles_put_together_say_so(
    coded: Any, rows: np.ndarray, other: Profile
) -> None:
    second = arrow.encode_table(table(rows), "v", profile=other, embed_profile=True)
    with pytest.raises(clipcodec.UnknownProfileError, match="row 100 and 99 more"):
        arrow.decode_table(pa.concat_tables([coded, second]))
    with pytest.raises(InputError, match=r"^column 'v': .* row 100 carries another profile"):
        list(arrow.decode_batches([*coded.to_batches(), *second.to_batches()]))
    same = pa.concat_tables([coded, coded])
    assert len(arrow.decode_table(same)) == 200


# --- hostile metadata ---

HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda data: b"", ""),
    "not base64": (lambda data: b"\xff\x00" * 50, "not base64"),
    "base64 with a gap": (lambda data: packed(data)[:40] + b"\n" + packed(data)[40:], "not base64"),
    "not deflated": (lambda data: base64.b64encode(b"\xff" * 400), ""),
    "cut": (lambda data: base64.b64encode(base64.b64decode(packed(data))[:-9]), ""),
    "followed by bytes": (lambda data: base64.b64encode(base64.b64decode(packed(data)) + b"!"), ""),
    "no profile": (lambda data: packed(b"x" * 1000), ""),
    "another profile": (lambda data: packed(renamed(data)), "SHA-256"),
    "a cut profile": (lambda data: packed(data[:-100]), ""),
    "a bomb": (lambda data: packed(bytes((1 << 25) + 1)), "above 33554432 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_metadata_are_typed_errors_that_name_the_column(
    coded: Any, kind: str, rates_path: Path, rates: Profile, expected: np.ndarray
) -> None:
    make, words = HOSTILE[kind]
    bad = changed(coded, profile_file=make(rates_path.read_bytes()))
    with pytest.raises(DecodeError, match=rf"^column 'v': the profile in its metadata .*{words}"):
        arrow.decode_table(bad)
    with pytest.raises(DecodeError, match=r"^column 'v'"):
        arrow.column_profile(bad)
    if kind != "another profile":  # the profile itself, given, takes its place
        assert np.array_equal(vectors(arrow.decode_table(bad, profile=rates)["v"]), expected)


def test_a_bomb_takes_no_memory(coded: Any) -> None:
    bad = changed(coded, profile_file=packed(bytes(1 << 28)))
    tracemalloc.start()
    try:
        with pytest.raises(CorruptError, match="above"):
            arrow.column_profile(bad)
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()


def test_text_without_end_is_not_even_read(coded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "_MOST_TEXT", 1000)
    monkeypatch.setattr(base64, "b64decode", None)
    carried._read.cache_clear()
    with pytest.raises(CorruptError, match=r"^column 'v': .* characters, more than any$"):
        arrow.column_profile(coded)


def test_a_profile_of_another_width_is_an_error_of_the_rows(coded: Any, eight: Path) -> None:
    profile = read_profile(eight)
    bad = changed(coded, profile_file=packed(eight.read_bytes()),
                  profile_sha256=profile.digest.hex().encode())  # fmt: skip
    with pytest.raises(DecodeError):
        arrow.decode_table(bad)


def test_a_field_that_is_not_marked_is_not_read(coded: Any) -> None:
    """The key alone says nothing: another program may have left it."""
    bad = changed(coded, profile_file=b"?", format_version=None)
    with pytest.raises(clipcodec.UnknownProfileError):
        arrow.decode_table(bad, "v")


# --- the command line ---


def test_info_says_that_the_profile_is_inside_or_damaged(
    tmp_path: Path, small: Path, coded: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(small)]) == 0
    assert "private/rates, which is inside (" in capsys.readouterr().out
    (column,) = [one for one in contents(str(small)).columns if one.name == "v"]
    bare = tmp_path / "bare.parquet"
    pq.write_table(changed(coded, profile_file=None), bare)
    assert column.carries == pytest.approx(small.stat().st_size - bare.stat().st_size, abs=100)
    assert column.fault is None
    pq.write_table(changed(coded, profile_file=b"?"), small)
    assert main(["info", str(small)]) == 0
    assert "but the profile in its metadata is damaged, not base64" in capsys.readouterr().out


def test_commands_need_no_second_file(
    tmp_path: Path, rows: np.ndarray, rates_path: Path, expected: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own = shutil.copy(rates_path, tmp_path / "mine.safetensors")
    pq.write_table(table(rows), tmp_path / "t.parquet")
    source, small = str(tmp_path / "t.parquet"), str(tmp_path / "t.clip.parquet")
    options = ["--column", "v", "--profile", str(own), "--embed-profile"]
    assert main(["compress", source, *options]) == 0
    Path(own).unlink()
    assert main(["decompress", small, "-o", str(tmp_path / "b.parquet")]) == 0
    assert np.array_equal(vectors(pq.read_table(tmp_path / "b.parquet")["v"]), expected)
    query, index = str(tmp_path / "q.npy"), str(tmp_path / "i.clpc")
    np.save(query, rows[7:8])
    capsys.readouterr()
    assert main(["search", small, "--index", index, "--query", query, "-k", "1", "--tsv"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[-1] == "7"
    with clipcodec.open(index) as container:
        assert np.array_equal(container.codec.decode_batch(container), expected)


def test_nothing_is_written_where_the_profile_in_a_table_is_damaged(
    tmp_path: Path, small: Path, coded: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(changed(coded, profile_file=b"?"), small)
    assert main(["decompress", str(small), "-o", str(tmp_path / "b.parquet")]) == 1
    assert "the profile in its metadata" in capsys.readouterr().err
    assert main(["search", str(small), "--index", str(tmp_path / "i.clpc"), "--text", "x"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.parquet"]
