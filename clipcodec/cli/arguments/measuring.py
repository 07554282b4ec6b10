"""Arguments of compare and evaluate."""

from __future__ import annotations

from . import options
from .options import Group, Verbs, verb
from .usage import INPUT_OUTPUT, MEASURED, RATE, Parser
from .values import number, whole


def add(verbs: Verbs) -> None:
    _add_compare(verbs)
    _add_evaluate(verbs)


def _add_compare(verbs: Verbs) -> None:
    p = verb(
        verbs, "compare", "which profile keeps most of your own embeddings", page="comparing",
        examples=[
            ("The profiles that fit, at 25, 50 and 100 bytes", "clipcodec compare rows.npy"),
            ("One of your own beside them, at 50 bytes on average",
             "clipcodec compare rows.npy --profile mine.safetensors --mean-bytes 50"),
            ("Accuracy, too, by the labels that lie in the same file",
             "clipcodec compare rows.safetensors --labels labels"),
            ("What texts tell of the rows, before and after",
             "clipcodec compare rows.npy --texts words.safetensors"),
        ],
    )  # fmt: skip
    p.add_argument("data", nargs="+", metavar="DATA", help="embeddings of one model, as .npy, "
                   ".npz, .safetensors, .pt or .csv; - for stdin; or images that --backbone "
                   "embeds: directory, \"pattern\", list.txt or shard.tar")  # fmt: skip
    measured = p.group(MEASURED)
    measured.add_argument("--profile", nargs="+", metavar="PROFILE", help="registered "
                          "names, profile files, or containers (.clpc) whose own profile is meant, "
                          "beside the shipped profiles for this width")  # fmt: skip
    measured.add_argument("--only", action="store_true", help="compare only those of --profile")
    measured.add_argument("--rows", type=whole(2), metavar="N", help="most rows to measure, drawn "
                          "at random (default: 1000)")  # fmt: skip
    measured.add_argument("--labels", metavar="FILE", help="the class of each row: .npy, a line of "
                          "text for each, or the name of an array in a DATA of .npz or "
                          ".safetensors")  # fmt: skip
    measured.add_argument("--texts", metavar="FILE", help="what rows are compared with, as "
                          "`embed-text` makes it")  # fmt: skip
    measured.add_argument("--items", type=whole(1), metavar="N", help="how many embeddings there "
                          "will be in a container with its own profile (default: the rows of "
                          "DATA)")  # fmt: skip
    rate = _sizes(p)
    rate.add_argument("--min-cosine", nargs="+", type=number(0, 1), metavar="C", help="cosines")
    options.backbone(p, "what embeds images (default: openai-vit-b-32)")
    options.weights(p)
    options.json(p, "one line for each profile at each size")
    options.quiet(p)


def _sizes(p: Parser) -> Group:
    """At which rates profiles are measured."""
    rate = p.group(RATE)
    rate.add_argument("--max-bytes", nargs="+", type=whole(1), metavar="N", help="sizes (default: "
                      "25 50 100)")  # fmt: skip
    rate.add_argument("--mean-bytes", nargs="+", type=number(above=0), metavar="N",
                      help="averages")  # fmt: skip
    rate.add_argument("--quality", nargs="+", type=number(1, 100), metavar="Q", help="qualities")
    return rate


def _add_evaluate(verbs: Verbs) -> None:
    p = verb(
        verbs, "evaluate", "what is kept of embeddings: accuracy, neighbours, retrieval",
        page="evaluation",
        examples=[
            ("Labelled embeddings, at the usual sizes",
             "clipcodec evaluate mine.safetensors -o results.json"),
            ("A folder of images with a folder for each class",
             "clipcodec evaluate photos/ --keep embeddings/ -o results.json"),
            ("One profile beside int8, at 25 and 50 bytes",
             "clipcodec evaluate mine.safetensors --profile any/rotation --max-bytes 25 50 "
             "--codec int8"),
        ],
    )  # fmt: skip
    p.add_argument("data", nargs="+", metavar="DATA", help="set of embeddings with labels "
                   "(.safetensors), directory of such sets (docs/evaluation.md), directory of "
                   "images with one directory for each class; or imagenet, pets, caltech101, "
                   "tiny-imagenet, food101 in --root")  # fmt: skip
    options.output(p, "result file; if it is there, what it has is not measured again",
                   metavar="OUT.json")  # fmt: skip
    io = p.group(INPUT_OUTPUT)
    io.add_argument("--plot", metavar="OUT.svg", help="draw what is lost, by bytes")
    io.add_argument("--keep", metavar="DIR", help="where embeddings of images, and codecs that "
                    "were fitted, are kept and found again")  # fmt: skip
    io.add_argument("--root", metavar="DIR", help="directory that holds the data sets of images")
    io.add_argument("--download", action="store_true", help="let torchvision download into --root "
                    "what is missing")  # fmt: skip
    options.force(p)
    measured = p.group(MEASURED)
    measured.add_argument("--codec", nargs="+", action="extend", metavar="CODEC", help="such as "
                          "PROFILE@max_bytes=50, faiss:OPQ32,PQ32x8np, int8, scalar:0.03 (default: "
                          "the profiles that fit)")  # fmt: skip
    measured.add_argument("--profile", nargs="+", metavar="PROFILE", help="profiles (names or "
                          "files) that are measured at each of the sizes below")  # fmt: skip
    measured.add_argument("--rows", type=whole(2), metavar="N", help="measure on at most N images "
                          "of each set")  # fmt: skip
    measured.add_argument("--training", metavar="DIR", help="rows that other codecs are fitted to: "
                          "train*.safetensors")  # fmt: skip
    measured.add_argument("--quick", action="store_true", help="fit other codecs to few rows, in "
                          "seconds")  # fmt: skip
    _sizes(p)
    options.backbone(p, "what embeds images (default: %(default)s)", default="openai-vit-b-32")
    options.weights(p)
    options.json(p, "one line per codec")
    options.quiet(p)
