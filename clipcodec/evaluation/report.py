"""Measures rate and distortion of every profile and of reference codecs: a table and two figures.

    python -m clipcodec.evaluation.report FOLDER -o docs/figures

FOLDER holds train.safetensors (for the reference codecs), imagenet.safetensors and
test_*.safetensors, as `load_evaluation` and `load_training` describe them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import ClipcodecError, OptionError, RateError
from ..profile import registry
from ..system.files import write_atomic
from . import baselines
from .figures import BOUND, import_pyplot, plot
from .metrics import Evaluation, Point, Scores, load_evaluation, load_training

BUDGETS = (12, 16, 25, 34, 50, 75, 100, 150, 200, 250)
TABLE = "rate-distortion.md"


@dataclass(frozen=True)
class Job:
    """A point still to be measured; `run` returns None if the codec cannot reach the rate."""

    series: str
    setting: str
    run: Callable[[], Point | None]


def codec_jobs(evaluation: Evaluation, profile: str, budgets: Sequence[int]) -> list[Job]:
    """Jobs for `profile` at every budget, registered profiles of one rate, and the untrained one.

    The last is measured from half a bit per dimension on: below, little of an embedding is left.
    """
    dim = evaluation.rows.shape[1]
    own = Codec(profile)
    codecs = [own] + [Codec(r.name) for r in registry.registered() if r.bits and r.dim == dim]
    if own.profile.name != registry.UNTRAINED:
        codecs.append(Codec(registry.UNTRAINED))
    jobs = []
    for codec in codecs:
        name = codec.profile.name
        if codec.profile.qualities:
            least = dim / 16 if name == registry.UNTRAINED else 0
            for budget in (b for b in budgets if b >= least):
                run = partial(_coded, evaluation, codec, name, budget)
                jobs.append(Job(name, f"max_bytes={budget}", run))
        else:
            jobs.append(Job(name, "", partial(_coded, evaluation, codec, name, None)))
    return jobs


def baseline_jobs(
    evaluation: Evaluation, training: Embeddings, names: Sequence[str] = baselines.FAISS
) -> list[Job]:
    """Jobs for the reference codecs, fitted to `training`. ImportError if faiss is missing."""
    baselines.import_faiss()
    x = evaluation.rows
    klt = baselines.plain_klt(training)

    def job(series: str, setting: str, code: Callable[[], baselines.Coded]) -> Job:
        def run() -> Point:
            rows, size = code()
            scores = evaluation.score(rows)
            return Point(series, setting, size, None, scores.cosine, scores)

        return Job(series, setting, run)

    def bound(size: int) -> Point:
        cosine = baselines.gaussian_cosine(klt.variance, size)
        return Point(BOUND, "", size, None, cosine, None)

    jobs = [
        job(f"faiss {name.partition('Q')[0]}Q", name,
            partial(baselines.faiss_codec, name, training, x))
        for name in names
    ]  # fmt: skip
    for size in baselines.PCA_BYTES:
        jobs.append(job("PCA, fixed length", "", partial(baselines.pca_codec, klt, x, size)))
    for step in baselines.KLT_STEPS:
        code = partial(baselines.klt_codec, klt, training, x, step)
        jobs.append(job("KLT + RDO, ideal entropy", f"step {step}", code))
    jobs += [Job(BOUND, "", partial(bound, size)) for size in baselines.BOUND_BYTES]
    return jobs


def _coded(evaluation: Evaluation, codec: Codec, series: str, budget: int | None) -> Point | None:
    try:
        streams = codec.encode_embeddings(evaluation.rows, max_bytes=budget)
    except RateError:
        return None
    sizes = [len(stream) for stream in streams]
    scores = evaluation.score(codec.decode_batch(streams))
    setting = "" if budget is None else f"max_bytes={budget}"
    return Point(series, setting, float(np.mean(sizes)), max(sizes), scores.cosine, scores)


def table(
    evaluation: Evaluation, points: Sequence[Point], unreached: Sequence[str], fitted: int
) -> str:
    """The Markdown page.

    unreached  what codecs could not reach, as text
    fitted     number of training rows of the reference codecs; 0: none was measured
    """
    tasks = [task.name for task in evaluation.tasks[1:]]
    head = ["codec", "setting", "bytes", "most", "cosine", "5 %", "zero-shot", "KL", "text→image",
            *tasks, "10-nn"]  # fmt: skip
    lines = ["# Rate and distortion", "", _NOTES.format(rows=len(evaluation.rows)), ""]
    lines += [_line(head), _line(["---"] * len(head))]
    original = evaluation.score(evaluation.rows)
    width = 4 * evaluation.rows.shape[1]
    lines.append(_line(["uncompressed", "float32", f"{width}", f"{width}", *_cells(original)]))
    for point in points:
        size = [f"{point.mean:.1f}", "" if point.most is None else f"{point.most}"]
        if point.scores is None:
            cells = [f"{point.cosine:.4f}", *[""] * (len(head) - 5)]
        else:
            cells = _cells(point.scores)
        lines.append(_line([point.series, point.setting, *size, *cells]))
    if fitted:
        lines += ["", f"The reference codecs were fitted to {fitted} rows drawn at random from "
                      "those that the profiles were trained on."]  # fmt: skip
    if unreached:
        lines += ["", "Out of reach for at least one of the rows: " + "; ".join(unreached) + "."]
    return "\n".join(lines) + "\n"


_NOTES = """Made by `python -m clipcodec.evaluation.report`, on {rows} embeddings never trained on.

- **bytes, most**: mean and largest size. For clipcodec's profiles it is that of whole streams, with
  header and check value. The reference codecs have neither: the codes of faiss and PCA have a
  fixed length, and KLT + RDO is the ideal size by static tables, which real streams do not quite
  reach. The Gaussian bound is reverse water-filling on the covariance of the training rows, where
  cosine ≈ 1 − E/2 for a squared error E.
- **cosine, 5 %**: mean and 5th percentile of the cosine between original and decoded embedding.
- **zero-shot**: top-1 accuracy in % by the most similar class text, for held-out classes. **KL**:
  divergence of the softmax over these texts (cosines times 100), original to decoded, in nats; it
  shows differences that are too small to be seen in top-1.
- **text→image**: mean precision in % of the images most similar to a class text, as many as the
  class has.
- The columns after it: top-1 accuracy in % by the nearest class mean of uncompressed examples.
- **10-nn**: % of the ten nearest neighbours within the last set that are kept, all rows decoded."""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(scores: Scores) -> list[str]:
    shares = [scores.text_image, *scores.top1.values(), scores.neighbours]
    return [
        f"{scores.cosine:.4f}", f"{scores.cosine05:.4f}", f"{100 * scores.zero_shot:.2f}",
        f"{scores.kl:.4f}", *[f"{100 * share:.2f}" for share in shares],
    ]  # fmt: skip


def run(
    folder: Path,
    out: Path,
    *,
    profile: str = registry.DEFAULT,
    budgets: Sequence[int] = BUDGETS,
    rows: int = 20_000,
    reference: bool = True,
    faiss: Sequence[str] = baselines.FAISS,
    figures: bool = True,
    quiet: bool = False,
) -> list[Point]:
    """Measure all codecs, and write table and figures into `out`, replacing older ones.

    folder     holds the embeddings, as `load_evaluation` and `load_training` describe
    rows       number of training rows, drawn at random, to fit the reference codecs to
    reference  whether to measure the reference codecs, too
    faiss      which of faiss's codecs to measure

    Raises ClipcodecError, ImportError (faiss or matplotlib is missing) or OSError.
    """
    from tqdm import tqdm

    if figures:
        import_pyplot()
    evaluation = load_evaluation(folder)
    jobs = codec_jobs(evaluation, profile, budgets)
    fitted = 0
    if reference:
        training = load_training(folder)
        chosen = np.random.default_rng(0).permutation(len(training))[:rows]
        jobs += baseline_jobs(evaluation, training[chosen], faiss)
        fitted = len(chosen)
    points, unreached = [], []
    bar = tqdm(jobs, disable=quiet, unit="point")
    for job in bar:
        bar.set_description(f"{job.series} {job.setting}".strip())
        if (point := job.run()) is None:
            unreached.append(f"{job.series} {job.setting}")
        else:
            points.append(point)
    out.mkdir(parents=True, exist_ok=True)
    page = table(evaluation, points, unreached, fitted)
    write_atomic(out / TABLE, page.encode(), overwrite=True)
    if figures:
        plot(out, points, evaluation.score(evaluation.rows).zero_shot)
    return points


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clipcodec.evaluation.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder with the embeddings")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--profile", default=registry.DEFAULT, help="name or file; %(default)s")
    parser.add_argument("--max-bytes", type=int, nargs="+", default=BUDGETS, metavar="N")
    parser.add_argument("--rows", type=int, default=20_000, help="training rows; %(default)s")
    parser.add_argument("--faiss", nargs="*", default=baselines.FAISS, metavar="INDEX",
                        help="names in faiss's index factory; %(default)s")  # fmt: skip
    parser.add_argument(
        "--no-baselines", action="store_true", help="measure only clipcodec's profiles"
    )
    parser.add_argument("--no-figures", action="store_true", help="write only the table")
    args = parser.parse_args(arguments)
    try:
        if args.rows < 1:
            raise OptionError(f"--rows {args.rows}: at least 1")
        run(
            args.folder,
            args.out,
            profile=args.profile,
            budgets=args.max_bytes,
            rows=args.rows,
            reference=not args.no_baselines,
            faiss=args.faiss,
            figures=not args.no_figures,
        )
    except (ClipcodecError, ImportError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(f"{args.out / TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
