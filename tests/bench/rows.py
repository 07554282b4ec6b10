"""Streams in a database: one pass over the rows, and functions called from SQL.

    python tests/bench/rows.py [--rows N]

Embeddings are drawn from the default profile's statistics (20,000) and encoded at its default
quality. One minute of the processor. Needs duckdb.

    seconds   of the processor for 1,000 rows, the best of three, taken in turn: the five best of
              one query by `search_rows` of a cursor of SQLite, by `clip_cosine` of DuckDB, and by a
              function that SQLite calls for each row (of a tenth of the rows); `decode_rows`; and
              `decode_batch` of bytes and of text
    as_many   times what `search_rows` takes
    longer    characters of the streams' texts for each byte
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

import kept
import numpy as np

import clipcodec
from clipcodec.integrations.duckdb import register
from clipcodec.integrations.extras import need
from clipcodec.integrations.sql import decode_rows, search_rows

MODULES = (*kept.OUR_CODE, "integrations/sql.py", "integrations/duckdb.py", "text_form.py")
ROUNDS = 3
K = 5
SELECT = "SELECT id, clip FROM photos"


def in_turn(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of the processor of each, the least of some rounds."""
    least = dict.fromkeys(calls, np.inf)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.process_time()
            call()
            least[name] = min(least[name], time.process_time() - start)
    return least


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--rows", type=int, default=20_000, metavar="N")
    args = parser.parse_args(arguments)
    duckdb = need("duckdb", "duckdb")
    statistics = clipcodec.Codec().profile.statistics
    assert statistics is not None
    x = statistics.draw(args.rows, seed=1)
    streams, query = clipcodec.encode_embeddings(x), x[7]
    texts = [clipcodec.to_text(stream) for stream in streams]
    few = max(1, args.rows // 10)

    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY, clip BLOB)")
    db.executemany("INSERT INTO photos VALUES (?, ?)", enumerate(streams))
    db.create_function("cosine", 1, lambda s: float(clipcodec.decode(s) @ query))
    one = f"SELECT id FROM (SELECT * FROM photos LIMIT {few}) ORDER BY cosine(clip) DESC LIMIT {K}"
    duck = duckdb.connect()
    register(duck)
    duck.execute("CREATE TABLE photos AS SELECT unnest(?) AS id, unnest(?) AS clip",
                 [[*range(args.rows)], streams])  # fmt: skip
    sql = f"SELECT id FROM photos ORDER BY clip_cosine(clip, ?) DESC LIMIT {K}"

    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "search_rows, SQLite": (lambda: search_rows(db.execute(SELECT), query, K), args.rows),
        "clip_cosine, DuckDB": (lambda: duck.execute(sql, [query]).fetchall(), args.rows),
        "a function, SQLite": (lambda: db.execute(one).fetchall(), few),
        "decode_rows, SQLite": (lambda: [*decode_rows(db.execute(SELECT))], args.rows),
        "decode_batch, bytes": (lambda: clipcodec.decode_batch(streams), args.rows),
        "decode_batch, text": (lambda: clipcodec.decode_batch(texts), args.rows),
    }
    best = search_rows(db.execute(SELECT), query, K).ids[0]
    assert [id for (id,) in duck.execute(sql, [query]).fetchall()] == best
    seconds = in_turn({name: call for name, (call, _) in calls.items()})
    each = {name: 1000 * seconds[name] / count for name, (_, count) in calls.items()}
    file = kept.Kept("rows", args)
    for name, value in each.items():
        figures = {"seconds": value, "as_many": value / each["search_rows, SQLite"]}
        file.add(name, figures, data="", modules=MODULES, times=True, rows=args.rows)
    longer = sum(map(len, texts)) / sum(map(len, streams))
    file.add("text", {"longer": longer}, data=kept.digest(x), modules=MODULES, rows=args.rows)
    file.finish()


if __name__ == "__main__":
    main()
