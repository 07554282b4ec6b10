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
            ("From your embeddings", "clipcodec train mine.npy -o mine.safetensors"),
            ("Rows of one file resemble each other: whole files are held out",
             "clipcodec train videos/*.npy --groups files -o mine.safetensors"),
            ("Embeddings of texts show what must be kept",
             "clipcodec train mine.npy --text-embeddings texts.npy -o mine.safetensors"),
            ("Then use it",
             "clipcodec compress rows.npy -o rows.clpc --profile mine.safetensors"),
        ],
    )  # fmt: skip
    io = p.group(INPUT_OUTPUT)
    io.add_argument("files", nargs="*", metavar="FILE", help="embeddings: .npy, .npz, "
                    ".safetensors, .pt or .csv; a file given twice counts twice")  # fmt: skip
    io.add_argument("--embeddings", nargs="+", metavar="FILE", help="the same")
    io.add_argument("--groups", metavar="NAME", help="what resembles each other and is held out "
                    "together: files, folders, an array of that name in each file, or a .npy file "
                    "of ids (default: single rows)")  # fmt: skip
    io.add_argument("--text-embeddings", nargs="+", metavar="FILE", help="predictive: what texts "
                    "can tell apart is kept better")  # fmt: skip
    io.add_argument("--held-out", nargs="+", metavar="FILE", help="not pqvae: embeddings that "
                    "tables are fitted to (default: some of the others)")  # fmt: skip
    options.output(p, "profile file to write", metavar="FILE", required=True)
    options.force(p)
    model = p.group(MODEL)
    options.backbone(p, "the model that made the embeddings, such as openai-vit-b-32 or "
                     "open_clip:MODEL:TAG: then the profile embeds images and texts, too (default: "
                     "any, which does not say)", default="any")  # fmt: skip
    options.device(p, "not pqvae: where torch trains, such as cuda (default: cpu)")
    model.add_argument("--name", metavar="NAME", help="of the profile (default: private/FILE)")
    model.add_argument("--card", metavar="FILE", help="JSON to keep in the profile (data, licence, "
                       "…)")  # fmt: skip
    training = p.group(TRAINING)
    choice(training, "--recipe", ("predictive", "compact", "pqvae"), default="predictive",
           help="predictive (default): all rates; compact: as that, in a small file; pqvae: one "
           "fixed rate")  # fmt: skip
    training.add_argument("--minutes", type=number(above=0, most=1440), metavar="N",
                          help="that all of it may take, where networks are trained "
                          "(default: 3)")  # fmt: skip
    training.add_argument("--steps", type=whole(0, _STEPS), metavar="N", help="instead of minutes: "
                          "only so is the result the same each time")  # fmt: skip
    training.add_argument("--batch", type=whole(1, 10**6), metavar="N", help="rows per step "
                          "(default: 256; pqvae: 1024)")  # fmt: skip
    training.add_argument("--rank", type=whole(1, 4096), metavar="N", help="compact: coefficients "
                          "that are kept (default: all but 1 %% of the variance)")  # fmt: skip
    training.add_argument("--learning-rate", type=number(above=0, most=1), metavar="R",
                          help="default: as for those")  # fmt: skip
    training.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, metavar="N",
                          help="default: 0")  # fmt: skip
    training.add_argument("--text-weight", type=number(0, 0.99), metavar="G",
                          help="predictive: 0 to 0.99 (default: 0.6)")  # fmt: skip
    training.add_argument("--hidden", type=whole(0, 4096), metavar="H", help="not pqvae: units of "
                          "each prediction; 0: none (default: by the number of rows)")  # fmt: skip
    training.add_argument("--restore", type=whole(0, 8192), metavar="R", help="not pqvae: units "
                          "of the last network, which restores what was quantised (default: twice "
                          "those)")  # fmt: skip
    training.add_argument("--start", metavar="FILE", help="predictive: weights to start from, "
                          "instead of the first phase")  # fmt: skip
    training.add_argument("--replay", type=whole(0, _STEPS), metavar="N", help="not pqvae: steps "
                          "of the second phase")  # fmt: skip
    training.add_argument("--weight-decay", type=number(0, 100), metavar="W", help="not pqvae "
                          "(default: 0.6)")  # fmt: skip
    training.add_argument("--shrinkage", type=number(0, 1), metavar="S", help="not pqvae: 0 to 1, "
                          "how much to distrust the covariance (default: by the number of "
                          "rows)")  # fmt: skip
    training.add_argument("--dropout", type=number(0, 0.9), metavar="P", help="not pqvae "
                          "(default: by the number of rows)")  # fmt: skip
    training.add_argument("--codewords", type=whole(2), metavar="K", help="pqvae: codebook size "
                          "(default: 4)")  # fmt: skip
    training.add_argument("--sub-dim", type=whole(1), metavar="D", help="pqvae: channels of a "
                          "sub-vector (default: 16)")  # fmt: skip
    options.quiet(p)
