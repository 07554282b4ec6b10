"""Arguments of caption and train-captioner."""

from __future__ import annotations

from . import options
from .options import Verbs, choice, verb
from .usage import FORM, INPUT_OUTPUT, MODEL, TRAINING
from .values import number, whole


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "caption", "a sentence for each image, stream or embedding", page="captions",
        examples=[
            ("A sentence for each item of a container",
             "clipcodec caption photos.clpc --captioner captioner.safetensors"),
            ("Better sentences, which take longer",
             "clipcodec caption a.jpg.clip --captioner captioner.safetensors --beam 5"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="stream, container (.clpc), file of "
                   "embeddings or image; - for stdin")  # fmt: skip
    options.partial(p)
    model = p.group(MODEL)
    model.add_argument("--captioner", required=True, metavar="FILE", help="weights: of "
                       "train-captioner, or ClipCap's (see docs/captions.md)")  # fmt: skip
    options.language_model(p)
    model.add_argument("--prefix-length", type=whole(1), metavar="P", help="refuse weights of "
                       "another prefix length")  # fmt: skip
    model.add_argument("--scale", type=number(above=0), metavar="S", help="norm of the embeddings "
                       "that the weights were trained on (default: what the file says, or "
                       "1)")  # fmt: skip
    options.profile(p, options.PRIVATE)
    options.backbone(p, "image encoder of image inputs (default: what the captioner was trained "
                     "on)")  # fmt: skip
    options.weights(p)
    form = p.group(FORM)
    form.add_argument("--beam", type=whole(1), default=1, metavar="N", help="texts followed at a "
                      "time; 1 (default): the likeliest word each time")  # fmt: skip
    form.add_argument("--max-tokens", type=whole(1), default=67, metavar="N", help="longest "
                      "caption (default: 67)")  # fmt: skip
    options.lines(p, "one line per caption", "input, item, id, caption")
    options.quiet(p)

    p = verb(
        verbs, "train-captioner", "a captioner of your own, from embeddings and captions",
        page="training-captioners", module="caption",
        examples=[
            ("From embeddings, and a file with a caption for each",
             "clipcodec train-captioner --embeddings x.npy --captions x.txt -o c.safetensors"),
            ("For embeddings that were compressed to 50 bytes",
             "clipcodec train-captioner --embeddings x.npy --captions x.txt --max-bytes 50 "
             "-o c.safetensors"),
            ("On a GPU, with GPT-2 trained, too",
             "clipcodec train-captioner --embeddings x.npy --captions x.txt --device cuda "
             "--tune-language-model -o c.safetensors"),
        ],
    )  # fmt: skip
    io = p.group(INPUT_OUTPUT)
    io.add_argument("--embeddings", required=True, metavar="FILE", help=".npy, .npz, .safetensors, "
                    ".pt or .csv, a row for each image")  # fmt: skip
    io.add_argument("--captions", required=True, metavar="FILE", help="text: a line for each row, "
                    "or lines of the row's number (from 0), a tab, and a caption")  # fmt: skip
    options.output(p, "file to write", metavar="OUT.safetensors", required=True)
    options.force(p)
    options.target(p)
    options.profile(p, "encode and decode the embeddings with this profile (name or file) first")
    options.backbone(p, options.ENCODER)
    options.language_model(p)
    options.device(p)
    training = p.group(TRAINING)
    choice(training, "--kind", ("mlp", "transformer"), help="of the mapping network (default: "
           "mlp)")  # fmt: skip
    training.add_argument("--prefix-length", type=whole(1), metavar="P", help="vectors that GPT-2 "
                          "is given (default: 10)")  # fmt: skip
    training.add_argument("--clip-length", type=whole(1), metavar="N", help="transformer: vectors "
                          "made of the embedding (default: 10)")  # fmt: skip
    training.add_argument("--layers", type=whole(1), metavar="N", help="transformer (default: 8)")
    training.add_argument("--epochs", type=whole(1), default=10, metavar="N", help="default: 10")
    training.add_argument("--batch-size", type=whole(1), default=40, metavar="N",
                          help="default: 40")  # fmt: skip
    training.add_argument("--learning-rate", type=number(above=0, most=1), default=2e-5,
                          metavar="R", help="default: 2e-5")  # fmt: skip
    training.add_argument("--warmup", type=whole(0), default=5000, metavar="N", help="steps; at "
                          "most half of all (default: 5000)")  # fmt: skip
    training.add_argument("--seed", type=whole(0), default=0, metavar="N", help="default: 0")
    training.add_argument("--tune-language-model", action="store_true", help="train GPT-2, too, "
                          "and store it in OUT")  # fmt: skip
    training.add_argument("--scale", type=number(above=0), metavar="S", help="multiply unit-norm "
                          "embeddings (default: as --start, or 1)")  # fmt: skip
    training.add_argument("--start", metavar="FILE", help="captioner to go on from: ours, or "
                          "ClipCap's")  # fmt: skip
    training.add_argument("--resume", action="store_true", help="go on after the last whole epoch "
                          "of a run that was stopped")  # fmt: skip
    options.quiet(p)
