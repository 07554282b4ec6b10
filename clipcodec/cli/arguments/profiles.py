"""Arguments of profiles, demo, fetch and train."""

from __future__ import annotations

from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(verbs, "profiles", "the profiles of this release")
    p.add_argument("name", nargs="?", help="show this profile's card (name or file)")
    p.add_argument("--json", action="store_true", help="JSON on stdout")

    p = verb(verbs, "demo", "compress samples and an image, and show what is lost")
    p.add_argument("image", nargs="?", help="an image of yours (default: one drawn here)")
    p.add_argument("--count", type=int, default=64, help="sample embeddings (default: 64)")
    options.backbone(p)

    p = verb(verbs, "fetch", "download and verify backbone weights for offline use",
              module="profiles")  # fmt: skip
    p.add_argument("backbones", nargs="*", metavar="BACKBONE", default=["openai-vit-b-32"],
                   help="default: openai-vit-b-32")  # fmt: skip
    options.quiet(p)

    p = verb(verbs, "train", "a profile of your own from embeddings")
    p.add_argument("--recipe", choices=("predictive", "pqvae"), default="predictive",
                   help="predictive (default): all rates; pqvae: one fixed rate")  # fmt: skip
    p.add_argument("--embeddings", required=True, nargs="+", metavar="FILE",
                   help=".npy, .npz, .safetensors, .pt or .csv; a file given twice counts "
                   "twice")  # fmt: skip
    p.add_argument("--out", required=True, metavar="FILE", help="profile file to write")
    p.add_argument("--text-embeddings", nargs="+", metavar="FILE",
                   help="predictive: what texts can tell apart is kept better")  # fmt: skip
    p.add_argument("--held-out", nargs="+", metavar="FILE", help="predictive: embeddings that "
                   "tables are fitted to (default: some of the others)")  # fmt: skip
    p.add_argument("--text-weight", type=float, metavar="G", help="0 to 0.99 (default: 0.6)")
    p.add_argument("--hidden", type=int, metavar="H", help="predictive: units of each "
                   "prediction; 0: none (default: by the number of rows)")  # fmt: skip
    p.add_argument("--restore", type=int, metavar="R", help="predictive: units of the last "
                   "network, which restores what was quantised (default: twice those)")  # fmt: skip
    p.add_argument("--start", metavar="FILE", help="predictive: weights to start from, instead of "
                   "the first phase")  # fmt: skip
    p.add_argument("--replay", type=int, metavar="N", help="predictive: steps of the second phase")
    p.add_argument("--weight-decay", type=float, metavar="W", help="predictive (default: 0.6)")
    p.add_argument("--device", help="predictive: where torch trains, such as cuda (default: cpu)")
    p.add_argument("--shrinkage", type=float, metavar="S", help="predictive: 0 to 1, how much to "
                   "distrust the covariance (default: by the number of rows)")  # fmt: skip
    p.add_argument(
        "--dropout", type=float, metavar="P", help="predictive (default: by the number of rows)"
    )
    p.add_argument("--codewords", type=int, metavar="K", help="pqvae: codebook size (default: 4)")
    p.add_argument("--sub-dim", type=int, metavar="D", help="pqvae: channels of a sub-vector "
                   "(default: 16)")  # fmt: skip
    p.add_argument("--steps", type=int, metavar="N", help="default: by the recipe and the rows")
    p.add_argument("--learning-rate", type=float, metavar="R", help="default: as for those")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--backbone", default="openai-vit-b-32",
                   help="what made the embeddings (default: openai-vit-b-32)")  # fmt: skip
    p.add_argument("--name", help="default: private/FILE")
    p.add_argument("--card", metavar="FILE", help="JSON to keep in the profile (data, licence, …)")
    options.force(p)
    options.quiet(p)
