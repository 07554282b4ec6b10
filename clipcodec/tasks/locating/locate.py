"""Words → the regions that they mean, by compressed embeddings.

    image ─regions─▶ crops ─backbone─▶ embeddings ─encode─▶ streams ─search─▶ scores of each text

The scores are those of the decoded embeddings, so they are what a reader of the streams gets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ...codec import Codec
from ...container import Container, ContainerWriter
from ...embeddings import Embeddings
from ...errors import EmbeddingError, InputError, OptionError, placed
from ...images import load_rgb
from ...profile.registry import ANY_BACKBONE
from ...retrieval import Hits, search
from ...retrieval.hits import check_k
from ...system.optional import missing_named
from ...target import Target, TargetOptions
from ...texts import TextEmbeddings, as_texts
from .ids import parse_region_id, region_id
from .regions import Box, Region, as_regions, check_crop, cut

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import Unpack

    from ...images import ImageInput
    from ...models import Templates

Texts: TypeAlias = "str | Sequence[str] | TextEmbeddings"
Regions: TypeAlias = "Iterable[Any] | Callable[[Image.Image], Iterable[Any]]"
_NO_TEXT = "no text: say what to look for, such as 'the red cup'"
_CROPS = 64  # cut out and embedded at a time


class Candidate(NamedTuple):
    """A region that a text may mean.

    Attributes:
        score: Cosine of the text's embedding and the region's decoded one.
        place: Of the region among those of the image, or of the item in the container, from 0.
        box: (left, top, right, bottom), whole pixels of the upright image; None: the whole image.
        image: Name of the image in a container; None if there is none.

    Examples:
        >>> from clipcodec.tasks.locating import Candidate
        >>> Candidate(0.25, 0, (0, 0, 48, 64)).box
        (0, 0, 48, 64)
    """

    score: float
    place: int
    box: Box | None
    image: str | None = None


@dataclass(frozen=True)
class Located:
    """What `locate` found.

    Attributes:
        texts: What was looked for.
        candidates: For each text its k best regions, the best first (of equal ones, the first
            region).
        regions: All regions of the image; `Candidate.place` counts them.
        streams: The compressed embedding of each region.

    Examples:
        >>> from clipcodec.tasks.locating import locate
        >>> found = locate("photo.jpg", "a cup", regions=[(0, 0, 48, 64)], quality=20)
        >>> found.candidates[0][0].box  # where the first text is
        (0, 0, 48, 64)
    """

    texts: tuple[str, ...]
    candidates: tuple[tuple[Candidate, ...], ...]
    regions: tuple[Region, ...]
    streams: tuple[bytes, ...]

    def __repr__(self) -> str:
        from ...system.shown import counted, named, shown, sized

        def parts() -> list[object]:
            best = [found[0].box for found in self.candidates[:1] if found]
            return [f"{counted(len(self.texts), 'text')} ({named(self.texts)})",
                    counted(len(self.regions), "region"), sized(sum(map(len, self.streams))),
                    f"the first is at {best[0]}" if best else None]  # fmt: skip

        return shown("tasks.locating.Located", parts)


def locate(
    image: ImageInput,
    texts: Texts,
    target: Target | None = None,
    /,
    *,
    regions: Regions,
    codec: Codec | None = None,
    k: int = 1,
    crop: str = "mask",
    templates: Templates = None,
    **options: Unpack[TargetOptions],
) -> Located:
    """Find the regions of an image that texts mean (arXiv 2509.05925, object referring).

    The regions' embeddings are compressed, and the texts are compared with what decodes from them.

    Args:
        image: Whatever `clipcodec.encode` takes.
        texts: One text, several, or `TextEmbeddings`, for which no text tower is needed.
        target: How the regions' embeddings are compressed; None: what `options` say.
        regions: Boxes, masks or Regions of the upright image, or a function that gives them for it,
            such as `sam_regions()`.
        codec: Embeds the regions and the texts, compresses and decodes; None: `Codec()`.
        k: So many regions for each text, or all if there are fewer.
        crop: "mask" or "box", see `cut`.
        templates: Sentences that texts are put into, see `Codec.embed_texts`; None: texts as they
            are.
        **options: The fields of `Target` by name; mean_bytes is of the image's regions.

    Returns:
        The best regions of each text, and all regions with their streams.

    Raises:
        ImageError: The image is missing, damaged or too large.
        InputError: There is no region, or one is empty or outside the image.
        OptionError: An option is out of range, and so with RateError.
        EmbeddingError: Texts are of another width or backbone.
        WeightsError: The backbone's weights are missing or damaged.

    Examples:
        >>> from clipcodec.tasks.locating import locate
        >>> boxes = [(0, 0, 48, 64), (48, 0, 96, 64)]
        >>> found = locate("photo.jpg", ["a cat", "a dog"], regions=boxes, max_bytes=50)
        >>> len(found.candidates), len(found.streams)
        (2, 2)
    """
    codec = Codec() if codec is None else codec
    check_k(k)
    target = Target(**options) if target is None else target
    words = embedded_texts(texts, codec, templates)
    picture = load_upright(image)
    with placed(source=_source(image)):
        found = find_regions(picture, regions)
        streams = compress_regions(picture, found, codec, target, crop=crop)
    best = best_regions(found, streams, words, codec=codec, k=k)
    return Located(words.names, best, tuple(found), tuple(streams))


def locate_kept(
    container: Container | str | os.PathLike[str],
    texts: Texts,
    *,
    codec: Codec | None = None,
    k: int = 1,
    templates: Templates = None,
) -> tuple[tuple[Candidate, ...], ...]:
    """Find the regions of a container that texts mean; no image is needed.

    Args:
        container: Made with `keep_regions`, open or a path. An item whose id is that of no region
            counts as a whole image: its `Candidate.box` is None.
        texts: As for `locate`.
        codec: Embeds the texts; None: by the profile of the container's first stream.
        k: As for `locate`.
        templates: As for `locate`.

    Returns:
        The k best regions of each text, the best first.

    Raises:
        InputError: There is no region in the container.
        OptionError: As for `locate`, and so are EmbeddingError and WeightsError.
        DecodeError: As for `clipcodec.open`.

    Examples:
        >>> from clipcodec.tasks.locating import keep_regions, locate, locate_kept
        >>> found = locate("photo.jpg", "a cup", regions=[(0, 0, 48, 64)], quality=20)
        >>> with clipcodec.create("regions.clpc") as writer:
        ...     keep_regions(writer, "photo.jpg", found.regions, found.streams)
        >>> best = locate_kept("regions.clpc", "a red cup")[0][0]
        >>> best.image, best.box
        ('photo.jpg', (0, 0, 48, 64))
    """
    if not isinstance(container, Container):
        profile = None if codec is None else codec.profile
        with Container(container, profile=profile) as opened:
            return locate_kept(opened, texts, codec=codec, k=k, templates=templates)
    check_k(k)
    ids = container.ids
    places = [parse_region_id(id) for id in ids]
    if not any(places):
        raise InputError(
            "no item of this container is a region of an image (id photo.jpg#xywh=…): make one "
            "with keep_regions or `clipcodec locate … --keep`; `clipcodec search` finds images"
        )
    if codec is None:
        codec = Codec(container.codec.parse(container[0]).profile)
    words = embedded_texts(texts, codec, templates)
    hits = search(container, words.embeddings, k, backbone=words.backbone)
    wholes = [
        (None, id) if place is None else (place.box, place.image)
        for place, id in zip(places, ids, strict=True)
    ]
    return _candidates(hits, wholes)


@missing_named()
def load_upright(image: ImageInput) -> Image.Image:
    """Load the upright RGB image that boxes are measured on.

    It says no orientation any more, so that its parts are not turned once more.

    Args:
        image: Whatever `clipcodec.encode` takes.

    Returns:
        An image of Pillow, in mode "RGB".

    Raises:
        ImageError: The image is missing, damaged or too large.

    Examples:
        >>> from clipcodec.tasks.locating import load_upright
        >>> load_upright("photo.jpg").size
        (96, 64)
    """
    picture = load_rgb(image)
    picture.info = {}
    return picture


def find_regions(picture: Image.Image, regions: Regions) -> list[Region]:
    """Check the regions of an upright image: given ones, or those that a function finds.

    Args:
        picture: As `load_upright` gives it.
        regions: As for `locate`.

    Returns:
        The regions.

    Raises:
        InputError: Regions are empty or outside the image, or there is none.

    Examples:
        >>> from clipcodec.tasks.locating import find_regions, load_upright
        >>> find_regions(load_upright("photo.jpg"), [(0, 0, 48, 64)])
        [Region((0, 0, 48, 64))]
    """
    return as_regions(regions(picture) if callable(regions) else regions, picture.size)


def compress_regions(
    picture: Image.Image,
    regions: Iterable[Any],
    codec: Codec,
    target: Target | None = None,
    /,
    *,
    crop: str = "mask",
    **options: Unpack[TargetOptions],
) -> list[bytes]:
    """Make a stream for each region of an upright image.

    Args:
        picture: As `load_upright` gives it.
        regions: Boxes, masks or Regions.
        codec: Embeds and compresses.
        target: As for `locate`.
        crop: As for `locate`.
        **options: As for `locate`.

    Returns:
        One stream for each region.

    Raises:
        InputError: As for `locate`, and so are OptionError, RateError and WeightsError.

    Examples:
        >>> from clipcodec.tasks.locating import compress_regions, load_upright
        >>> picture, codec = load_upright("photo.jpg"), clipcodec.Codec()
        >>> len(compress_regions(picture, [(0, 0, 48, 64)], codec, max_bytes=50))
        1
    """
    asked = Target(**options) if target is None else target
    asked.check(codec.profile)  # before long work
    rows = region_embeddings(picture, regions, codec, crop=crop)
    with placed(item="region"):
        return codec.encode_embeddings(rows, asked)


def region_embeddings(
    picture: Image.Image, regions: Iterable[Any], codec: Codec, *, crop: str = "mask"
) -> Embeddings:
    """Embed the regions of an upright image, without compression.

    Args:
        picture: As `load_upright` gives it.
        regions: Boxes, masks or Regions.
        codec: Embeds them.
        crop: As for `locate`.

    Returns:
        (N, D) float32, rows of unit norm.

    Raises:
        InputError: As for `locate`, and so are OptionError and WeightsError.

    Examples:
        >>> from clipcodec.tasks.locating import load_upright, region_embeddings
        >>> picture = load_upright("photo.jpg")
        >>> region_embeddings(picture, [(0, 0, 48, 64)], clipcodec.Codec()).shape
        (1, 512)
    """
    check_crop(crop)
    checked = as_regions(regions, picture.size)
    rows = []
    for at in range(0, len(checked), _CROPS):
        crops = [cut(picture, region, crop) for region in checked[at : at + _CROPS]]
        with placed(at, item="region"):
            rows.append(codec.embed_images(crops))
    return np.concatenate(rows)


def best_regions(
    regions: Sequence[Region],
    streams: Sequence[bytes],
    texts: TextEmbeddings,
    *,
    codec: Codec,
    k: int = 1,
) -> tuple[tuple[Candidate, ...], ...]:
    """Find the k best regions of each text, by their streams.

    Args:
        regions: Of the image.
        streams: One for each region.
        texts: Texts with their embeddings.
        codec: Decodes the streams.
        k: So many regions for each text, or all if there are fewer.

    Returns:
        The candidates of each text, the best first.

    Raises:
        DecodeError: Names the streams at fault.
        EmbeddingError: The texts have another width.

    Examples:
        >>> from clipcodec.tasks.locating import Region, best_regions
        >>> regions = [Region((0, 0, 48, 64)), Region((48, 0, 96, 64))]
        >>> streams = clipcodec.open("photos.clpc")[:2]
        >>> texts = clipcodec.TextEmbeddings.load("labels.safetensors")
        >>> len(best_regions(regions, streams, texts, codec=clipcodec.Codec()))
        3
    """
    hits = search(streams, texts.embeddings, k, profile=codec.profile, backbone=texts.backbone)
    return _candidates(hits, [(region.box, None) for region in regions])


def keep_regions(
    writer: ContainerWriter, image: str, regions: Iterable[Region], streams: Iterable[bytes]
) -> None:
    """Append the streams of an image's regions to a container, for `locate_kept` and for search.

    The ids are of the form photo.jpg#xywh=left,top,width,height; masks are not kept.

    Args:
        writer: Of the container.
        image: The image's name.
        regions: Of the image.
        streams: One for each region.

    Examples:
        >>> from clipcodec.tasks.locating import Region, keep_regions
        >>> with clipcodec.create("regions.clpc") as writer:
        ...     regions, streams = [Region((0, 0, 48, 64))], clipcodec.open("photos.clpc")[:1]
        ...     keep_regions(writer, "photo.jpg", regions, streams)
        >>> clipcodec.open("regions.clpc").ids
        ['photo.jpg#xywh=0,0,48,64']
    """
    for region, stream in zip(regions, streams, strict=True):
        writer.append(stream, region_id(image, region.box))


def embedded_texts(texts: Texts, codec: Codec, templates: Templates = None) -> TextEmbeddings:
    """Embed texts by the model of a codec; what is embedded already is checked.

    Args:
        texts: As for `locate`.
        codec: Embeds them.
        templates: As for `locate`.

    Returns:
        The texts with their embeddings.

    Raises:
        OptionError: There is no text.
        EmbeddingError: Another model embedded them, which is known by its name or by their width.

    Examples:
        >>> from clipcodec.tasks.locating import embedded_texts
        >>> embedded_texts("the red cup", clipcodec.Codec()).names
        ('the red cup',)
    """
    model = None if codec.chosen_backbone == ANY_BACKBONE else codec.chosen_backbone
    if not isinstance(texts, TextEmbeddings):
        names = as_texts([texts] if isinstance(texts, str) else texts)
        if not names:
            raise OptionError(_NO_TEXT)
        return TextEmbeddings(tuple(names), codec.embed_texts(names, templates), model)
    if templates is not None:
        raise OptionError("templates: the texts are embeddings already; leave them out")
    if not len(texts):
        raise OptionError(_NO_TEXT)
    if None not in (model, texts.backbone) and model != texts.backbone:
        raise EmbeddingError(
            f"texts embedded by {texts.backbone}, and {model} embeds the images: both must come "
            "from one model"
        )
    codec.check_width(texts.embeddings.shape[1])
    return texts


def _candidates(
    hits: Hits, places: Sequence[tuple[Box | None, str | None]]
) -> tuple[tuple[Candidate, ...], ...]:
    return tuple(
        tuple(
            Candidate(float(score), place, *places[place])
            for score, place in zip(scores, indices.tolist(), strict=True)
        )
        for scores, indices in zip(hits.scores, hits.indices, strict=True)
    )


def _source(image: Any) -> str | None:
    """The image's name, for messages about its regions; None if it has none."""
    named = isinstance(image, (str, os.PathLike))
    return os.fsdecode(image) if named else None
