"""Downstream heads: what small published models make of decoded embeddings.

    python -m clipcodec.evaluation.heads DATA HEADS -o docs/results/heads.json [--codec SPEC …]

A head is a linear model on embeddings, such as an aesthetic score. It was trained by others on
embeddings that were never compressed, and is not trained again: its scores of original and decoded
rows are compared.

HEADS is a folder of heads, one safetensors file each:

    weight   (1, D) or (D,)   a prefix such as `linear.` is allowed
    bias     (1,)
    metadata `info`, a JSON object; all of it is optional:
        scale   the length that embeddings are scaled to before: "unit" (the default), "sqrt" (√D),
                or a number
        kind    "score" (the default), or "logit": its sign is a decision
        repo    where the head is from. For the repositories in `PUBLISHED` scale and kind are known

DATA holds `clip-vit-b-32-openai/`, a folder of sets as `evaluation.sets` describes them, and
`clip-vit-l-14-openai/test.safetensors` with the rows `things` and `news_336px`. Heads are measured
on the rows of their width.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from ..embeddings import Embeddings, as_embeddings
from ..errors import ClipcodecError, EmbeddingError, OptionError, RateError
from .codecs import Coded, MeasuredCodec, Training, parse_codec
from .results import Point, Results, code_digest
from .sets import EmbeddingSet, load_sets, read_tensors

B32, L14 = "clip-vit-b-32-openai", "clip-vit-l-14-openai"
PROFILES = {B32: "openai-vit-b-32/predictive", L14: "openai-vit-l-14-336/predictive"}
L14_SETS = ("things", "news_336px")
SIZES = (12, 16, 25, 34, 50, 75, 100, 250)
MEANS = (25, 50, 100)
MEASURED_BY = ("evaluation/heads.py",)
# Raw embeddings of ViT-L/14 are about this long; stored rows are of unit norm, so their own
# lengths are not known. In clip-retrieval's issue 290 one picture's raw numbers (ViT-L/14@336px)
# are 20.8 times its normalised ones. Decisions are counted at two other lengths, too.
RAW_LENGTH = 20.0
OTHER_LENGTHS = (15.0, 25.0)
# repo: scale and kind of heads whose files do not say so
PUBLISHED: dict[str, tuple[str | float, str]] = {
    "LAION-AI/aesthetic-predictor": ("unit", "score"),
    "crowsonkb/simulacra-aesthetic-models": ("sqrt", "score"),
    "WisconsinAIVision/UniversalFakeDetect": (RAW_LENGTH, "logit"),
}
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """A linear model: `length` · (unit embedding · weight) + bias.

    name    of the file
    weight  (D,) float64
    length  what embeddings are scaled to
    logit   whether its sign is a decision; else it is a score
    """

    name: str
    weight: Scores
    bias: float
    length: float = 1.0
    logit: bool = False

    @property
    def dim(self) -> int:
        return len(self.weight)

    def scores(self, rows: Embeddings, length: float | None = None) -> Scores:
        """Scores (N,) of rows (N, D) of unit norm; `length` instead of the head's own."""
        found: Scores = rows.astype(np.float64) @ self.weight
        return (self.length if length is None else length) * found + self.bias


def load_head(path: Path) -> Head:
    """Read a head. Raises EmbeddingError naming the file and what is wrong, or OSError."""
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            info = json.loads((file.metadata() or {}).get("info", "{}"))
    except (SafetensorError, ValueError) as error:
        raise EmbeddingError(f"{path} is not a readable head: {error}") from error
    parts = {name.rpartition(".")[2]: tensor for name, tensor in tensors.items()}
    if len(tensors) != 2 or parts.keys() != {"weight", "bias"}:
        raise EmbeddingError(f"{path}: tensors {sorted(tensors)}: expected weight and bias")
    weight, bias = parts["weight"], parts["bias"]
    if weight.size != weight.shape[-1] or bias.size != 1:
        raise EmbeddingError(
            f"{path}: weight {weight.shape}, bias {bias.shape}: expected (1, D) and (1,)"
        )
    if not isinstance(info, dict):
        raise EmbeddingError(f"{path}: metadata `info` is no JSON object")
    scale, kind = PUBLISHED.get(str(info.get("repo")), ("unit", "score"))
    scale, kind = info.get("scale", scale), info.get("kind", kind)
    if kind not in ("score", "logit"):
        raise EmbeddingError(f"{path}: kind {kind!r}: expected score or logit")
    named = {"unit": 1.0, "sqrt": math.sqrt(weight.size)}
    length = named.get(scale) if isinstance(scale, str) else scale
    if isinstance(length, bool) or not isinstance(length, (int, float)) or not 0 < length < 1e6:
        raise EmbeddingError(f"{path}: scale {scale!r}: expected unit, sqrt or a length")
    return Head(path.stem, weight.reshape(-1).astype(np.float64), float(bias.reshape(-1)[0]),
                float(length), kind == "logit")  # fmt: skip


def load_heads(folder: Path) -> list[Head]:
    """The heads of a folder, by name. Raises EmbeddingError if it has none; as `load_head`."""
    heads = [load_head(path) for path in sorted(folder.glob("*.safetensors"))]
    if not heads:
        raise EmbeddingError(f"{folder} holds no heads: expected *.safetensors")
    return heads


# measures


def ranks(values: Scores) -> Scores:
    """Ranks (N,) from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Scores = last - (counts - 1) / 2
    return means[place]


def pearson(a: Scores, b: Scores) -> float:
    """The linear correlation of two lists; 0 if one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def spearman(a: Scores, b: Scores) -> float:
    """The rank correlation of two lists, ties averaged; 0 if one of them is constant."""
    return pearson(ranks(a), ranks(b))


def compare(head: Head, original: Embeddings, decoded: Embeddings) -> dict[str, float]:
    """How a head's scores change, for rows (N, D) of unit norm.

      rank, pearson     correlation of the scores before and after: of ranks (Spearman), linear
      change, change95  mean and 95th percentile of the absolute change, in the head's own units
      shift             mean change, with its sign
      relative          `change` in standard deviations of the original scores
    For a logit, too:
      stay              share of rows whose decision (logit > 0) stays
      stay_at_15, …     the same at the `OTHER_LENGTHS` of the embeddings
      positive          share of decoded rows above zero; `summary` has that of the originals.
                        Where few are, `stay` is high even if none of them stays
    """
    before, after = head.scores(original), head.scores(decoded)
    moved = np.abs(after - before)
    deviation = float(before.std())
    found = {
        "rank": spearman(before, after),
        "pearson": pearson(before, after),
        "change": float(moved.mean()),
        "change95": float(np.quantile(moved, 0.95)),
        "shift": float((after - before).mean()),
        "relative": float(moved.mean()) / deviation if deviation > 0 else 0.0,
    }
    if head.logit:
        found["positive"] = float((after > 0).mean())
        found["stay"] = float(((before > 0) == (after > 0)).mean())
        for length in OTHER_LENGTHS:
            pair = [head.scores(rows, length) > 0 for rows in (original, decoded)]
            found[f"stay_at_{length:g}"] = float((pair[0] == pair[1]).mean())
    return found


def summary(head: Head, rows: Embeddings) -> dict[str, float]:
    """The scores of original rows: `mean`, `deviation`, `least`, `most`; of a logit, the share of
    rows above zero, `positive`.
    """
    scores = head.scores(rows)
    found = {
        "mean": float(scores.mean()), "deviation": float(scores.std()),
        "least": float(scores.min()), "most": float(scores.max()),
    }  # fmt: skip
    if head.logit:
        found["positive"] = float((scores > 0).mean())
    return found


# the study


@dataclass(frozen=True)
class Heads:
    """Heads of one width, and the sets that they are measured on."""

    model: str
    heads: Sequence[Head]
    sets: Sequence[EmbeddingSet]

    @cached_property
    def rows(self) -> Embeddings:
        return np.concatenate([data.rows for data in self.sets])

    @cached_property
    def digest(self) -> str:
        """Of rows and heads, in hex."""
        found = hashlib.sha256(self.rows.tobytes())
        for head in self.heads:
            found.update(f"{head.name} {head.bias} {head.length} {head.logit}".encode())
            found.update(head.weight.tobytes())
        return found.hexdigest()

    def original(self) -> Point:
        """The point of the rows as they are."""
        width = 4.0 * self.rows.shape[1]
        return {
            "key": f"{self.model}: original", "model": self.model, "codec": "original",
            "series": "uncompressed", "setting": "float32", "code": code_digest(MEASURED_BY),
            "modules": MEASURED_BY, "weights": "", "data": self.digest,
            "images": len(self.rows), "bytes": width, "most": width,
            "heads": {h.name: _rounded(summary(h, self.rows)) for h in self.heads},
        }  # fmt: skip

    def point(self, codec: MeasuredCodec) -> Point:
        """What names the point of a codec, without its measures."""
        modules = (*codec.modules, *MEASURED_BY)
        return {
            "key": f"{self.model}: {codec.spec}", "model": self.model, "codec": codec.spec,
            "series": codec.series, "setting": codec.setting,
            "code": code_digest(modules, codec.weights), "modules": modules,
            "weights": codec.weights, "data": self.digest, "images": len(self.rows),
        }  # fmt: skip

    def measure(self, coded: Coded) -> Point:
        """Size, and the measures of every head: of all rows, and `sets` by the set's name."""
        if coded.rows is None:
            raise OptionError("a bound has no rows: heads need decoded embeddings")
        decoded = as_embeddings(coded.rows, self.rows.shape[1])
        bounds = np.cumsum([len(data.rows) for data in self.sets])[:-1]
        parts = np.split(decoded, bounds)
        heads = {}
        for head in self.heads:
            found: dict[str, Any] = dict(_rounded(compare(head, self.rows, decoded)))
            found["sets"] = {
                data.name: _rounded(compare(head, data.rows, part))
                for data, part in zip(self.sets, parts, strict=True)
            }
            heads[head.name] = found
        return {
            "bytes": round(float(coded.bytes.mean()), 5),
            "most": float(coded.bytes.max()), "heads": heads,
        }  # fmt: skip


def load(data: Path, folder: Path, rows: int | None = None) -> list[Heads]:
    """Heads, and the sets of their width, of at most `rows` images each; see the module.

    Raises EmbeddingError naming heads that there are no rows for, or a file that is damaged.
    """
    heads = load_heads(folder)
    found = []
    for model in (B32, L14):
        if (data / model).is_dir():
            sets = load_sets([data / model]) if model == B32 else _l14_sets(data / model)
            if rows is not None:
                sets = [part.first(rows) for part in sets]
            fitting = [head for head in heads if head.dim == sets[0].rows.shape[1]]
            if fitting:
                found.append(Heads(model, fitting, sets))
    measured = {head.name for part in found for head in part.heads}
    left = [f"{head.name} ({head.dim} dimensions)" for head in heads if head.name not in measured]
    if left:
        raise EmbeddingError(
            f"{data} has no rows for {', '.join(left)}: expected {B32}/ and {L14}/test.safetensors"
        )
    return found


def _l14_sets(folder: Path) -> list[EmbeddingSet]:
    tensors = read_tensors(folder / "test.safetensors", *L14_SETS)
    return [EmbeddingSet(name, as_embeddings(tensors[name]), "") for name in L14_SETS]


def study(
    data: Path,
    folder: Path,
    results: Results,
    *,
    specs: Sequence[str] = (),
    rows: int | None = None,
    kept: Path | None = None,
    quick: bool = False,
    quiet: bool = False,
) -> list[str]:
    """Measure the profile of each model at `SIZES` and `MEANS`, and other codecs, on all heads.

    data, folder  of embeddings and of heads, as the module says
    specs         other codecs, as `evaluation.codecs` names them, measured on each model's rows;
                  they are fitted to the training rows in the model's folder
    rows          of each set at most so many images
    kept, quick   as `Training` has them

    What the file has is not measured again, unless code, weights, rows or heads have changed.
    Returns what could not be measured, one line each. Raises ClipcodecError or OSError.
    """
    failed, keys = [], []
    for part in load(data, folder, rows):
        training = Training(data / part.model, quick=quick, kept=kept)
        original = part.original()
        keys.append(original["key"])
        if not _same(results, original):
            results.add(original)
        own = [f"{PROFILES[part.model]}@max_bytes={size}" for size in SIZES]
        own += [f"{PROFILES[part.model]}@mean_bytes={size}" for size in MEANS]
        bar = tqdm([*own, *specs], disable=True if quiet else None, unit="codec", leave=False)
        for spec in bar:
            bar.set_description(spec)
            try:
                codec = parse_codec(spec)
                point = part.point(codec)
                keys.append(point["key"])
                if quick:
                    point["quick"] = True
                if not _same(results, point):
                    results.add({**point, **part.measure(codec.code(part.rows, training))})
            except (RateError, ImportError) as error:
                failed.append(f"{part.model}: {spec}: {error}")
            except ClipcodecError as error:
                raise type(error)(f"{part.model}: {spec}: {error}") from error
    results.keep_only(keys)
    return failed


def _same(results: Results, point: Point) -> bool:
    """Does the file have this point, made by the same code from the same data?"""
    old = results.points.get(str(point["key"]), {})
    return all(old.get(name) == point.get(name) for name in ("code", "data", "quick"))


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in found.items()}


def table(results: Results) -> str:
    """All points as text, one line for each head of a codec."""
    lines = [f"{'':52} {'bytes':>6} {'rank':>7} {'change':>7} {'95 %':>7} {'shift':>7} {'stay':>6}"]
    for point in results.points.values():
        if point["codec"] == "original":
            continue
        lines.append(f"{point['codec']:52} {point['bytes']:6.1f}")
        for name, found in point["heads"].items():
            stay = f" {found['stay']:6.3f}" if "stay" in found else ""
            lines.append(
                f"  {name:50} {'':6} {found['rank']:7.4f} {found['change']:7.4f}"
                f" {found['change95']:7.4f} {found['shift']:+7.4f}{stay}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clipcodec.evaluation.heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("heads", type=Path, metavar="HEADS")
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    parser.add_argument("--codec", nargs="+", default=[], metavar="SPEC", help="other codecs, too")
    parser.add_argument("--rows", type=int, metavar="N", help="at most N images of each set")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    args = parser.parse_args(arguments)
    try:
        command = "python -m clipcodec.evaluation.heads DATA DATA/heads"
        if args.codec:
            command += f" --codec {' '.join(args.codec)}"
        if args.rows is not None:
            if args.rows < 2:
                raise OptionError(f"--rows {args.rows}: at least 2")
            command += f" --rows {args.rows}"
        results = Results.load(args.output, command)
        failed = study(args.data, args.heads, results, specs=args.codec, rows=args.rows,
                       quiet=args.quiet)  # fmt: skip
    except (ClipcodecError, OSError) as error:
        print(f"heads: {error}", file=sys.stderr)
        return 1
    print(table(results))
    for line in failed:
        print(f"heads: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
