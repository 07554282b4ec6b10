"""Words to search by, and sets of labels: from files of text embeddings, or by the text encoder."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import MissingDependencyError, OptionError, WeightsError
from ..models.templates import TEMPLATES, templates_of
from ..profile import Profile
from ..tasks.naming import classify
from ..texts import TextEmbeddings, as_labels
from .collection import Collection
from .encoders import Encoders

if TYPE_CHECKING:
    from ..models import Templates

DEFAULT = "default"  # the name of the set of labels that the command line gave
MOST_LABELS = 2000  # in a set that the page gives
LONGEST = 300  # characters of a label or a query
_SETS = 32  # kept


class Words:
    """What is known of words: embeddings at hand, and those that the encoder makes.

    known     embeddings of names that can be searched without an encoder; None: there are none
    labels    the labels to begin with: texts, or embeddings; None: `known`
    templates  sentences for labels that the encoder embeds, as for `Codec.embed_texts`
    """

    def __init__(
        self,
        collection: Collection,
        encoders: Encoders,
        *,
        known: TextEmbeddings | None = None,
        labels: TextEmbeddings | Sequence[str] | None = None,
        templates: Templates = None,
    ) -> None:
        self._encoders = encoders
        self.known = known
        self._places: dict[str, int] = {}
        self._sets: OrderedDict[str, TextEmbeddings] = OrderedDict()
        self._lock = threading.Lock()
        self._templates = templates
        if not (isinstance(templates, str) and templates in TEMPLATES):
            templates_of(templates)  # what is wrong with sentences is said before the page is there
        if labels is not None and not isinstance(labels, TextEmbeddings):
            labels = check_labels(labels)
        self._wanted = labels if labels is not None else known
        for given, what in ((known, "text embeddings"), (self._wanted, "labels")):
            if isinstance(given, TextEmbeddings):
                collection.check_texts(given, what)
        if isinstance(self._wanted, TextEmbeddings):
            as_labels(self._wanted.names)
        for i, name in enumerate(known.names if known is not None else ()):
            self._places.setdefault(_plain(name), i)

    @property
    def default_names(self) -> tuple[str, ...]:
        """The labels to begin with, whether or not there are embeddings for them yet."""
        wanted = self._wanted
        return wanted.names if isinstance(wanted, TextEmbeddings) else tuple(wanted or ())

    def query(self, text: str) -> Embeddings:
        """The embedding (D,) of a query. Raises as `embed` does."""
        row: Embeddings = self.embed([text]).embeddings[0]
        return row

    def embed(self, names: Sequence[str], templates: Templates = None) -> TextEmbeddings:
        """Embeddings of words: those at hand, or, if one is not among them, all by the encoder.

        Raises WeightsUnavailableError if an encoder is needed and there is none.
        """
        places = [self._places.get(_plain(name)) for name in names]
        if self.known is not None and None not in places:
            rows = self.known.embeddings[np.array(places, np.int64)]
            return TextEmbeddings(tuple(names), rows, self.known.backbone, self.known.temperature)
        rows, temperature = self._encoders.texts(names, templates)
        return TextEmbeddings(tuple(names), rows, None, temperature)

    def like(self, text: str, most: int = 6) -> list[str]:
        """Names at hand that a query has in part, for a word that is not among them."""
        wanted = _plain(text)
        names = [] if self.known is None else self.known.names
        parts = [name for name in names if wanted in _plain(name) or _plain(name) in wanted]
        return parts[:most]

    def add_set(self, names: Sequence[str]) -> str:
        """Keep labels; the name to ask for them by. Raises as `embed` does, or OptionError."""
        kept = check_labels(names)
        if len(kept) > MOST_LABELS:
            raise OptionError(f"{len(kept)} labels: at most {MOST_LABELS}")
        found = self.embed(kept, self._templates)
        name = secrets.token_hex(8)
        self._keep(name, found)
        return name

    def labels(self, name: str) -> TextEmbeddings | None:
        """A set of labels; None: there is none of this name, or no encoder for it.

        The set to begin with is embedded when it is first asked for.
        """
        with self._lock:
            if name in self._sets:
                self._sets.move_to_end(name)
                return self._sets[name]
        if name != DEFAULT or self._wanted is None:
            return None
        if isinstance(self._wanted, TextEmbeddings):
            return self._wanted
        try:
            found = self.embed(self._wanted, self._templates)
        except (WeightsError, MissingDependencyError):
            return None
        self._wanted = found
        return found

    def _keep(self, name: str, labels: TextEmbeddings) -> None:
        with self._lock:
            self._sets[name] = labels
            while len(self._sets) > _SETS:
                self._sets.popitem(last=False)


def check_labels(names: Sequence[str]) -> list[str]:
    """Labels without spaces around them, empty ones and repetitions. Raises OptionError."""
    kept = list(dict.fromkeys(filter(None, (name.strip() for name in names))))
    if not kept:
        raise OptionError("no labels: give one a line")
    if any(len(name) > LONGEST for name in kept):
        raise OptionError(f"a label of more than {LONGEST} characters")
    return kept


def probabilities(row: Embeddings, labels: TextEmbeddings, profile: Profile) -> NDArray[np.float32]:
    """How probable each label is for an embedding (D,): (K,) float32, with the sum 1."""
    found = classify(row[None], labels, k=len(labels), profile=profile)
    out = np.empty(len(labels), np.float32)
    out[found.indices[0]] = found.probabilities[0]
    return out


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
