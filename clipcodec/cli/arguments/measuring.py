"""Arguments of evaluate."""

from __future__ import annotations

from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(verbs, "evaluate", "what codecs keep of embeddings: accuracy, neighbours, retrieval")
    p.add_argument("data", nargs="+", metavar="DATA", help="set of embeddings with labels "
                   "(.safetensors), directory of such sets (docs/evaluation.md), directory of "
                   "images with one directory for each class; or imagenet, pets, caltech101, "
                   "tiny-imagenet, food101 in --root")  # fmt: skip
    p.add_argument("--codec", nargs="+", action="extend", metavar="CODEC", help="such as "
                   "PROFILE@max_bytes=50, faiss:OPQ32,PQ32x8np, int8, scalar:0.03 (default: the "
                   "profiles that fit)")  # fmt: skip
    p.add_argument("--profile", nargs="+", metavar="PROFILE", help="profiles (names or files) that "
                   "are measured at each of the sizes below")  # fmt: skip
    p.add_argument("--max-bytes", nargs="+", type=int, metavar="N", help="sizes (default: 25 50 "
                   "100)")  # fmt: skip
    p.add_argument("--mean-bytes", nargs="+", type=float, metavar="N", help="averages")
    p.add_argument("--quality", nargs="+", type=float, metavar="Q", help="qualities")
    p.add_argument("--training", metavar="DIR", help="rows that other codecs are fitted to: "
                   "train*.safetensors")  # fmt: skip
    p.add_argument("--keep", metavar="DIR", help="where embeddings of images, and codecs that were "
                   "fitted, are kept and found again")  # fmt: skip
    p.add_argument("--root", metavar="DIR", help="directory that holds the data sets of images")
    p.add_argument("--download", action="store_true", help="let torchvision download into --root "
                   "what is missing")  # fmt: skip
    p.add_argument("--backbone", default="openai-vit-b-32", metavar="NAME", help="what embeds "
                   "images (default: %(default)s)")  # fmt: skip
    options.backbone(p)
    p.add_argument("--rows", type=int, metavar="N", help="measure on at most N images of each set")
    p.add_argument("--quick", action="store_true", help="fit other codecs to few rows, in seconds")
    p.add_argument("-o", "--output", metavar="OUT.json", help="result file; if it is there, what "
                   "it has is not measured again")  # fmt: skip
    p.add_argument("--plot", metavar="OUT.svg", help="draw what is lost, by bytes")
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per codec")
    options.force(p)
    options.quiet(p)
