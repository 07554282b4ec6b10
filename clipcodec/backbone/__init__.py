"""The backbone: a CLIP image encoder of open_clip, with checked weights. RGB images → embeddings.

open_clip would load a wrong activation function, resample the position embeddings of another
architecture, and retry a dead network for half a minute, all without an error. Here every one of
these is a `WeightsError`, `WeightsUnavailableError` or `ProfileError` that names the file or
backbone and the remedy.

torch, open_clip and huggingface_hub are imported inside functions: importing this package costs
nothing.
"""

from .hub import ENVIRONMENT_VARIABLE
from .model import Backbone
from .spec import BACKBONES, BackboneSpec, spec
from .weights import fetch

__all__ = [
    "BACKBONES",
    "ENVIRONMENT_VARIABLE",
    "Backbone",
    "BackboneSpec",
    "fetch",
    "spec",
]
