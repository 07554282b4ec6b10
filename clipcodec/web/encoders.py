"""The two CLIP encoders, for images and words that come from the user, if weights are at hand."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import (
    ClipcodecError,
    MissingDependencyError,
    OptionError,
    WeightsError,
    WeightsUnavailableError,
)
from ..profile import Profile

if TYPE_CHECKING:
    from ..models import Templates

CHECKING, READY, MISSING = "checking", "ready", "missing"


class Encoders:
    """Embeds images and words as those of the container were. Thread-safe.

    Weights are taken from this machine and never downloaded: a page must not start a download of
    hundreds of megabytes that nobody asked for.

    backbone  its name; None: the container's profile does not say it
    state     "checking", then "ready" or "missing"
    message   once it is "missing": what is missing, and how to get it
    """

    def __init__(
        self,
        profile: Profile,
        backbone: str | None,
        *,
        device: str | None = None,
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        self._profile, self._backbone = profile, backbone
        self._device, self._weights = device, weights
        self._codec: Codec | None = None
        self.state, self.message = CHECKING, ""
        self._known = threading.Event()

    def look(self) -> None:
        """Look for the weights, without loading them. Takes a second or so: see `start`."""
        try:
            self._codec = self._found()
            self.state = READY
        except ClipcodecError as error:
            self._give_up(error)
        finally:
            self._known.set()

    def start(self) -> None:
        """Look for the weights in a thread; until it is done, `images` and `texts` wait."""
        threading.Thread(target=self.look, daemon=True).start()

    def _found(self) -> Codec:
        if self._backbone is None:
            raise OptionError(
                f"profile {self._profile.name} takes embeddings of any model: say which one made "
                "these with --backbone NAME, such as openai-vit-l-14-336"
            )
        from ..models import locate, spec

        path = locate(spec(self._backbone), self._weights, download=False)
        return Codec(self._profile, backbone=self._backbone, device=self._device, weights=path)

    def _give_up(self, error: Exception) -> None:
        self.message, self.state = " ".join(str(error).split()), MISSING

    @property
    def ready(self) -> bool:
        """Are there weights? Waits until that is known."""
        self._known.wait()
        return self.state == READY

    def images(self, images: Sequence[Any]) -> Embeddings:
        """Images to embeddings (N, D). Raises WeightsUnavailableError if there are no weights."""
        with self._working() as codec:
            return codec.embed_images(images)

    def texts(self, texts: Sequence[str], templates: Templates = None) -> tuple[Embeddings, float]:
        """Texts to embeddings (N, D), and the temperature that the network was trained with.

        templates  as for `Codec.embed_texts`
        """
        with self._working() as codec:
            tower = codec.text_tower()
            return tower.embed(texts, templates), tower.temperature

    @contextmanager
    def _working(self) -> Iterator[Codec]:
        """The codec with the weights. If they cannot be loaded, they are not tried again."""
        if not self.ready or self._codec is None:
            raise WeightsUnavailableError(self.message)
        try:
            yield self._codec
        except (WeightsError, MissingDependencyError) as error:
            self._give_up(error)
            raise
