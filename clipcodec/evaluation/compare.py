"""Profiles beside each other on a user's own rows: which keeps most, in how many bytes.

`evaluate` measures codecs on data sets, for a result file; this answers one question, in seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..codec import Codec
from ..container.profiles import profile_of, to_embed
from ..embeddings import Embeddings
from ..errors import BackboneWarning, EmbeddingError, OptionError
from ..profile import Profile, registry
from ..profile.registry import ProfileLike
from ..profile.statistics import Statistics, check_statistics
from ..system.threads import thin_product
from ..target import Target
from ..texts import TextEmbeddings
from .codecs import Training, own_codec
from .comparison import CROWD, ComparedProfile, Comparison, Measured
from .metrics import Measures
from .sample import ROWS, Part, Sample, draw

__all__ = ["ComparedProfile", "Comparison", "Measured", "compare"]

SIZES = (25, 50, 100)

Progress = Callable[[int, int | None], object]


def compare(
    rows: Any,
    profiles: Sequence[ProfileLike] | None = None,
    *,
    targets: Sequence[Target] | None = None,
    labels: Any = None,
    texts: TextEmbeddings | None = None,
    sample: int = ROWS,
    items: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Measure what profiles keep of embeddings.

    Args:
        rows: (N, D) embeddings of any norm, N > 1; a memory map will do.
        profiles: Names, profile files, containers that carry one, or loaded profiles; None: the
            shipped ones for this width and all rates. One of another width is left out, and named.
        targets: What streams are asked for; None: at most 25, 50 and 100 bytes.
        labels: (N,) the class of each row, whole numbers or strings: accuracy by nearest
            neighbours and by class means is measured, too. Half of the rows drawn are then
            examples, which are not compressed.
        texts: What rows are compared with: whether the nearest stays, and how much probabilities
            change. With labels, which are then names of texts or their numbers, also zero-shot
            accuracy.
        sample: Most rows to measure; more are drawn from, at random.
        items: How many embeddings will share a container, and the profile in it; None: N.
        seed: Of the draw.
        progress: Called with how many points are done, and of how many.

    Returns:
        Every profile at every target. One that is out of reach has the reason in its place.

    Raises:
        EmbeddingError: Too few rows, or of a width that no profile takes; or one that was drawn is
            zero or not finite.
        OptionError: Labels, texts or a number do not fit.
        ProfileError: There is no profile of that name.
        WeightsError: A profile's file is missing or damaged.
        DecodeError: A container that should carry a profile is damaged.

    Examples:
        >>> from clipcodec.evaluation.compare import compare
        >>> rows = np.load("embeddings.npy")
        >>> found = compare(rows, ["any/rotation"], targets=[clipcodec.Target(max_bytes=50)])
        >>> found.points[0].found["bytes"] <= 50
        True
    """
    drawn = draw([Part(rows)], _whole(sample, "sample", 2), labels=labels, texts=texts, seed=seed)
    return compare_sample(drawn, profiles, targets=targets, items=items, progress=progress)


def compare_sample(
    drawn: Sample,
    profiles: Sequence[ProfileLike] | None = None,
    *,
    targets: Sequence[Target] | None = None,
    items: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """As `compare`, of rows that are drawn already."""
    rows = drawn.data.rows
    shared = drawn.given if items is None else _whole(items, "items", 1)
    asked = [Target(max_bytes=size) for size in SIZES] if targets is None else _targets(targets)
    chosen = registry.fitting(rows.shape[1]) if profiles is None else profiles
    codecs, left_out = _codecs(chosen, rows.shape[1])
    measures = Measures(drawn.data)
    compared = [_compared(name, codec.profile, rows) for name, codec in codecs]
    points: list[Measured] = []
    total = len(asked) * len(codecs)
    for target in asked:
        for profile, (_, codec) in zip(compared, codecs, strict=True):
            if progress is not None:
                progress(len(points), total)
            points.append(_point(profile, codec, target, measures))
    if progress is not None:
        progress(total, total)
    return Comparison(
        rows=len(rows), examples=drawn.examples, given=drawn.given, dim=rows.shape[1],
        items=shared, original=_original(measures), profiles=tuple(compared),
        left_out=tuple(left_out), points=tuple(points),
    )  # fmt: skip


def _targets(targets: Sequence[Target]) -> list[Target]:
    found = list(targets)
    if not found or not all(isinstance(target, Target) for target in found):
        raise OptionError("targets: expected several Target, such as [Target(max_bytes=50)]")
    return list(dict.fromkeys(found))


def _whole(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{name}={value!r} is not a whole number of at least {least}")
    return int(value)


def _codecs(profiles: Sequence[ProfileLike], dim: int) -> tuple[list[tuple[str, Codec]], list[str]]:
    """The profiles for embeddings of this width, each once, by name; and why others are not."""
    if isinstance(profiles, (str, bytes)) or not profiles:
        raise OptionError("profiles: expected several names, files or profiles, in a list")
    found: dict[bytes, tuple[str, Codec]] = {}
    left_out, widths = [], None
    for given in profiles:
        codec = Codec(None if given is None else profile_of(given))
        profile = codec.profile
        name = profile.name if given is None or isinstance(given, Profile) else str(given)
        if profile.dim in (None, dim):
            found.setdefault(profile.digest, (name, codec))
            continue
        left_out.append(f"{name} takes {profile.dim} dimensions, these rows have {dim}")
        widths = widths or codec
    if not found and widths is not None:
        widths.check_width(dim)  # raises, and names those that fit
    return list(found.values()), left_out


def _compared(name: str, profile: Profile, rows: Embeddings) -> ComparedProfile:
    size = _embedded_size(profile)
    if profile.statistics is None:
        return ComparedProfile(name, trained=False, size=size)
    unlike, strays = _unlike(rows, profile.statistics, profile.backbone)
    return ComparedProfile(name, True, unlike, strays, size)


def _embedded_size(profile: Profile) -> int | None:
    """Bytes of the profile in a container; None if none needs it, or has room for it."""
    try:
        return len(to_embed(profile).block)
    except OptionError:
        return None


def _unlike(rows: Embeddings, statistics: Statistics, backbone: str) -> tuple[str | None, float]:
    """How rows differ from those that a profile was made for, if they do; and the share that do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BackboneWarning)
        if not check_statistics(rows, statistics, backbone):
            return None, 0.0
    texts = statistics.are_texts(rows)
    cosines = thin_product(rows, statistics.mean / np.linalg.norm(statistics.mean))
    odd = texts | (cosines < statistics.low)
    count = int(odd.sum())
    who = "these rows" if 2 * count > len(rows) else f"{count:,} of {len(rows):,} rows"
    if 2 * int(texts.sum()) > count:
        words = f"{who} are texts, and it is made for images of its model"
    else:
        words = (
            f"{who} are unlike those it was made for: cosine to its mean {cosines[odd].mean():.2f},"
            f" {cosines.min():.2f} at the lowest; of its own 99.9 % have {statistics.low:.2f} or "
            "more"
        )
    return words, count / len(rows)


def _point(profile: ComparedProfile, codec: Codec, target: Target, measures: Measures) -> Measured:
    made = own_codec(codec, target, profile.name)
    rows = measures.data.rows
    try:
        with warnings.catch_warnings():  # said once for each profile, in the table's words
            warnings.simplefilter("ignore", BackboneWarning)
            coded = made.code(rows, Training(None))
    except (OptionError, EmbeddingError) as error:
        return Measured(profile, target, {}, _reason(error, len(rows)))
    assert coded.rows is not None
    sizes = {"bytes": float(coded.bytes.mean()), "most": float(coded.bytes.max())}
    return Measured(profile, target, _rounded(sizes | _kept(measures, coded.rows)))


def _reason(error: OptionError | EmbeddingError, rows: int) -> str:
    """What is out of reach; the numbers of rows would be those of the sample."""
    if not error.rows or len(error.rows) == rows:
        return error.reason
    return f"{len(error.rows):,} of {rows:,} rows: {error.reason}"


def _original(measures: Measures) -> dict[str, float]:
    """The rows as they are, 32 bits for each number."""
    size = 4.0 * measures.data.rows.shape[1]
    return _rounded({"bytes": size, "most": size} | _kept(measures, measures.data.rows))


def _kept(measures: Measures, decoded: Embeddings) -> dict[str, float]:
    found = measures.of(decoded)
    if len(decoded) < CROWD:
        del found["neighbours"]
    return found


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in found.items()}
