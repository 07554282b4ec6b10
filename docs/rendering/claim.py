"""One claim, and its text with today's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .kept import Kept


@dataclass(frozen=True)
class Claim:
    """A sentence, or a part of one, that stands in a page; of a table written by hand its first line.

    page    such as docs/profiles.md
    text    as it stands there; with `values`, each {} is a number of the results
    by      the result file, test, module or command that makes it
    values  today's numbers, as text, in the order of the {}
    """

    page: str
    text: str
    by: str
    values: Callable[[Kept], Sequence[str]] | None = None


def text_of(claim: Claim, kept: Kept) -> str:
    """The claim with today's numbers. Missing says which result is not there."""
    return claim.text if claim.values is None else claim.text.format(*claim.values(kept))
