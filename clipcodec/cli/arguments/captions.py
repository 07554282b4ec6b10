"""Arguments of caption and train-captioner."""

from __future__ import annotations

from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(verbs, "caption", "a sentence for each image, stream or embedding")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="stream, container (.clpc), file of "
                   "embeddings or image; - for stdin")  # fmt: skip
    p.add_argument("--captioner", required=True, metavar="FILE", help="weights: of "
                   "train-captioner, or ClipCap's (see docs/captions.md)")  # fmt: skip
    options.language_model(p)
    p.add_argument("--beam", type=int, default=1, metavar="N", help="texts followed at a time; "
                   "1 (default): the likeliest word each time")  # fmt: skip
    p.add_argument("--max-tokens", type=int, default=67, metavar="N", help="longest caption "
                   "(default: 67)")  # fmt: skip
    p.add_argument("--prefix-length", type=int, metavar="P", help="refuse weights of another "
                   "prefix length")  # fmt: skip
    p.add_argument("--scale", type=float, metavar="S", help="norm of the embeddings that the "
                   "weights were trained on (default: what the file says, or 1)")  # fmt: skip
    options.lines(p, "one line per caption", "input, item, id, caption")
    options.partial(p)
    options.profile(p, "profile file that private streams were made with")
    p.add_argument("--backbone", metavar="NAME", help="image encoder of image inputs (default: "
                   "what the captioner was trained on)")  # fmt: skip
    options.backbone(p)
    options.quiet(p)

    p = verb(verbs, "train-captioner", "a captioner of your own, from embeddings and captions",
              module="caption")  # fmt: skip
    p.add_argument("--embeddings", required=True, metavar="FILE", help=".npy, .npz, .safetensors, "
                   ".pt or .csv, a row for each image")  # fmt: skip
    p.add_argument("--captions", required=True, metavar="FILE", help="text: a line for each row, "
                   "or lines of the row's number (from 0), a tab, and a caption")  # fmt: skip
    p.add_argument("-o", "--output", required=True, metavar="OUT.safetensors", help="file to write")
    options.language_model(p)
    p.add_argument("--kind", choices=("mlp", "transformer"), help="of the mapping network "
                   "(default: mlp)")  # fmt: skip
    p.add_argument("--prefix-length", type=int, metavar="P", help="vectors that GPT-2 is given "
                   "(default: 10)")  # fmt: skip
    p.add_argument("--clip-length", type=int, metavar="N", help="transformer: vectors made of the "
                   "embedding (default: 10)")  # fmt: skip
    p.add_argument("--layers", type=int, metavar="N", help="transformer (default: 8)")
    p.add_argument("--epochs", type=int, default=10, metavar="N", help="default: 10")
    p.add_argument("--batch-size", type=int, default=40, metavar="N", help="default: 40")
    p.add_argument("--learning-rate", type=float, default=2e-5, metavar="R", help="default: 2e-5")
    p.add_argument("--warmup", type=int, default=5000, metavar="N", help="steps; at most half of "
                   "all (default: 5000)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--tune-language-model", action="store_true", help="train GPT-2, too, and store "
                   "it in OUT")  # fmt: skip
    p.add_argument("--scale", type=float, metavar="S", help="multiply unit-norm embeddings "
                   "(default: as --start, or 1)")  # fmt: skip
    p.add_argument("--start", metavar="FILE", help="captioner to go on from: ours, or ClipCap's")
    p.add_argument("--resume", action="store_true", help="go on after the last whole epoch of a "
                   "run that was stopped")  # fmt: skip
    options.profile(p, "encode and decode the embeddings with this profile (name or file) first")
    options.target(p)
    p.add_argument("--device", help="cpu, cuda, … (default: the best there is)")
    options.force(p)
    options.quiet(p)
