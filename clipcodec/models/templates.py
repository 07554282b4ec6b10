"""Prompt templates: sentences around a class name, through which CLIP knows it better."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import OptionError
from .spec import load_module

Templates = str | Sequence[str] | None
"""A name of `TEMPLATES`, sentences with a gap {} for the text, or None: the texts as they are."""

TEMPLATES = {  # our name: that of open_clip's list
    "imagenet": "OPENAI_IMAGENET_TEMPLATES",
    "simple": "SIMPLE_IMAGENET_TEMPLATES",
}
"""Names of lists of sentences, and what open_clip calls them."""
_GAP = "{}"


def templates_of(templates: Templates) -> list[str]:
    """The sentences that a name of `TEMPLATES`, or a list of sentences, means; None: no sentence.

    Raises `OptionError` for an unknown name, an empty list or a sentence without a gap {}.
    """
    if templates is None:
        return [_GAP]
    if isinstance(templates, str):
        if templates in TEMPLATES:
            forms = getattr(load_module("open_clip"), TEMPLATES[templates])
            return [str(form(_GAP)) for form in forms]
        if _GAP not in templates:
            raise OptionError(
                f"templates={templates!r}: expected {' or '.join(TEMPLATES)}, or sentences"
                " with {} where the text goes, such as 'a photo of a {}.'"
            )
        return [templates]
    forms = list(templates)
    if not forms:
        raise OptionError("templates is empty: expected sentences with {}, or None")
    for form in forms:
        if not isinstance(form, str) or _GAP not in form:
            raise OptionError(
                f"template {form!r} has no {{}}, where the text goes: expected such as"
                " 'a photo of a {}.'"
            )
    return forms
