"""The whole evidence of the documentation: every study, each into its result file.

    python -m clipcodec.evaluation.report DATA -o docs/results [--only STUDY …] [--keep DIR]

DATA holds `clip-vit-b-32-openai/` and `clip-vit-l-14-openai/`, folders of sets and training rows as
`evaluation.sets` describes them (of the second, `test.safetensors`: `things`, `news_336px` and
`imagenet_text`), and `heads/`, linear heads as `evaluation.heads` describes them. A study whose
folder is missing is left out, and says so.

A run that was cut off goes on where it stopped; what has not changed is not measured again. With
--quick a few hundred rows and codecs show within minutes that all works; its figures are not those
of the documentation, so it needs a folder of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..embeddings import as_embeddings
from ..errors import ClipcodecError
from . import ablation
from .bench import Bench, bench_of
from .codecs import MeasuredCodec, Training, parse_codec
from .evaluate import evaluate
from .heads import study
from .results import Results
from .sets import EmbeddingSet, digested, read_tensors

B32, L14, HEADS = "clip-vit-b-32-openai", "clip-vit-l-14-openai", "heads"
OURS = "openai-vit-b-32/predictive"
OURS_L14 = "openai-vit-l-14-336/predictive"
UNTRAINED = "any/rotation"
SIZES = (12, 16, 20, 25, 34, 50, 75, 100, 125, 150, 200, 250)
MEANS = (25, 50, 100)
UNTRAINED_SIZES = (34, 50, 75, 100, 150, 250)
L14_SIZES = (25, 50, 100, 150, 250)
PQVAE_BITS = (400, 600, 800, 1000, 1200, 2000)  # the rates of arXiv 2509.05925, Table 1
FAISS = (
    "PQ16x8np", "PQ32x8np", "PQ64x6np", "PQ64x8np", "PQ128x8np", "OPQ32,PQ32x8np",
    "OPQ50_500,PQ50x8np", "RQ16x8", "RQ25x8", "LSQ16x8", "SQ4", "SQ6", "SQ8",
    "RR,RaBitQ", "RR,RaBitQ2", "RR,RaBitQ3", "RR,RaBitQ4", "RR,SQtqmse2", "RR,SQtqmse4",
)  # fmt: skip
STEPS = (0.1, 0.075, 0.06, 0.05, 0.035, 0.03, 0.02, 0.015)
PCA_BYTES = (16, 25, 34, 50, 75, 100, 150, 250)
KLT_STEPS = (0.08, 0.06, 0.05, 0.04, 0.03, 0.023, 0.017, 0.011)
TRUNCATED = ("50", "100", "250", "pca,25", "pca,50", "pca,100", "pca,250")
BOUND_BYTES = (12, 16, 25, 34, 50, 75, 100, 150, 200, 250)
QUICK = (
    f"{OURS}@max_bytes=25", f"{OURS}@max_bytes=50", f"{OURS}@max_bytes=100",
    f"{OURS}@mean_bytes=50", "openai-vit-b-32/pqvae-400", "vqvae:400", "learned-sq:1",
    "faiss:OPQ32,PQ32x8np", "int8", "binary", "scalar:0.03", "pca:50", "bound:50",
)  # fmt: skip
_QUICK_ROWS = 200


@dataclass(frozen=True)
class Asked:
    """What a run is asked for: where the data are, where results go, and how."""

    data: Path
    out: Path
    keep: Path | None
    quick: bool
    quiet: bool

    def results(self, study: str) -> Results:
        options = " --quick" if self.quick else ""
        command = f"python -m clipcodec.evaluation.report DATA -o docs/results --only {study}"
        return Results.load(self.out / f"{study}.json", command + options)

    @property
    def rows(self) -> int | None:
        """Images of each set; None: all."""
        return _QUICK_ROWS if self.quick else None


def specs() -> list[str]:
    """All codecs of the main table."""
    ours = [OURS, *(f"{OURS}@max_bytes={size}" for size in SIZES)]
    ours += [f"{OURS}@mean_bytes={size}" for size in MEANS]
    ours += [f"openai-vit-b-32/pqvae-{bits}" for bits in PQVAE_BITS]
    ours += [UNTRAINED, *(f"{UNTRAINED}@max_bytes={size}" for size in UNTRAINED_SIZES)]
    learned = [f"vqvae:{bits}" for bits in PQVAE_BITS] + [f"learned-sq:{n}" for n in (1, 2, 3)]
    peers = ["float16", "int8", "binary", "binary:centred"]
    peers += [f"truncate:{name}" for name in TRUNCATED] + [f"faiss:{name}" for name in FAISS]
    peers += [f"scalar:{step}" for step in STEPS] + [f"pca:{size}" for size in PCA_BYTES]
    peers += [f"klt:{step}" for step in KLT_STEPS] + [f"bound:{size}" for size in BOUND_BYTES]
    return ours + learned + peers


def embeddings(asked: Asked) -> list[str]:
    """Every codec on the sets of ViT-B/32."""
    training = Training(asked.data / B32, quick=asked.quick, kept=asked.keep)
    codecs, failed = _parsed(QUICK if asked.quick else specs())
    bench = bench_of([asked.data / B32], asked.rows)
    return failed + evaluate(
        bench, codecs, training, asked.results("embeddings"), quiet=asked.quiet
    )


def sub_vectors(asked: Asked) -> list[str]:
    """The paper's ablation: sizes of sub-vectors, a shared codebook or one each."""
    training = Training(asked.data / B32, quick=asked.quick, kept=asked.keep)
    codecs, failed = _parsed(ablation.SHARED[400][:2] if asked.quick else ablation.CELLS)
    bench, results = bench_of([asked.data / B32], asked.rows), asked.results("ablation")
    return failed + evaluate(bench, codecs, training, results, only=True, quiet=asked.quiet)


def l14(asked: Asked) -> list[str]:
    """Our profile for the paper's backbone, and the untrained one, on photographs and news."""
    path = asked.data / L14 / "test.safetensors"
    tensors = read_tensors(path, "things", "news_336px", "imagenet_text")
    texts = as_embeddings(tensors["imagenet_text"])
    sets = [
        digested(EmbeddingSet(name, as_embeddings(tensors[name]), "", texts=texts))
        for name in ("things", "news_336px")
    ]
    bench = Bench([data.first(asked.rows or len(data.rows)) for data in sets])
    sizes = L14_SIZES[1:2] if asked.quick else L14_SIZES
    codecs, failed = _parsed([f"{name}@max_bytes={size}" for name in (OURS_L14, UNTRAINED)
                              for size in sizes])  # fmt: skip
    results = asked.results("l14")
    return failed + evaluate(bench, codecs, Training(None), results, only=True, quiet=asked.quiet)


def _parsed(wanted: Sequence[str]) -> tuple[list[MeasuredCodec], list[str]]:
    """The codecs, and those that a missing package leaves out."""
    codecs, failed = [], []
    for spec in wanted:
        try:
            codecs.append(parse_codec(spec))
        except ImportError as error:
            failed.append(f"{spec}: {error}")
    return codecs, failed


def heads(asked: Asked) -> list[str]:
    """Scores that linear heads give, before and after."""
    return study(asked.data, asked.data / HEADS, asked.results("heads"), rows=asked.rows,
                 kept=asked.keep, quick=asked.quick, quiet=asked.quiet)  # fmt: skip


STUDIES: dict[str, tuple[str, Callable[[Asked], list[str]]]] = {
    "embeddings": (B32, embeddings),
    "ablation": (B32, sub_vectors),
    "l14": (L14, l14),
    "heads": (HEADS, heads),
}
"""Name of a study: the folder of DATA that it needs, and what runs it."""


def run(asked: Asked, only: Sequence[str] = ()) -> list[str]:
    """Run studies, all or some; returns what could not be measured, one line each."""
    failed = []
    for name in only or STUDIES:
        folder, study = STUDIES[name]
        if (asked.data / folder).is_dir():
            failed += [f"{name}: {line}" for line in study(asked)]
        else:
            failed.append(f"{name}: left out, as {asked.data / folder} is not there")
    return failed


def side_by_side(arguments: Sequence[str], names: Sequence[str], jobs: int) -> int:
    """Run each study in a process of its own, `jobs` at a time; 1 if one of them failed.

    arguments  of the command, without --only and --jobs
    """
    command = [sys.executable, "-m", "clipcodec.evaluation.report", *arguments, "--jobs", "1"]

    def work(name: str) -> int:
        return subprocess.run([*command, "--only", name], check=False).returncode

    with ThreadPoolExecutor(jobs) as pool:
        return max(pool.map(work, names))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clipcodec.evaluation.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of result files")
    parser.add_argument("--only", nargs="+", choices=list(STUDIES), default=(), metavar="STUDY",
                        help=f"of {', '.join(STUDIES)}")  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where trained networks and "
                        "fitted codecs are kept, and found again")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few rows and codecs, in minutes")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="studies at a time, each "
                        "in a process of its own; %(default)s")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    args = parser.parse_args(arguments)
    names = list(args.only) or list(STUDIES)
    if args.jobs > 1 and len(names) > 1:
        kept = ["-o", str(args.output), *(["--keep", str(args.keep)] if args.keep else [])]
        flags = [flag for flag, on in (("--quick", args.quick), ("-q", args.quiet)) if on]
        return side_by_side([str(args.data), *kept, *flags], names, args.jobs)
    try:
        failed = run(Asked(args.data, args.output, args.keep, args.quick, args.quiet), args.only)
    except (ClipcodecError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    for line in failed:
        print(f"report: {line}", file=sys.stderr)
    print(args.output)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
