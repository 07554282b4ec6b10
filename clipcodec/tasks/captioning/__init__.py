"""Captions from embeddings, decoded or not: ClipCap (Mokady et al. 2021, arXiv 2111.09734).

    embedding (D,) ─mapping network─▶ prefix (P, W) ─GPT-2, word by word─▶ caption

A mapping network makes P vectors of the width W of GPT-2's word embeddings from an embedding.
GPT-2 takes them for the beginning of a text, and goes on with it.

Needs `pip install "clipcodec[caption]"`. torch and transformers are imported when first used.
See docs/captions.md. The modules:

    layout     kind and sizes of a mapping network, and what they say about its tensors
    mapping    the networks: MLP and transformer
    files      captioner files: published state dicts, and files written here
    language   GPT-2 and its tokenizer, from a folder or the Hugging Face cache
    captioner  all together: `Captioner`
    data       what it learns from: embeddings through the codec, the file of captions
    training   `train`: the mapping network, on decoded embeddings; loop: its steps;
               checkpoints: its state in a file
"""

from .captioner import Captioner
from .layout import Layout
from .training import Recipe, Result, train

__all__ = ["Captioner", "Layout", "Recipe", "Result", "train"]


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
