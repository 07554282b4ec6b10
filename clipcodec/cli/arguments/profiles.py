"""Arguments of profiles, demo, fetch, completion and help."""

from __future__ import annotations

from . import options
from .options import Verbs, verb
from .usage import FORM, MODEL
from .values import one_of, whole

SHELLS = ("bash", "zsh", "fish")


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "profiles", "the profiles of this release", page="profiles",
        examples=[
            ("All of them", "clipcodec profiles"),
            ("What one was trained on, and what it keeps",
             "clipcodec profiles openai-vit-b-32/predictive"),
        ],
    )  # fmt: skip
    p.add_argument("name", nargs="?", metavar="PROFILE", help="show this profile's card (name or "
                   "file)")  # fmt: skip
    p.group(FORM).add_argument("--json", action="store_true", help="JSON on stdout")

    p = verb(
        verbs, "demo", "compress samples and an image, and show what is lost", page="quick-start",
        examples=[
            ("Samples, and a picture that the demo draws", "clipcodec demo"),
            ("A photo of yours", "clipcodec demo photo.jpg"),
        ],
    )  # fmt: skip
    p.add_argument("image", nargs="?", metavar="IMAGE", help="an image of yours (default: one "
                   "drawn here)")  # fmt: skip
    p.add_argument("--count", type=whole(1), default=64, metavar="N",
                   help="sample embeddings (default: 64)")  # fmt: skip
    options.weights(p)

    p = verb(
        verbs, "fetch", "download and verify backbone weights for offline use", page="quick-start",
        module="profiles",
        examples=[
            ("CLIP ViT-B/32, for the default profile", "clipcodec fetch"),
            ("Another model", "clipcodec fetch openai-vit-l-14-336"),
        ],
    )  # fmt: skip
    p.group(MODEL).add_argument("backbones", nargs="*", metavar="BACKBONE",
                                default=["openai-vit-b-32"],
                                help="default: openai-vit-b-32")  # fmt: skip
    options.quiet(p)

    p = verb(
        verbs, "completion", "a script for your shell, which completes what you type",
        page="command-line",
        examples=[
            ("bash, for you", "clipcodec completion bash > "
             "~/.local/share/bash-completion/completions/clipcodec"),
            ("zsh, in a folder of $fpath", "clipcodec completion zsh > ~/.zfunc/_clipcodec"),
            ("fish", "clipcodec completion fish > ~/.config/fish/completions/clipcodec.fish"),
        ],
    )  # fmt: skip
    p.add_argument("shell", metavar="SHELL", choices=SHELLS, type=one_of(*SHELLS),
                   help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}")  # fmt: skip

    p = verb(
        verbs, "help", "all verbs, or one with its options", page="command-line",
        examples=[
            ("All verbs, in a line each", "clipcodec help"),
            ("One verb: its options and examples", "clipcodec help compress"),
        ],
    )  # fmt: skip
    p.add_argument("name", nargs="?", metavar="VERB", help="default: all")
