"""Names for embeddings: zero-shot classification, as Radford et al. 2021 (section 3.1) do it.

The labels are texts. Their cosines to an embedding, times the model's temperature, go through a
softmax, and that gives the probability of each label.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..embeddings import Embeddings, as_embedding, as_rows, normalise
from ..errors import EmbeddingError, OptionError, placed
from ..profile.registry import ANY_BACKBONE, ProfileLike
from ..profile.statistics import warn_of_images
from ..retrieval.hits import check_k
from ..retrieval.sources import Part, check_backbone, codec_of, decode, parts
from ..system.threads import in_threads, products_of_one_thread
from ..texts import TextEmbeddings, as_labels, check_temperature

if TYPE_CHECKING:
    from ..models import Templates

    Labels = list[str] | tuple[str, ...] | TextEmbeddings | str | os.PathLike[str]

__all__ = ["Classes", "classify"]

_SCORES = 1 << 20  # numbers at a time and thread: bounds memory for any number of labels
_ROWS = 1024
_BLOCK = 8 * _ROWS  # embeddings made to unit norm at a time


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


class Classes(NamedTuple):
    """What `classify` found: for each embedding the k most probable labels, the best first.

    Attributes:
        labels: All L labels, in the order given.
        indices: (N, k) int64, positions in `labels`.
        probabilities: (N, k) float32; those of all L labels together give 1.

    Examples:
        >>> found = clipcodec.classify(clipcodec.open("photos.clpc"), "labels.safetensors", k=2)
        >>> found.indices.shape, found.probabilities.dtype
        ((100, 2), dtype('float32'))
    """

    labels: tuple[str, ...]
    indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def __repr__(self) -> str:
        from ..system.shown import brief, counted, named, shown

        def parts() -> list[object]:
            rows, k = self.indices.shape
            first = None
            if rows and k:
                label = brief(self.labels[int(self.indices[0, 0])])
                first = f"the first is {label}, {float(self.probabilities[0, 0]):.2f}"
            best = f"the best {k} of {counted(len(self.labels), 'label')} ({named(self.labels)})"
            return [counted(rows, "embedding"), best, first]

        return shown("Classes", parts)

    @property
    def names(self) -> list[list[str]]:
        """The labels themselves: N lists of k."""
        return [[self.labels[i] for i in row] for row in self.indices.tolist()]


def classify(
    source: Any,
    labels: Labels,
    *,
    k: int = 5,
    templates: Templates = None,
    temperature: float | None = None,
    profile: ProfileLike = None,
    backbone: str | None = None,
    device: str | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Classes:
    """Find the k most probable labels of each stream or embedding.

    The cosines of an embedding to the labels, times the model's temperature, go through a softmax
    (Radford et al. 2021, section 3.1). Memory does not grow with the source, but for the result.

    Args:
        source: An open container, several streams, a pyarrow column of them, or embeddings (N, D)
            or (D,) of any norm.
        labels: Texts, for which the model's text tower is loaded; or `TextEmbeddings`, or the path
            of a file of them, which need no torch.
        k: How many labels for each; all L if there are fewer.
        templates: "imagenet", "simple", or sentences with {} for the label. None: the labels as
            they are. Only for labels given as texts.
        temperature: Factor of the cosines; None: the model's own, exp(logit_scale), 100 for
            OpenAI's.
        profile: A private profile's file; a container brings its own.
        backbone: The model, where neither the streams nor the labels say it.
        device: For the text tower, as for `encode`.
        weights: For the text tower, as for `encode`.

    Returns:
        Labels, their positions and their probabilities, (N, k) each.

    Raises:
        OptionError: Labels, k, templates or temperature are not usable.
        EmbeddingError: Widths or models of labels and source differ.
        DecodeError: Names the streams at fault by their position.
        WeightsError: The text tower's weights are missing or damaged.

    Examples:
        >>> found = clipcodec.classify(
        ...     clipcodec.open("photos.clpc"), ["cat", "dog", "horse"], k=2, templates="simple"
        ... )
        >>> len(found.names), len(found.names[0])
        (100, 2)
    """
    count = check_k(k)
    asked = Asked(labels, templates, temperature)
    rows = _array_of(source)
    if rows is None:
        codec = codec_of(source, profile)
        blocks, made_by = _decoded(source, codec, asked, backbone)
        chosen = profile if profile is not None or made_by is None else made_by
    else:
        blocks, chosen = _normalised(rows), profile
    embedder = Codec(chosen, backbone=backbone, device=device, weights=weights)
    first = next(blocks, None)
    if first is None:
        return _nothing(asked, count)
    classifier = asked.classifier(embedder, first.shape[1])
    found = [classifier.best(block, count) for block in chain([first], blocks)]
    return Classes(
        classifier.labels,
        np.concatenate([indices for indices, _ in found]),
        np.concatenate([probabilities for _, probabilities in found]),
    )


class Asked:
    """Labels, templates and temperature as a caller gives them, checked before any work."""

    def __init__(self, labels: Labels, templates: Templates, temperature: float | None) -> None:
        if isinstance(labels, (str, os.PathLike)):
            labels = TextEmbeddings.load(labels)
        self.labels = labels if isinstance(labels, TextEmbeddings) else as_labels(labels)
        self.backbone = None
        if isinstance(self.labels, TextEmbeddings):
            as_labels(self.labels.names)
            self.backbone = self.labels.backbone
            if templates is not None:
                raise OptionError("templates: the labels are embeddings already; leave them out")
        self._templates = templates
        self._temperature = None if temperature is None else check_temperature(temperature)

    def classifier(self, embedder: Codec, dim: int) -> Classifier:
        """What classifies embeddings of this width. Raises as `classify` does."""
        if isinstance(self.labels, TextEmbeddings):
            names, texts = self.labels.names, self.labels.embeddings
            own = self.labels.temperature
        else:
            tower = embedder.text_tower()
            names, own = tuple(self.labels), tower.temperature
            texts = tower.embed(names, self._templates)
        if texts.shape[1] != dim:
            raise EmbeddingError(
                f"labels of {texts.shape[1]} dimensions, the embeddings have {dim}: both must come "
                "from one model"
            )
        if embedder.profile.statistics is not None and embedder.profile.dim == dim:
            warn_of_images(texts, embedder.profile.statistics, "labels")
        return Classifier(names, texts, own if self._temperature is None else self._temperature)


class Classifier:
    """Labels of one model, ready to be compared with embeddings.

    texts  (L, D) float32, unit norm
    """

    def __init__(self, labels: tuple[str, ...], texts: Embeddings, temperature: float) -> None:
        self.labels, self._texts, self._temperature = labels, texts, temperature

    def best(self, x: Embeddings, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Embeddings (N, D) to the places and probabilities (N, k) of the best labels."""
        count = len(self.labels)
        k = min(k, count)
        indices = np.empty((len(x), k), np.int64)
        probabilities = np.empty((len(x), k), np.float32)
        step = max(1, min(_ROWS, _SCORES // count))

        def work(at: int) -> None:
            part = slice(at, at + step)
            scores = np.float32(self._temperature) * (x[part] @ self._texts.T)
            scores -= scores.max(axis=1, keepdims=True)
            weights = np.exp(scores)
            total = weights.sum(axis=1, dtype=np.float64, keepdims=True)
            # of equal ones the first, so the order is that of the labels
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k] if k > 1 else None
            places = scores.argmax(axis=1)[:, None] if order is None else order
            indices[part] = places
            probabilities[part] = np.take_along_axis(weights, places, 1) / total

        with products_of_one_thread():
            in_threads(work, range(0, len(x), step))
        return indices, probabilities


def _decoded(
    source: Any, codec: Codec, asked: Asked, backbone: str | None
) -> tuple[Iterator[Embeddings], Any]:
    """The embeddings of a source of streams, block by block, and the profile of the first."""
    found = parts(source, codec)
    first = next(found, None)
    if first is None:
        return iter(()), None
    profile = first.streams[0].profile
    model = asked.backbone or backbone or profile.backbone

    def decoded(part: Part) -> Embeddings:
        if model != ANY_BACKBONE:
            check_backbone(part, model)
        return decode(codec, part)

    return (decoded(part) for part in chain([first], found)), profile


def _array_of(source: Any) -> NDArray[Any] | None:
    """Embeddings (N, D), if the source is numbers; None: it is streams."""
    if hasattr(source, "codec") or hasattr(source, "to_pylist"):
        return None
    kind = getattr(getattr(source, "dtype", None), "kind", None)
    tensor = type(source).__module__.partition(".")[0] in ("torch", "jax", "jaxlib")
    listed = (
        isinstance(source, (list, tuple))
        and bool(source)
        and not isinstance(source[0], (bytes, bytearray, memoryview, str))
    )
    if not (tensor or kind in ("f", "i", "u") or listed):
        return None
    array = np.asarray(source)
    return as_embedding(array) if array.ndim == 1 else as_rows(array)


def _normalised(rows: NDArray[Any]) -> Iterator[Embeddings]:
    for at in range(0, len(rows), _BLOCK):
        with placed(at):
            yield normalise(rows[at : at + _BLOCK])


def _nothing(asked: Asked, k: int) -> Classes:
    names = asked.labels.names if isinstance(asked.labels, TextEmbeddings) else asked.labels
    shape = (0, min(k, len(names)))
    return Classes(tuple(names), np.empty(shape, np.int64), np.empty(shape, np.float32))
