"""Measure codecs on sets of embeddings, point by point, into a result file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..embeddings import Embeddings, as_embeddings
from ..errors import ClipcodecError, RateError
from .codecs import Coded, MeasuredCodec, Training
from .metrics import Measures, spread
from .results import Point, Results, code_digest
from .sets import EmbeddingSet

MEASURED_BY = ("evaluation/metrics.py", "evaluation/sets.py", "evaluation/evaluate.py")
_SAMPLE = 32  # rows of each set, coded anew where the code has changed


class Bench:
    """Sets, ready to be measured on."""

    def __init__(self, sets: Sequence[EmbeddingSet]) -> None:
        self.sets = list(sets)
        self.rows: Embeddings = np.concatenate([data.rows for data in self.sets])
        self.digest = hashlib.sha256("".join(data.digest for data in self.sets).encode()).hexdigest()
        self._measures = [Measures(data) for data in self.sets]
        self._bounds = np.cumsum([len(data.rows) for data in self.sets])[:-1]

    def measure(self, coded: Coded) -> dict[str, Any]:
        """Size and measures of coded rows: of all rows, and `sets` by the set's name."""
        sizes = coded.bytes
        point: dict[str, Any] = {"bytes": _rounded(sizes.mean()), "most": _rounded(sizes.max())}
        point["bpd"] = _rounded(8 * sizes.mean() / self.rows.shape[1])
        if coded.rows is None:
            return point | {"cosine": _rounded(coded.cosine)}
        y = as_embeddings(coded.rows, self.rows.shape[1])
        cosines = (y * self.rows).sum(axis=1)
        point |= {
            "cosine": _rounded(cosines.mean()),
            "cosine05": _rounded(np.quantile(cosines, 0.05)),
            "spread": spread(self.rows, y),
            "sets": {},
        }
        parts = zip(self.sets, self._measures, np.split(y, self._bounds),
                    np.split(np.broadcast_to(sizes, len(y)), self._bounds), strict=True)  # fmt: skip
        for data, measures, part, own in parts:
            found = {name: _rounded(value) for name, value in measures.of(part).items()}
            found["bytes"] = _rounded(own.mean())
            if data.pixels is not None:
                found["bpp"] = float(8 * own.sum() / data.pixels.sum())
            point["sets"][data.name] = found
        return point

    def sample(self, codec: MeasuredCodec, training: Training) -> str:
        """A digest of what the codec makes of a few rows of each set."""
        rows = np.concatenate([data.first(_SAMPLE).rows for data in self.sets])
        coded = codec.code(rows, training)
        found = hashlib.sha256(np.asarray(coded.bytes, np.float64).tobytes())
        if coded.rows is not None:
            found.update(np.asarray(coded.rows, np.float16).tobytes())
        return found.hexdigest()[:16]


def evaluate(
    bench: Bench,
    codecs: Sequence[MeasuredCodec],
    training: Training,
    results: Results,
    *,
    quiet: bool = False,
) -> list[str]:
    """Measure all codecs and keep each point in the result file as soon as it is there.

    Points that the file has are not measured again if they were made from the same data by the same
    code and weights; nor if the code has changed, but still makes the same of a few rows. Returns
    what could not be measured, one line each: out of reach, or a package that is missing.
    """
    failed = []
    original = Coded(bench.rows, np.array([4.0 * bench.rows.shape[1]]))
    if _code_of(None) != results.points.get("original", {}).get("code") or (
        results.points["original"]["data"] != bench.digest
    ):
        point = {"key": "original", "series": "uncompressed", "setting": "float32",
                 "code": _code_of(None), "data": bench.digest, **bench.measure(original)}  # fmt: skip
        results.add(point)
    bar = tqdm(codecs, disable=True if quiet else None, unit="codec")
    for codec in bar:
        bar.set_description(codec.spec)
        try:
            _point(bench, codec, training, results)
        except (RateError, ImportError) as error:
            failed.append(f"{codec.spec}: {error}")
        except ClipcodecError as error:
            raise type(error)(f"{codec.spec}: {error}") from error
    results.keep_only(["original", *[codec.spec for codec in codecs]])
    return failed


def _point(bench: Bench, codec: MeasuredCodec, training: Training, results: Results) -> None:
    code = _code_of(codec)
    old = results.points.get(codec.spec, {})
    same = old.get("data") == bench.digest and old.get("measured") == _code_of(None)
    if same and old.get("code") == code and old.get("quick", False) == training.quick:
        return
    sample = bench.sample(codec, training) if codec.apart else ""
    if same and sample and old.get("sample") == sample:
        results.add({**old, "code": code})
        return
    coded = codec.code(bench.rows, training)
    point: Point = {
        "key": codec.spec, "series": codec.series, "setting": codec.setting, "code": code,
        "measured": _code_of(None), "data": bench.digest, "sample": sample,
    }  # fmt: skip
    if training.quick:
        point["quick"] = True
    results.add({**point, **bench.measure(coded)})


def _code_of(codec: MeasuredCodec | None) -> str:
    """The digest of what decides a codec's bytes; None: of what measures."""
    return code_digest(MEASURED_BY) if codec is None else code_digest(codec.modules, codec.weights)


def bench_of(paths: Sequence[Path], rows: int | None = None) -> Bench:
    """The sets of files and folders, as `load_sets` takes them; of each at most `rows` images."""
    from .sets import load_sets

    sets = load_sets(paths)
    return Bench(sets if rows is None else [data.first(rows) for data in sets])


def _rounded(value: float | np.floating[Any] | NDArray[np.float64] | None) -> float:
    assert value is not None
    return round(float(value), 5)
