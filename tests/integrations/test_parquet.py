"""Columns of Parquet files that stay as they are: types, values, codecs."""

from __future__ import annotations

import base64
import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcodec import Codec, InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from clipcodec.integrations import arrow, footer  # noqa: E402

D = 16
TIMES = [dt.datetime(9999, 12, 31), dt.datetime(1, 1, 1), None, dt.datetime(2020, 5, 1, 1, 2, 3, 4)]


def embeddings(count: int) -> Any:
    rows = np.random.default_rng(0).standard_normal((count, D), np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), D)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec("any/rotation")


def elements(path: Path) -> dict[str, list[footer.Struct]]:
    """By column: its elements of the Parquet schema."""
    tree = footer.parse(footer.last_footer(path.read_bytes()))
    columns = footer.subtrees(footer.items(tree, footer.SCHEMA))
    return {column[0][footer.NAME].value.decode(): column for column in columns}


def rewritten(path: Path, change: Any) -> None:
    """The file with another footer, which `change` makes of its tree."""
    data = path.read_bytes()
    old = footer.last_footer(data)
    tree = footer.parse(old)
    change(tree)
    path.write_bytes(data[: -8 - len(old)] + footer.closed(footer.dump(tree)))


def raw(path: Path, column: str) -> Any:
    """The values of a column as they are stored, and how they are nested."""

    def plain(tree: footer.Struct) -> None:
        types, leaf = {}, 0
        for element in footer.items(tree, footer.SCHEMA)[1:]:
            if footer.children(element):
                continue
            for name in (footer.CONVERTED, footer.SCALE, footer.PRECISION, footer.LOGICAL):
                element.pop(name, None)
            if element[footer.TYPE].value == footer.INT96:
                element[footer.TYPE] = footer.i32(footer.FIXED_LEN_BYTE_ARRAY)
                element[footer.TYPE_LENGTH] = footer.i32(12)
                types[leaf] = footer.FIXED_LEN_BYTE_ARRAY
            leaf += 1
        for group in footer.items(tree, footer.ROW_GROUPS):
            for leaf, kind in types.items():
                chunk = footer.items(group, footer.COLUMNS)[leaf]
                chunk[footer.CHUNK_METADATA].value[footer.CHUNK_TYPE].value = kind
        tree.pop(footer.KEY_VALUES, None)  # Arrow's schema, by which the types would change again

    copy = path.with_name("raw.parquet")
    copy.write_bytes(path.read_bytes())
    rewritten(copy, plain)
    return pq.read_table(copy, columns=[column])[column].to_pylist()


def test_footers_come_back_byte_for_byte(tmp_path: Path) -> None:
    wide = {f"c{i}": [i, None] for i in range(40)} | {"s": [{"x": [1.5]}, None], "t": ["a", "b"]}
    pq.write_table(pa.table(wide), tmp_path / "t.parquet", row_group_size=1,
                   sorting_columns=[pq.SortingColumn(0)], write_page_index=True)  # fmt: skip
    data = footer.last_footer((tmp_path / "t.parquet").read_bytes())
    assert footer.dump(footer.parse(data)) == data
    assert footer.parse(footer.dump({40: footer.i32(-7)})) == {40: footer.i32(-7)}
    with pytest.raises((IndexError, ValueError)):
        footer.parse(data[:100])


# What pyarrow would write as another type: what a writer stores, and how its footer calls it.
_UTC_MICROS = {1: footer.Value(1, None), 2: footer.Value(12, {2: footer.Value(12, {})})}
FOREIGN = {
    "interval": (pa.array([b"m" * 4 + b"d" * 4 + b"t" * 4, None], pa.binary(12)), 21, None),
    "time in UTC": (pa.array([1, 86_399_999_999]), 8, {7: footer.Value(12, _UTC_MICROS)}),
    "enum": (pa.array([b"A", b"B"]), 4, {4: footer.Value(12, {})}),
    "bson": (pa.array([b"\x05\0\0\0\0", None]), 20, {13: footer.Value(12, {})}),
    "a type of the future": (pa.array([b"x", b"y"]), None, {99: footer.Value(12, {})}),
    "geometry": (pa.array([b"x", b"y"]), None, {17: footer.Value(12, {})}),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("keep", [False, True])
def test_types_that_arrow_has_not_come_back(
    tmp_path: Path, codec: Codec, name: str, keep: bool
) -> None:
    values, converted, logical = FOREIGN[name]
    source, small, back = (tmp_path / f"{n}.parquet" for n in "tsb")
    deep = pa.StructArray.from_arrays([values, pa.array([1, 2])], ["v", "n"])
    lists = pa.array([[x] for x in values.to_pylist()], pa.list_(values.type))
    columns = {"a.b": values, "e": embeddings(2), "deep": deep, "lists": lists}
    pq.write_table(pa.table(columns), source, store_schema=False)

    def annotate(tree: footer.Struct) -> None:
        for element in footer.items(tree, footer.SCHEMA):
            if element[footer.NAME].value in (b"a.b", b"v") or (
                element[footer.NAME].value == b"element"
                and element[footer.TYPE].value != 4  # not that of the embeddings
            ):
                element.pop(footer.LOGICAL, None)
                if converted is not None:
                    element[footer.CONVERTED] = footer.i32(converted)
                if logical is not None:
                    element[footer.LOGICAL] = footer.Value(12, logical)

    rewritten(source, annotate)
    into = "clip" if keep else None
    arrow.compress_parquet(source, small, "e", into=into, keep=keep, profile=codec)
    arrow.decompress_parquet(small, back, into="back", profile=codec)
    for column in ("a.b", "deep", "lists"):
        for path in (small, back):
            assert elements(path)[column] == elements(source)[column]
            assert raw(path, column) == raw(source, column)
    theirs, ours = (pq.read_schema(path) for path in (source, small))
    assert [ours.field(n).type for n in ("a.b", "deep", "lists")] == [
        theirs.field(n).type for n in ("a.b", "deep", "lists")
    ]
    assert pq.read_table(small)["clip" if keep else "e"].null_count == 0


@pytest.mark.parametrize("stored", [False, True])
def test_int96_comes_back_at_any_year_and_nested(
    tmp_path: Path, codec: Codec, stored: bool
) -> None:
    """Years that do not fit 64 bits of nanoseconds; with and without Arrow's own schema."""
    source, small, back = (tmp_path / f"{n}.parquet" for n in "tsb")
    at = pa.array(TIMES * 50, pa.timestamp("us", "Europe/Berlin" if stored else None))
    one = pa.array([[{"t": t}] for t in TIMES * 50], pa.list_(pa.struct({"t": pa.timestamp("us")})))
    t = pa.table({"t": at, "deep": one, "e": embeddings(200), "n": range(200)})
    pq.write_table(t, source, use_deprecated_int96_timestamps=True, store_schema=stored,
                   compression="zstd", row_group_size=70, data_page_size=64,
                   use_dictionary=["t"])  # fmt: skip
    arrow.compress_parquet(source, small, "e", into="clip", profile=codec)
    arrow.decompress_parquet(small, back, into="e", profile=codec)
    for path in (small, back):
        assert elements(path)["t"] == elements(source)["t"]
        assert elements(path)["t"][0][footer.TYPE].value == footer.INT96
        assert elements(path)["deep"] == elements(source)["deep"]
        got = pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read()
        assert got["t"].cast(pa.timestamp("us")).to_pylist() == TIMES * 50
        assert got["deep"].to_pylist() == one.to_pylist()
        assert pq.read_schema(path).field("t") == pq.read_schema(source).field("t")
        assert raw(path, "t") == raw(source, "t")
        chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
        assert (chunk.physical_type, chunk.compression) == ("INT96", "ZSTD")


def test_decimals_stay_integers(tmp_path: Path, codec: Codec) -> None:
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    d = pa.array([Decimal("-1.50"), None, Decimal("999.99")], pa.decimal128(5, 2))
    pq.write_table(pa.table({"d": d, "e": embeddings(3)}), source, store_decimal_as_integer=True)
    arrow.compress_parquet(source, small, "e", profile=codec)
    assert elements(small)["d"] == elements(source)["d"]
    assert pq.read_table(small)["d"].combine_chunks() == d
    found = pq.ParquetFile(small).metadata.row_group(0).column(0).statistics
    assert (found.min, found.max) == (Decimal("-1.50"), Decimal("999.99"))


def test_no_least_or_greatest_of_what_has_another_order(tmp_path: Path, codec: Codec) -> None:
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    t = pa.table({"t": pa.array(TIMES, pa.timestamp("us")), "e": embeddings(4), "n": range(4)})
    pq.write_table(t, source, use_deprecated_int96_timestamps=True)
    arrow.compress_parquet(source, small, "e", profile=codec)
    group = pq.ParquetFile(small).metadata.row_group(0)
    assert [group.column(i).is_stats_set for i in range(3)] == [False, False, True]


def test_groups_that_arrow_has_not(tmp_path: Path, codec: Codec) -> None:
    """Variant, which pyarrow may read as a struct; it stays Variant."""
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    both = pa.array([{"metadata": b"\1\0\0", "value": b"\0"}, None])
    pq.write_table(pa.table({"e": embeddings(2), "v": both}), source, store_schema=False)

    def annotate(tree: footer.Struct) -> None:
        for element in footer.items(tree, footer.SCHEMA):
            if element[footer.NAME].value == b"v":
                version = {1: footer.Value(3, 1)}
                element[footer.LOGICAL] = footer.Value(12, {16: footer.Value(12, version)})

    rewritten(source, annotate)
    arrow.compress_parquet(source, small, "e", profile=codec)
    assert elements(small)["v"] == elements(source)["v"]
    assert raw(small, "v") == both.to_pylist()


def test_a_type_that_would_change_is_refused_by_name(tmp_path: Path, codec: Codec) -> None:
    """Variant again, with a list in the old form, which pyarrow writes in another form."""
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    old = pa.array([{"metadata": b"m", "value": [1]}, None])
    pq.write_table(pa.table({"e": embeddings(2), "old": old}), source, store_schema=False)

    def annotate(tree: footer.Struct) -> None:
        found = tree[footer.SCHEMA].value[1]
        variant = next(element for element in found if element[footer.NAME].value == b"old")
        version = {1: footer.Value(3, 1)}
        variant[footer.LOGICAL] = footer.Value(12, {16: footer.Value(12, version)})
        del found[-3:-1]  # the two groups around the numbers
        found[-1][footer.REPETITION] = footer.i32(2)
        found[-1][footer.NAME] = footer.Value(8, b"value")

    rewritten(source, annotate)
    with pytest.raises(InputError, match=r"t\.parquet', column 'old': pyarrow .* cast or drop"):
        arrow.compress_parquet(source, small, "e", profile=codec)
    assert not small.exists()


@pytest.mark.parametrize(
    "name", ["plain", "a.b", "a.list.item", "s", "list", "nested", "map", "view"]
)
@pytest.mark.parametrize("compliant", [False, True])
def test_every_column_keeps_its_codec(
    tmp_path: Path, codec: Codec, name: str, compliant: bool
) -> None:
    """Names with dots, and parts of lists and maps that pyarrow renames."""
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    text = "word " * 2000
    kept = {
        "plain": pa.array([text] * 5), "a.b": pa.array([text] * 5),
        "a.list.item": pa.array([[text]] * 5), "s": pa.array([{"x.y": text, "z": [text]}] * 5),
        "list": pa.array([[text]] * 5), "nested": pa.array([[[text]]] * 5),
        "map": pa.array([[(text, [text])]] * 5, pa.map_(pa.string(), pa.list_(pa.string()))),
        "view": pa.array([text] * 5, pa.string_view()),
    }[name]  # fmt: skip
    t = pa.table({name: kept, "e": embeddings(5), "u": range(5)})
    codecs = {"e.list.item": "snappy", "e.list.element": "snappy", "u": "none"}
    probe = tmp_path / "probe.parquet"
    pq.write_table(t, probe, use_compliant_nested_type=compliant)
    group = pq.ParquetFile(probe).metadata.row_group(0)
    paths = [group.column(i).path_in_schema for i in range(group.num_columns)]
    pq.write_table(t, source, use_compliant_nested_type=compliant, use_dictionary=False,
                   compression={p: codecs.get(p, "zstd") for p in paths})  # fmt: skip
    arrow.compress_parquet(source, small, "e", into="clip", keep=True, profile=codec)
    old, new = (pq.ParquetFile(path).metadata.row_group(0) for path in (source, small))
    before = [old.column(i).compression for i in range(old.num_columns)]
    after = [new.column(i).compression for i in range(new.num_columns)]
    assert after == [*before[:-1], "UNCOMPRESSED", before[-1]]
    assert before[-2:] == ["SNAPPY", "UNCOMPRESSED"]
    assert new.column(0).total_compressed_size < 1000
    assert pq.read_table(small)[name].to_pylist() == kept.to_pylist()


def test_duckdb_sees_the_same_types_and_values(tmp_path: Path, codec: Codec) -> None:
    duckdb = pytest.importorskip("duckdb")
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    duckdb.sql(
        "copy (select interval 3 month + interval 5 second as iv, timetz '12:00:00+00' as tz, "
        "1.5::decimal(5,2) as d, '{}'::json as j, uuid() as u, timestamp_ns '2020-01-01' as ns, "
        "[interval 1 day] as many, {'a.b': interval 2 day} as deep, now() as tstz, "
        f"list_transform(range({D}), lambda x: (x * 7 % 13 - 5)::float) as e) "
        f"to '{source}' (format parquet)"
    )
    arrow.compress_parquet(source, small, "e", profile=codec)
    rest = "select * exclude (e) from"
    types = [duckdb.sql(f"describe {rest} '{path}'").fetchall() for path in (source, small)]
    assert types[0] == types[1]
    values = [duckdb.sql(f"{rest} '{path}'").fetchall() for path in (source, small)]
    assert values[0] == values[1]


def test_a_changed_footer_shows_the_types_that_pyarrow_showed(tmp_path: Path, codec: Codec) -> None:
    source, small = tmp_path / "t.parquet", tmp_path / "s.parquet"
    t = pa.table({"t": pa.array(TIMES, pa.timestamp("us")), "e": embeddings(4)})
    pq.write_table(t, source, use_deprecated_int96_timestamps=True)
    arrow.compress_parquet(source, small, "e", profile=codec)
    text = pq.ParquetFile(small).metadata.metadata[b"ARROW:schema"]
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
    assert schema.field("t").type == pq.read_schema(source).field("t").type
    assert b"clipcodec.profile" in schema.field("e").metadata


# --- descriptions of other writers ---

SPARK = "org.apache.spark.sql.parquet.row.metadata"
FLOATS = {"type": "array", "elementType": "float", "containsNull": True}


def described(table: Any) -> Any:
    """The table as Spark, parquet-avro and others describe theirs."""
    spark = {"type": "struct", "fields": [
        {"name": "id", "type": "long", "nullable": True, "metadata": {"a": 1}},
        {"name": "e", "type": FLOATS, "nullable": False, "metadata": {}},
    ]}  # fmt: skip
    avro = {"type": "record", "name": "r", "doc": "rows", "fields": [
        {"name": "id", "type": "long"}, {"name": "e", "type": {"type": "array", "items": "float"}},
    ]}  # fmt: skip
    return table.replace_schema_metadata({
        SPARK: json.dumps(spark), "parquet.avro.schema": json.dumps(avro), "avro.schema": "odd",
        "iceberg.schema": "{}", "org.apache.spark.version": "3.5.0", "owner": "somebody",
    })  # fmt: skip


def fields(metadata: dict[bytes, bytes], key: str) -> dict[str, Any]:
    return {field["name"]: field for field in json.loads(metadata[key.encode()])["fields"]}


@pytest.mark.parametrize("keep", [False, True])
def test_spark_and_avro_are_told_what_the_file_holds(
    tmp_path: Path, codec: Codec, keep: bool
) -> None:
    source, small, back = (tmp_path / f"{n}.parquet" for n in "tsb")
    pq.write_table(described(pa.table({"id": [1, 2], "e": embeddings(2)})), source)
    arrow.compress_parquet(source, small, "e", into="clip", keep=keep, profile=codec)
    told = pq.read_schema(small).metadata
    assert {k for k in told if b"schema" in k} == {b"parquet.avro.schema"}  # not what is not known
    assert (told[b"owner"], told[b"org.apache.spark.version"]) == (b"somebody", b"3.5.0")
    names = ["id", "e", "clip"] if keep else ["id", "clip"]
    assert [*fields(told, SPARK)] == [*fields(told, "parquet.avro.schema")] == names
    assert fields(told, SPARK)["clip"]["type"] == "binary"
    assert fields(told, SPARK)["id"]["metadata"] == {"a": 1}
    assert fields(told, "parquet.avro.schema")["clip"]["type"] == ["null", "bytes"]
    assert json.loads(told[b"parquet.avro.schema"])["doc"] == "rows"
    arrow.decompress_parquet(small, back, into="back", profile=codec)
    told = pq.read_schema(back).metadata
    assert fields(told, SPARK)["back"]["type"] == FLOATS
    array = {"type": "array", "items": ["null", "float"]}
    assert fields(told, "parquet.avro.schema")["back"]["type"] == ["null", array]
    assert arrow.encode_table(pq.read_table(source), "e", profile=codec).schema.metadata[
        SPARK.encode()
    ] != pq.read_schema(source).metadata[SPARK.encode()]  # fmt: skip


def test_a_name_that_avro_has_not_leaves_out_its_description(codec: Codec) -> None:
    t = described(pa.table({"id": [1, 2], "e": embeddings(2)}))
    told = arrow.encode_table(t, "e", into="a.b", profile=codec).schema.metadata
    assert b"parquet.avro.schema" not in told
    assert [*fields(told, SPARK)] == ["id", "a.b"]


def test_pandas_is_told_what_the_table_holds(codec: Codec) -> None:
    pd = pytest.importorskip("pandas")
    rows = [*np.random.default_rng(0).standard_normal((2, D))]
    t = pa.Table.from_pandas(pd.DataFrame({"e": rows, "n": [1, 2]}, index=[5, 7]))
    coded = arrow.encode_table(t, "e", into="clip", profile=codec)
    about = json.loads(coded.schema.metadata[b"pandas"])
    kinds = {column["field_name"]: column["pandas_type"] for column in about["columns"]}
    assert kinds == {"clip": "bytes", "n": "int64", "__index_level_0__": "int64"}
    assert [*coded.to_pandas().index] == [5, 7]
    added = t.append_column("v", embeddings(2))  # pandas has not heard of it, but of the index
    coded = arrow.encode_table(added, "v", profile=codec)
    assert coded.schema.metadata == t.schema.metadata
