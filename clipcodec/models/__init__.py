"""CLIP through open_clip: networks, weights and preprocessing. RGB images → embeddings.

Today this is the image tower of CLIP (the `Backbone`); the text tower will be added here.

spec        which networks there are: names, architectures, tags of open_clip
hub         where a weights file is: given by the user, in the Hugging Face cache, or downloaded
weights     reading a weights file without running any code in it
model       the network itself, with checked weights
preprocess  RGB image → the pixels that the network takes

open_clip gives no error when it loads weights with the wrong activation function or resamples the
position embeddings of another architecture, and it retries a dead network connection for half a
minute. Here each of these is a `WeightsError`, `WeightsUnavailableError` or `ProfileError` that
names the file or the backbone, and the remedy.

torch, open_clip and huggingface_hub are imported inside functions, so that importing this package
takes no time.
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
