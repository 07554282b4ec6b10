"""Measure codecs on sets of embeddings, point by point, into a result file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ClipcodecError, RateError
from .bench import Bench
from .codecs import Coded, MeasuredCodec, Training
from .progress import progress
from .results import Point, Results, code_digest

MEASURED_BY = ("evaluation/metrics.py", "evaluation/bench.py")
ORIGINAL = "original"  # key of the point of the rows as they are


def evaluate(
    bench: Bench,
    codecs: Sequence[MeasuredCodec],
    training: Training,
    results: Results,
    *,
    only: bool = False,
    quiet: bool = False,
) -> list[str]:
    """Measure all codecs and keep each point in the result file as soon as it is there.

    only  whether points of other codecs, which the file has from before, are dropped

    Points that the file has are not measured again if they were made from the same data by the same
    code and weights; nor if the code has changed, but still makes the same of a few rows. Returns
    what could not be measured, one line each: out of reach, or a package that is missing.
    """
    failed = []
    _original(bench, results)
    for codec in progress(codecs, lambda codec: codec.spec, quiet=quiet):
        try:
            _point(bench, codec, training, results)
        except (RateError, ImportError) as error:
            failed.append(f"{codec.spec}: {error}")
        except ClipcodecError as error:
            raise type(error)(f"{codec.spec}: {error}") from error
    keys = [ORIGINAL, *[codec.spec for codec in codecs]]
    results.keep_only(
        keys if only else [*keys, *(key for key in results.points if key not in keys)]
    )
    return failed


def _original(bench: Bench, results: Results) -> None:
    """The point of the rows as they are: the upper bound."""
    code, old = _code_of(None), results.points.get(ORIGINAL, {})
    if (old.get("code"), old.get("data")) == (code, bench.digest):
        return
    coded = Coded(bench.rows, np.full(len(bench.rows), 4.0 * bench.rows.shape[1]))
    results.add({
        "key": ORIGINAL, "series": "uncompressed", "setting": "float32", "code": code,
        "data": bench.digest, **bench.measure(coded),
    })  # fmt: skip


def _point(bench: Bench, codec: MeasuredCodec, training: Training, results: Results) -> None:
    code = _code_of(codec)
    old = results.points.get(codec.spec, {})
    where: Point = {"data": bench.digest, "measured": _code_of(None)}
    if codec.fitted:
        where |= {"training": training.digest, "quick": training.quick}
    same = old.items() >= where.items()
    if same and old.get("code") == code:
        return
    sample = bench.sample(codec, training) if codec.apart else ""
    if same and sample and old.get("sample") == sample:
        results.add({**old, "code": code})
        return
    coded = codec.code(bench.rows, training)
    point: Point = {
        "key": codec.spec, "series": codec.series, "setting": codec.setting, "code": code,
        "sample": sample,
    }  # fmt: skip
    more = codec.more(bench.rows, training) if codec.more else {}
    more = {name: round(value, 5) for name, value in more.items()}
    results.add({**point, **where, **bench.measure(coded), **more})


def _code_of(codec: MeasuredCodec | None) -> str:
    """The digest of what decides a codec's bytes; None: of what measures."""
    return code_digest(MEASURED_BY) if codec is None else code_digest(codec.modules, codec.weights)
