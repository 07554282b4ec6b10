"""The one-shot functions. Profiles and backbones stay loaded: a `Codec` costs nothing to make."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .codec import Codec
from .embeddings import Embeddings
from .profile.registry import ProfileInfo, ProfileLike, registered
from .stream import StreamInfo
from .target import AUTO, Target

if TYPE_CHECKING:
    from .images import ImageInput
    from .models import Templates
    from .texts import TextEmbeddings

    Texts = TextEmbeddings | Embeddings | None


def encode(
    image: ImageInput,
    *,
    profile: ProfileLike = None,
    quality: float | None = None,
    max_bytes: int | None = None,
    min_cosine: float | None = None,
    mean_bytes: float | None = None,
    effort: int = 1,
    texts: Texts = None,
    entropy: str = AUTO,
    backbone: str | None = None,
    device: str | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> bytes:
    """Turn an image into a stream of a few dozen bytes.

    image       path, bytes, file object, PIL image, numpy array (HWC) or torch tensor
    profile     a registered name (see `profiles()`) or the path of a profile file
    quality, max_bytes, min_cosine   at most one: 1 … 100, bytes of the whole stream, or the least
                cosine between the image's embedding and the decoded one
    mean_bytes  is for many at once (`encode_batch`): an OptionError here
    effort      1 … 9: how long to look for a stream that keeps more of what texts would notice,
                such as which label fits best. 9 takes ten to fifty times as long
    texts       `TextEmbeddings` or their embeddings (M, D): the texts that matter, such as your
                labels or queries, if they are known; for an effort above 1. None: common things
    entropy     "auto" (shortest), "huffman", "rans" or "raw", where the profile has them
    backbone    the image encoder, where the profile takes any; alone, it chooses the profile
    device      for the backbone: "cpu", "cuda", …; None chooses
    weights     a local file with the backbone's weights; None: CLIPCODEC_WEIGHTS, or open_clip's

    Raises ImageError, OptionError, RateError, ProfileError or WeightsError.

    >>> len(encode("photo.jpg", max_bytes=50)) <= 50
    True
    """
    target = Target(
        quality, max_bytes, min_cosine, mean_bytes, effort=effort, texts=texts, entropy=entropy
    )
    codec = Codec(profile, backbone=backbone, device=device, weights=weights)
    return codec.encode(image, target)


def encode_batch(
    images: Iterable[ImageInput],
    *,
    profile: ProfileLike = None,
    quality: float | None = None,
    max_bytes: int | None = None,
    min_cosine: float | None = None,
    mean_bytes: float | None = None,
    effort: int = 1,
    texts: Texts = None,
    entropy: str = AUTO,
    backbone: str | None = None,
    device: str | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> list[bytes]:
    """Turn images into streams, in order. Options and errors as for `encode`, and:

    mean_bytes  bytes of a stream on average: one quality for all images. The best way to a size for
                many; within 1 %, unless they are so few that whole bytes cannot come as near
    """
    target = Target(
        quality, max_bytes, min_cosine, mean_bytes, effort=effort, texts=texts, entropy=entropy
    )
    codec = Codec(profile, backbone=backbone, device=device, weights=weights)
    return codec.encode_batch(images, target)


def encode_embedding(
    x: Any,
    *,
    profile: ProfileLike = None,
    quality: float | None = None,
    max_bytes: int | None = None,
    min_cosine: float | None = None,
    mean_bytes: float | None = None,
    effort: int = 1,
    texts: Texts = None,
    entropy: str = AUTO,
    device: str | None = None,
) -> bytes:
    """Turn one embedding (D,), of any norm, into a stream; torch is not needed.

    Options as for `encode`. Raises EmbeddingError, OptionError, RateError or ProfileError.
    """
    target = Target(
        quality, max_bytes, min_cosine, mean_bytes, effort=effort, texts=texts, entropy=entropy
    )
    return Codec(profile, device=device).encode_embedding(x, target)


def encode_embeddings(
    X: Any,
    *,
    profile: ProfileLike = None,
    quality: float | None = None,
    max_bytes: int | None = None,
    min_cosine: float | None = None,
    mean_bytes: float | None = None,
    effort: int = 1,
    texts: Texts = None,
    entropy: str = AUTO,
    device: str | None = None,
) -> list[bytes]:
    """Turn embeddings (N, D), of any norms, into N streams. As `encode_embedding`.

    mean_bytes  as for `encode_batch`; an embedding gets the same stream in any order of the rows

    >>> streams = encode_embeddings(X, mean_bytes=50)
    """
    target = Target(
        quality, max_bytes, min_cosine, mean_bytes, effort=effort, texts=texts, entropy=entropy
    )
    return Codec(profile, device=device).encode_embeddings(X, target)


def embed_images(
    images: Iterable[ImageInput],
    *,
    backbone: str | None = None,
    device: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    precision: str = "fp32",
) -> Embeddings:
    """Images to embeddings (N, D), float32, unit norm, uncompressed.

    images      each as for `encode`
    backbone    the model; None: the default profile's
    device, weights   as for `encode`
    precision   of the arithmetic: "fp32", or "bf16" or "fp16", where the device has them

    Raises ImageError naming the images at fault, OptionError, ProfileError or WeightsError.
    """
    return _model(backbone, device, weights, precision).embed_images(images)


def embed_texts(
    texts: Iterable[str],
    *,
    backbone: str | None = None,
    templates: Templates = None,
    device: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    precision: str = "fp32",
) -> Embeddings:
    """Texts to embeddings (N, D), float32, unit norm, by the text tower of the same model.

    templates   sentences with a gap {} for the text: "imagenet" (80 of them) or "simple" (7), as
                open_clip has them, or a list of your own. Each text is put into all of them, and
                the unit mean of these embeddings is its embedding. None: the texts as they are
    backbone, device, weights, precision   as for `embed_images`

    Warns (BackboneWarning) of texts that are longer than the model takes, and were cut. Raises
    OptionError, ProfileError or WeightsError.

    >>> scores = embed_images(["photo.jpg"]) @ embed_texts(["a dog", "a cat"]).T
    """
    return _model(backbone, device, weights, precision).embed_texts(texts, templates)


def _model(
    backbone: str | None,
    device: str | None,
    weights: str | os.PathLike[str] | None,
    precision: str,
) -> Codec:
    return Codec(backbone=backbone, device=device, weights=weights, precision=precision)


def decode(stream: bytes, *, profile: ProfileLike = None) -> Embeddings:
    """Turn a stream into its embedding (D,), float32, unit norm. Raises DecodeError.

    profile  the file of a private profile, for its streams; those of registered ones name theirs
    """
    return Codec(profile).decode(stream)


def decode_batch(streams: Iterable[bytes], *, profile: ProfileLike = None) -> Embeddings:
    """Turn N streams into embeddings (N, D), float32, unit norm. As `decode`."""
    return Codec(profile).decode_batch(streams)


def info(stream: bytes, *, profile: ProfileLike = None) -> StreamInfo:
    """Check a stream and describe it. As `decode`."""
    return Codec(profile).info(stream)


def profiles() -> list[ProfileInfo]:
    """The profiles that ship with this release, in the order of their ids."""
    return list(registered())
