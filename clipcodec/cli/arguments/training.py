"""Arguments of train."""

from __future__ import annotations

from . import options
from .options import Verbs, choice, verb
from .usage import INPUT_OUTPUT, MODEL, TRAINING
from .values import number, whole

_STEPS = 10**7


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "train", "a profile of your own from embeddings", page="training",
        examples=[
            ("From your embeddings", "clipcodec train --embeddings mine.npy -o mine.safetensors"),
            ("Embeddings of texts show what must be kept",
             "clipcodec train --embeddings mine.npy --text-embeddings texts.npy "
             "-o mine.safetensors"),
            ("Then use it",
             "clipcodec compress rows.npy -o rows.clpc --profile mine.safetensors"),
        ],
    )  # fmt: skip
    io = p.group(INPUT_OUTPUT)
    io.add_argument("--embeddings", required=True, nargs="+", metavar="FILE", help=".npy, .npz, "
                    ".safetensors, .pt or .csv; a file given twice counts twice")  # fmt: skip
    io.add_argument("--text-embeddings", nargs="+", metavar="FILE", help="predictive: what texts "
                    "can tell apart is kept better")  # fmt: skip
    io.add_argument("--held-out", nargs="+", metavar="FILE", help="predictive: embeddings that "
                    "tables are fitted to (default: some of the others)")  # fmt: skip
    options.output(p, "profile file to write", metavar="FILE", required=True)
    options.force(p)
    model = p.group(MODEL)
    options.backbone(p, "what made the embeddings (default: %(default)s)",
                     default="openai-vit-b-32")  # fmt: skip
    options.device(p, "predictive: where torch trains, such as cuda (default: cpu)")
    model.add_argument("--name", metavar="NAME", help="of the profile (default: private/FILE)")
    model.add_argument("--card", metavar="FILE", help="JSON to keep in the profile (data, licence, "
                       "…)")  # fmt: skip
    training = p.group(TRAINING)
    choice(training, "--recipe", ("predictive", "pqvae"), default="predictive",
           help="predictive (default): all rates; pqvae: one fixed rate")  # fmt: skip
    training.add_argument("--steps", type=whole(0, _STEPS), metavar="N", help="default: by the "
                          "recipe and the rows")  # fmt: skip
    training.add_argument("--learning-rate", type=number(above=0, most=1), metavar="R",
                          help="default: as for those")  # fmt: skip
    training.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, metavar="N",
                          help="default: 0")  # fmt: skip
    training.add_argument("--text-weight", type=number(0, 0.99), metavar="G",
                          help="predictive: 0 to 0.99 (default: 0.6)")  # fmt: skip
    training.add_argument("--hidden", type=whole(0, 4096), metavar="H", help="predictive: units of "
                          "each prediction; 0: none (default: by the number of rows)")  # fmt: skip
    training.add_argument("--restore", type=whole(0, 8192), metavar="R", help="predictive: units "
                          "of the last network, which restores what was quantised (default: twice "
                          "those)")  # fmt: skip
    training.add_argument("--start", metavar="FILE", help="predictive: weights to start from, "
                          "instead of the first phase")  # fmt: skip
    training.add_argument("--replay", type=whole(0, _STEPS), metavar="N", help="predictive: steps "
                          "of the second phase")  # fmt: skip
    training.add_argument("--weight-decay", type=number(0, 100), metavar="W", help="predictive "
                          "(default: 0.6)")  # fmt: skip
    training.add_argument("--shrinkage", type=number(0, 1), metavar="S", help="predictive: 0 to 1, "
                          "how much to distrust the covariance (default: by the number of "
                          "rows)")  # fmt: skip
    training.add_argument("--dropout", type=number(0, 0.9), metavar="P", help="predictive "
                          "(default: by the number of rows)")  # fmt: skip
    training.add_argument("--codewords", type=whole(2), metavar="K", help="pqvae: codebook size "
                          "(default: 4)")  # fmt: skip
    training.add_argument("--sub-dim", type=whole(1), metavar="D", help="pqvae: channels of a "
                          "sub-vector (default: 16)")  # fmt: skip
    options.quiet(p)
