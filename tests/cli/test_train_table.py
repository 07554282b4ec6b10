"""`compress --train` of tables: a profile learned from a column, which the column then carries."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipcodec import Codec, EmbeddingError, OptionError
from clipcodec.cli import main
from clipcodec.training import learn as learning
from tests.helpers.low_rank import low_rank

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from clipcodec.integrations import parquet, sampled  # noqa: E402
from clipcodec.integrations.arrow import column_profile, decode_table  # noqa: E402

COUNT = 2000
TRAIN = ["--column", "v", "--train", "--minutes", "0", "--mean-bytes", "12"]


def write(path: Path, rows: Any, type: Any = None) -> Path:
    vectors = pa.array([None if row is None else list(row) for row in rows], type)
    made = pa.table({"id": np.arange(len(rows)), "v": vectors})
    pq.write_table(made, path, row_group_size=700)
    return path


def cosines(rows: np.ndarray, table: Any) -> np.ndarray:
    decoded = np.stack([np.array(row) for row in decode_table(table)["v"].to_pylist()])
    unit = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    found: np.ndarray = (unit * decoded).sum(axis=1)
    return found


def size(text: str) -> float:
    """Bytes, of "1,234 bytes" or "12.3 kB"."""
    number, unit = text.replace(",", "").split()
    return float(number) * (1000 if unit == "kB" else 1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_table_learns_its_own_profile_and_carries_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = low_rank(COUNT)
    write(here / "t.parquet", rows)
    assert main(["compress", "t.parquet", *TRAIN]) == 0
    said = capsys.readouterr().err
    assert "t.parquet: learned from 2,000 embeddings: " in said
    each = re.search(r"profile: (\S+ \w+), ([\d.]+) bytes for each of 2,000 items", said)
    assert each
    carried = pq.read_schema("t.clip.parquet").field("v").metadata[b"clipcodec.profile_file"]
    in_the_file = len(carried) * 4 / 3
    assert size(each[1]) == pytest.approx(in_the_file, abs=60)
    assert float(each[2]) == pytest.approx(in_the_file / COUNT, abs=0.1)
    table = pq.read_table("t.clip.parquet")
    profile = column_profile(table)
    assert profile is not None
    assert (profile.name, profile.dim) == ("private/t", rows.shape[1])
    kept = cosines(rows, table).mean()
    stated = re.search(r"held out(?: in turn)?: cosine ([\d.]+) at", said)
    assert stated
    assert kept == pytest.approx(float(stated[1]), abs=0.01)
    assert main(["compress", "t.parquet", "--column", "v", "--profile", "any/rotation",
                 "--mean-bytes", "15", "-o", "r.parquet"]) == 0  # fmt: skip
    assert kept > cosines(rows, pq.read_table("r.parquet")).mean()


def test_several_tables_share_one_profile_and_a_bad_one_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "a.parquet", low_rank(COUNT))
    write(here / "b.parquet", low_rank(COUNT, seed=1))
    (here / "x.parquet").write_text("text")
    assert main(["compress", "a.parquet", "x.parquet", "b.parquet", *TRAIN, "-o", "out/"]) == 1
    said = capsys.readouterr().err
    assert "learned from 4,000 embeddings" in said
    assert re.search(
        r"profile: \S+ \w+ in each of 2 files, [\d.]+ bytes for each of 2,000 items", said
    )
    assert "x.parquet: " in said
    first, second = (column_profile(Path("out", name)) for name in ("a.parquet", "b.parquet"))
    assert first is not None
    assert second is not None
    assert first.digest == second.digest
    both = pa.concat_tables([pq.read_table("out/a.parquet"), pq.read_table("out/b.parquet")])
    assert len(decode_table(both)) == 2 * COUNT


def test_where_it_does_not_pay_it_says_so_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows without a direction of their own; few rows."""
    rng = np.random.default_rng(0)
    write(here / "t.parquet", rng.normal(size=(200, 64)))
    assert main(["compress", "t.parquet", *TRAIN]) == 1
    said = capsys.readouterr().err
    assert "a profile of its own does not pay (" in said
    assert "leave out --train and give --profile any/rotation" in said
    write(here / "u.parquet", rng.normal(size=(20, 64)))
    assert main(["compress", "u.parquet", *TRAIN]) == 1
    assert "20 distinct embeddings" in capsys.readouterr().err
    assert listed() == ["t.parquet", "u.parquet"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.ones((300, 8)), "1 distinct embedding"),
        (np.full((300, 8), np.nan), "no row of column 'v' can be encoded"),
        ([None] * 300, "no row of column 'v' can be encoded"),
    ],
    ids=["constant", "NaN", "null"],
)
def test_rows_that_teach_nothing(
    here: Path, rows: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "t.parquet", rows, pa.list_(pa.float32(), 8))
    assert main(["compress", "t.parquet", *TRAIN]) == 1
    assert words in capsys.readouterr().err
    assert listed() == ["t.parquet"]


def test_nothing_is_learned_for_what_could_not_be_written(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a profile was learned")

    monkeypatch.setattr(learning, "learn", never)
    write(here / "t.parquet", low_rank(100))
    (here / "t.clip.parquet").write_text("mine")
    assert main(["compress", "t.parquet", *TRAIN]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["compress", "t.parquet", "-f", *TRAIN, "--column", "w"]) == 1
    assert "no column named 'w'" in capsys.readouterr().err
    assert main(["compress", "t.parquet", *TRAIN, "--profile", "any/rotation"]) == 2
    assert (here / "t.clip.parquet").read_text() == "mine"


# --- the sample ---


def test_a_sample_is_of_all_rows_and_leaves_out_bad_ones(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 90)
    rows: list[Any] = [*low_rank(500, 16)]
    rows[3], rows[77], rows[400] = None, np.zeros(16), np.full(16, np.inf)
    a, b = write(here / "a.parquet", rows), write(here / "b.parquet", low_rank(250, 16, seed=1))
    whole = sampled.sample_column([a, b], "v")
    assert (len(whole.rows), whole.items) == (747, 749)  # null is no item; bad rows may be mended
    assert whole.groups.tolist() == [0] * 497 + [1] * 250
    assert np.allclose(np.linalg.norm(whole.rows, axis=1), 1, atol=1e-6)
    seen: list[tuple[int, int | None]] = []
    part = sampled.sample_column([a, b], "v", most_rows=75, progress=lambda *n: seen.append(n))
    assert 70 < len(part.rows) <= 75
    assert (part.items, part.whole, seen[-1]) == (749, False, (750, 750))
    assert np.bincount(part.groups).tolist() == [50 - (75 - len(part.rows)), 25]
    known = {row.tobytes() for row in whole.rows}
    assert all(row.tobytes() in known for row in part.rows)


def test_columns_that_cannot_be_taken_from_are_read_row_by_row(here: Path) -> None:
    """Views, which pyarrow does not take rows of in all releases."""
    rows = low_rank(30, 16)
    array = pa.array([list(row) for row in rows], pa.list_(pa.float32()))
    (one,) = sampled._taken(array, np.array([3, 5]))
    assert one.to_pylist() == [array[3].as_py(), array[5].as_py()]

    class View:
        def take(self, _: Any) -> Any:
            raise pa.ArrowNotImplementedError("views")

        def slice(self, at: int, count: int) -> Any:
            return array.slice(at, count)

    assert [a[0].as_py() for a in sampled._taken(View(), np.array([3, 5]))] == one.to_pylist()


def test_columns_that_teach_no_profile_are_named(here: Path) -> None:
    a = write(here / "a.parquet", low_rank(20, 16))
    with pytest.raises(EmbeddingError, match=r"b\.parquet has 24 dimensions, the tables before 16"):
        sampled.sample_column([a, write(here / "b.parquet", low_rank(20, 24))], "v")
    pq.write_table(pa.table({"v": pa.array([b"\x89PNG"])}), here / "i.parquet")
    with pytest.raises(OptionError, match="--backbone NAME"):
        sampled.sample_column([here / "i.parquet"], "v")
    with pytest.raises(EmbeddingError, match="column 'id': type int64"):
        sampled.sample_column([a], "id")


def test_images_of_a_sample_are_embedded_and_damaged_ones_left_out(here: Path) -> None:
    def png(value: int) -> bytes:
        file = io.BytesIO()
        Image.new("L", (8, 8), value).save(file, "PNG")
        return file.getvalue()

    class Embeds(Codec):
        def embed_images(self, images: Any) -> Any:
            rows = np.ones((len(images), 4), np.float32)
            rows[:, 0] = [np.asarray(image).mean() for image in images]
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    images = [png(i) for i in range(100)]
    images[9] = images[9][:30]
    pq.write_table(pa.table({"v": pa.array([*images, None], pa.binary())}), here / "i.parquet")
    found = sampled.sample_column([here / "i.parquet"], "v", Embeds("any/rotation"))
    assert (len(found.rows), found.items) == (99, 100)
    few = sampled.sample_column([here / "i.parquet"], "v", Embeds("any/rotation"), most_images=10)
    assert len(few.rows) in (9, 10)
