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

    Give at most one of quality, max_bytes and min_cosine; with none, the profile's default quality
    is taken. The format is formats/clipcodec-1.md.

    Args:
        image: A path, the bytes of an image file, a binary file object, a PIL image, a numpy array
            (H, W), (H, W, 3) or (H, W, 4) of uint8, or a torch tensor of uint8, or of floats in
            0 … 1.
        profile: A registered name (see `profiles`), the path of a profile file, or a loaded
            `Profile`. None: the default, or the best one for `backbone`.
        quality: 1 (coarse) … 100 (fine), a whole number.
        max_bytes: Most bytes of the whole stream, filled as well as can be.
        min_cosine: 0 … 1, the least cosine between the image's embedding and the decoded one.
        mean_bytes: For many at once (`encode_batch`): an OptionError here.
        effort: 1 … 9: how long to look for a stream that keeps more of what texts would notice,
            such as which label fits best. 9 takes ten to fifty times as long.
        texts: `TextEmbeddings`, or embeddings (M, D) of any norm, of the texts that matter, such as
            your labels; they count with an effort above 1. None: common things.
        entropy: "auto" (the shortest), "huffman", "rans" or "raw", where the profile has them.
        backbone: The image encoder, where the profile takes any; alone, it chooses the profile.
        device: For the backbone: "cpu", "cuda", …; None chooses.
        weights: A local file with the backbone's weights. None: what CLIPCODEC_WEIGHTS names, else
            the published ones, as open_clip finds them.

    Returns:
        The stream. It names its profile, so `decode` needs nothing else.

    Raises:
        ImageError: The image is missing, damaged or too large.
        OptionError: An option is out of range, or contradicts another.
        RateError: The profile cannot reach the size or fidelity asked for.
        ProfileError: There is no such profile or backbone.
        WeightsError: The backbone's weights are missing, damaged or of another network.

    Examples:
        >>> stream = clipcodec.encode("photo.jpg", max_bytes=50)
        >>> len(stream) <= 50
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
    """Turn images into streams, in order.

    Args:
        images: Several of what `encode` takes, in any iterable.
        profile: As for `encode`.
        quality: As for `encode`.
        max_bytes: As for `encode`, of each stream.
        min_cosine: As for `encode`, of each stream.
        mean_bytes: Bytes of a stream on average: one quality for all images, which is the best way
            to a size for many. It is met within 1 %, unless the images are so few that whole bytes
            cannot come as near. All embeddings are made before any is encoded.
        effort: As for `encode`.
        texts: As for `encode`.
        entropy: As for `encode`.
        backbone: As for `encode`.
        device: As for `encode`.
        weights: As for `encode`.

    Returns:
        One stream for each image.

    Raises:
        ImageError: Names the images at fault: `error.rows`, counted from 0.
        OptionError: As for `encode`, and so are RateError, ProfileError and WeightsError.

    Examples:
        >>> streams = clipcodec.encode_batch(["cat.jpg", "dog.jpg"], max_bytes=34)
        >>> [len(stream) <= 34 for stream in streams]
        [True, True]
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
    """Turn one embedding into a stream; torch is not needed.

    Args:
        x: (D,) real numbers of any norm: an array, a list or a tensor. Only its direction is kept.
        profile: As for `encode`; it must take embeddings of width D.
        quality: As for `encode`.
        max_bytes: As for `encode`.
        min_cosine: As for `encode`.
        mean_bytes: For many at once (`encode_embeddings`): an OptionError here.
        effort: As for `encode`.
        texts: As for `encode`.
        entropy: As for `encode`.
        device: Not used, as no backbone is needed; it is taken so that calls look alike.

    Returns:
        The stream.

    Raises:
        EmbeddingError: Another shape or width, zero, NaN or infinite.
        OptionError: As for `encode`, and so are RateError and ProfileError.

    Warns:
        BackboneWarning: The embedding lies where the profile's model puts no image.

    Examples:
        >>> x = np.load("embeddings.npy")[0]
        >>> stream = clipcodec.encode_embedding(x, min_cosine=0.96)
        >>> float(x @ clipcodec.decode(stream)) >= 0.96
        True
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
    """Turn embeddings into streams; torch is not needed.

    An embedding gets the same stream in any order of the rows, on any machine and with any number
    of threads.

    Args:
        X: (N, D) real numbers of any norms: an array, a list of rows, a tensor or a memory map, of
            which no more than some 16,000 rows are in memory at a time.
        profile: As for `encode`; it must take embeddings of width D.
        quality: As for `encode`.
        max_bytes: As for `encode`, of each stream.
        min_cosine: As for `encode`, of each stream.
        mean_bytes: As for `encode_batch`.
        effort: As for `encode`.
        texts: As for `encode`.
        entropy: As for `encode`.
        device: "cuda" encodes large batches on a GPU, 131,072 rows at a time, to the same bytes;
            others are not used, as no backbone is needed.

    Returns:
        N streams, in the order of the rows.

    Raises:
        EmbeddingError: Names the rows at fault: `error.rows`, counted from 0.
        OptionError: As for `encode`, and so are RateError and ProfileError.

    Warns:
        BackboneWarning: Many rows lie where the profile's model puts no images.

    Examples:
        >>> X = np.load("embeddings.npy")
        >>> X.shape
        (100, 512)
        >>> streams = clipcodec.encode_embeddings(X, mean_bytes=50)
        >>> round(sum(map(len, streams)) / len(streams))
        50
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
    """Turn images into embeddings, without compression.

    Args:
        images: Several of what `encode` takes, in any iterable.
        backbone: The model's name (see `clipcodec.models.spec`); None: the default profile's.
        device: "cpu", "cuda", …; None chooses.
        weights: A local file with the model's weights; None: as for `encode`.
        precision: Of the arithmetic: "fp32", or "bf16" or "fp16", where the device has them.

    Returns:
        (N, D) float32, rows of unit norm.

    Raises:
        ImageError: Names the images at fault: `error.rows`, counted from 0.
        OptionError: The device or the precision cannot be used.
        ProfileError: There is no such backbone.
        WeightsError: The weights are missing, damaged or of another network.

    Examples:
        >>> clipcodec.embed_images(["cat.jpg", "dog.jpg"]).shape
        (2, 512)
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
    """Turn texts into embeddings, by the text tower of the same model as `embed_images`.

    Args:
        texts: Several texts, none of them empty.
        backbone: As for `embed_images`.
        templates: Sentences with a gap {} for the text: "imagenet" (80 of them) or "simple" (7), as
            open_clip has them, or a list of your own. Each text is put into all of them, and the
            unit mean of these embeddings is its embedding (Radford et al. 2021, section 3.1.4).
            None: the texts as they are.
        device: As for `embed_images`.
        weights: As for `embed_images`.
        precision: As for `embed_images`.

    Returns:
        (N, D) float32, rows of unit norm.

    Raises:
        OptionError: A text is empty, or the templates have no gap.
        ProfileError: There is no such backbone.
        WeightsError: The weights are missing, damaged or of another network.

    Warns:
        BackboneWarning: A text is longer than the model takes, and was cut.

    Examples:
        >>> texts = clipcodec.embed_texts(["a dog", "a cat"])
        >>> scores = clipcodec.embed_images(["photo.jpg"]) @ texts.T  # cosines
        >>> scores.shape
        (1, 2)
    """
    return _model(backbone, device, weights, precision).embed_texts(texts, templates)


def _model(
    backbone: str | None,
    device: str | None,
    weights: str | os.PathLike[str] | None,
    precision: str,
) -> Codec:
    return Codec(backbone=backbone, device=device, weights=weights, precision=precision)


def decode(stream: bytes | str, *, profile: ProfileLike = None) -> Embeddings:
    """Turn a stream into its embedding; neither torch nor a network is needed.

    Args:
        stream: One stream: its bytes, or its text (`to_text`).
        profile: The file of a private profile, for its streams; those of registered ones name
            theirs.

    Returns:
        (D,) float32, unit norm.

    Raises:
        DecodeError: These bytes are no stream, cut, damaged, or of an unknown profile. Any bytes
            give an embedding or this error.

    Examples:
        >>> stream = clipcodec.open("photos.clpc")[0]
        >>> clipcodec.decode(stream).shape
        (512,)
    """
    return Codec(profile).decode(stream)


def decode_batch(
    streams: Iterable[bytes | str], *, profile: ProfileLike = None, device: str | None = None
) -> Embeddings:
    """Turn streams into embeddings; neither torch nor a network is needed.

    Args:
        streams: N streams, bytes or text, of any profiles whose embeddings have one width D.
        profile: As for `decode`.
        device: "cuda" decodes large batches on a GPU, for which torch is needed; None: here.

    Returns:
        (N, D) float32, rows of unit norm, in the order of the streams.

    Raises:
        DecodeError: Names the streams at fault: `error.rows`, counted from 0.
        OptionError: The device cannot be used.

    Examples:
        >>> streams = clipcodec.open("photos.clpc")[:10]
        >>> clipcodec.decode_batch(streams).shape
        (10, 512)
    """
    return Codec(profile, device=device).decode_batch(streams)


def info(stream: bytes | str, *, profile: ProfileLike = None) -> StreamInfo:
    """Check a stream in full, and describe it.

    Args:
        stream: One stream: its bytes, or its text (`to_text`).
        profile: As for `decode`.

    Returns:
        Its profile, quality, entropy coder, width and sizes.

    Raises:
        DecodeError: As for `decode`.

    Examples:
        >>> found = clipcodec.info(clipcodec.open("photos.clpc")[0])
        >>> found.profile, found.dim, found.size <= 50
        ('openai-vit-b-32/predictive', 512, True)
    """
    return Codec(profile).info(stream)


def profiles() -> list[ProfileInfo]:
    """List the profiles that ship with this release.

    Returns:
        One `ProfileInfo` for each, in the order of their ids. A name of theirs is what `profile=`
        takes.

    Raises:
        WeightsError: The installation is damaged.

    Examples:
        >>> sorted(row.name for row in clipcodec.profiles() if row.bits is None)
        ['any/rotation', 'openai-vit-b-32/predictive', 'openai-vit-l-14-336/predictive']
    """
    return list(registered())
