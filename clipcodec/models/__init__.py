"""The backbone: a CLIP image encoder of open_clip, with checked weights. RGB images → embeddings.

open_clip would load a wrong activation function, resample the position embeddings of another
architecture, and retry a dead network for half a minute, all without an error. Here every one of
these is a `WeightsError`, `WeightsUnavailableError` or `ProfileError` that names the file or
backbone and the remedy.

torch, open_clip and huggingface_hub are imported inside functions: importing this package costs
nothing.
"""

from .hub import ENVIRONMENT_VARIABLE, locate, sha256
from .model import BATCH, Backbone
from .preprocess import Preprocess, shorten
from .spec import BACKBONES, BackboneSpec, spec
from .weights import fetch

__all__ = [
    "BACKBONES",
    "BATCH",
    "ENVIRONMENT_VARIABLE",
    "Backbone",
    "BackboneSpec",
    "Preprocess",
    "fetch",
    "locate",
    "sha256",
    "shorten",
    "spec",
]
