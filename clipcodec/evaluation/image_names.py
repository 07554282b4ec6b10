"""Class names and sentences of the image data sets, as CLIP's authors have them.

The paper's repository has the embeddings of its class names, not the words. These are the words of
OpenAI's CLIP: `data/prompts.md` for Pets, Caltech101 and Food101, and for ImageNet the lists that
open_clip has. For Tiny-ImageNet nobody published any: its classes are a part of ImageNet's, and so
ImageNet's sentences are used.
"""

from __future__ import annotations

from ..models import Templates

_OF_CALTECH = (
    "a photo of a {}.", "a painting of a {}.", "a plastic {}.", "a sculpture of a {}.",
    "a sketch of a {}.", "a tattoo of a {}.", "a toy {}.", "a rendition of a {}.",
    "a embroidered {}.", "a cartoon {}.", "a {} in a video game.", "a plushie {}.",
    "a origami {}.", "art of a {}.", "graffiti of a {}.", "a drawing of a {}.",
    "a doodle of a {}.",
)  # fmt: skip
# Folders of Caltech101 whose name alone, with spaces for underscores, does not say what they show
_CALTECH_NAMES = {
    "Faces": "off-center face",
    "Faces_easy": "centered face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "car_side": "side of a car",
    "cougar_body": "body of a cougar cat",
    "cougar_face": "face of a cougar cat",
    "crocodile_head": "head of a crocodile",
    "flamingo_head": "head of a flamingo",
    "snoopy": "snoopy (cartoon beagle)",
    "yin_yang": "yin and yang symbol",
}


def _with_the(form: str) -> str:
    """The same sentence with `the` in place of the article of the class name."""
    return form.replace(" of a {}", " of the {}") if " of a {}" in form else f"the{form[1:]}"


PLAIN = ("a photo of a {}.",)  # of folders by class
PROMPTS: dict[str, Templates] = {
    "imagenet": "imagenet",
    "pets": ("a photo of a {}, a type of pet.",),
    "caltech101": (*_OF_CALTECH, *map(_with_the, _OF_CALTECH)),
    "tiny-imagenet": "imagenet",
    "food101": ("a photo of {}, a type of food.",),
}


def spaced(folder: str) -> str:
    """The class name that a folder's name is: `red_velvet_cake` is "red velvet cake"."""
    return " ".join(folder.replace("_", " ").split())


def caltech_name(folder: str) -> str:
    return _CALTECH_NAMES.get(folder, spaced(folder))
