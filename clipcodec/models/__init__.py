"""CLIP through open_clip: RGB images and texts → embeddings, by the two towers of one checkpoint.

>>> from clipcodec.models import Backbone, TextTower
>>> images = Backbone.cached("openai-vit-b-32", device="cpu")  # as Codec.backbone() gives it
>>> texts = TextTower.cached("openai-vit-b-32", device="cpu")
>>> images.dim == texts.dim
True

open_clip gives no error when it loads weights with the wrong activation function or resamples the
position embeddings of another architecture, and it retries a dead network connection for half a
minute. Here each of these is a `WeightsError`, `WeightsUnavailableError` or `ProfileError` that
names the file or the backbone, and the remedy.

torch, open_clip and huggingface_hub are imported inside functions, so that importing this package
takes no time. Its modules:

    spec        which networks there are: names, architectures, tags of open_clip
    hub         where a weights file is: given by the user, in the Hugging Face cache, or downloaded
    weights     reading a weights file without running any code in it
    build       the network as open_clip builds it, with checked weights put in
    tower       what both towers share
    vision      the image tower, `Backbone`
    preprocess  RGB image → the pixels that it takes
    text        the text tower, `TextTower`
    tokens      texts → the tokens that it takes
    templates   sentences around a class name
    device      where a network runs, and in which precision
"""

from .hub import ENVIRONMENT_VARIABLE, locate, sha256
from .preprocess import Preprocess, shorten
from .spec import BACKBONES, BackboneSpec, spec
from .templates import TEMPLATES, Templates
from .text import TextTower
from .vision import BATCH, Backbone
from .weights import fetch

__all__ = [
    "BACKBONES",
    "BATCH",
    "ENVIRONMENT_VARIABLE",
    "Backbone",
    "BackboneSpec",
    "Preprocess",
    "TEMPLATES",
    "Templates",
    "TextTower",
    "fetch",
    "locate",
    "sha256",
    "shorten",
    "spec",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
