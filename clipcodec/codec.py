"""The whole way, both directions, on one page.

    image ─backbone─▶ embedding ─quantize─▶ symbols ─encode─▶ payload ─header, check value─▶ stream
                      embedding ◀reconstruct─ symbols ◀decode─ payload ◀─────────────────── stream

`encode_rows` and `decode_rows` walk it for a batch; a profile's kind (kinds/base.py) has the
transform, the quantiser and the entropy coder. `Codec` adds what callers need around it: images,
checks of what is given, batches of bounded memory, threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import mean
from .bitstream import DIGEST_BYTES, Header
from .embeddings import Embeddings, as_embedding, as_rows, forget_pages, normalise, squared_norms
from .entropy import Symbols
from .errors import (
    ClipcodecError,
    CorruptError,
    DecodeError,
    EmbeddingError,
    ImageError,
    OptionError,
    RateError,
    UnknownProfileError,
    collected,
    placed,
    raise_merged,
    raise_rows,
)
from .kinds import Parameters, Quantized
from .profile import Profile, registry
from .profile.statistics import check_statistics
from .stream import (
    ParsedStream,
    StreamInfo,
    describe,
    pack,
    parse,
    parse_all,
    qualities_of,
    start_of,
    unpack,
)
from .system.optional import missing_named
from .system.paths import AS_TEXT, is_path_of_bytes
from .system.threads import in_threads, shared_out
from .target import Target, TargetOptions
from .texts import as_texts

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .images import ImageInput
    from .models import Backbone, Templates, TextTower
    from .models.tower import Tower

T = TypeVar("T")
W = TypeVar("W", bound="Tower")
_ENCODED = 2048  # embeddings that a thread encodes at a time: enough for fast matrix products
_DECODED = 4096  # streams that a thread decodes at a time: each step of numpy serves them all
_RECONSTRUCTED = 512  # rows at a time, which stay in cache
_WIDTH = 768  # for wider embeddings fewer: bounds memory, some 64 bytes per number and thread
_IMAGES = 64
_PASSES = 3  # over all embeddings for mean_bytes; more than one only if a sample misleads


# the way there and back


def encode_rows(profile: Profile, x: Embeddings, target: Target) -> list[bytes]:
    """Unit-norm embeddings (N, D) to streams that meet the target.

    Raises EmbeddingError or RateError naming the rows at fault.
    """
    kind, coders = profile.kind, target.coders(profile)
    texts = _texts_of(profile, target, x.shape[1])
    header = len(start_of(profile, coders[0], Parameters(1, x.shape[1])))
    with np.errstate(all="ignore"):  # a private profile may overflow
        found = kind.quantize(x, target, header, texts)  # transform, rate search, quantiser
        streams = pack(profile, found, coders)  # entropy coder, check value, header
        missed = _missed(profile, x, found, streams, target)
    sought = target
    while missed:  # for these rows the rate search was wrong: again, and stricter
        if not kind.qualities:
            raise RateError.of_rows(missed)
        rows, sought = np.array([*missed]), sought.stricter()
        with placed(rows), np.errstate(all="ignore"):
            try:
                found = kind.quantize(x[rows], sought, header, texts)
            except RateError as error:  # in words of the caller's target, not of the stricter one
                raise RateError.of_rows({i: missed[int(rows[i])] for i in error.rows}) from error
            made = pack(profile, found, coders)
            again = _missed(profile, x[rows], found, made, target)
        for row, stream in zip(rows.tolist(), made, strict=True):
            streams[row] = stream
        missed = {int(rows[i]): reason for i, reason in again.items()}
    return streams


def _texts_of(profile: Profile, target: Target, dim: int) -> Embeddings | None:
    """Whose probabilities should stay: the caller's texts, else the profile's, if it has some."""
    if target.effort == 1:
        return None
    texts: Embeddings | None = target.texts
    if texts is None:
        return None if profile.statistics is None else profile.statistics.bank
    if texts.shape[1] != dim:
        raise OptionError(
            f"texts of {texts.shape[1]} dimensions, the embeddings have {dim}: both must come from "
            "one model"
        )
    return texts


def _missed(
    profile: Profile, x: Embeddings, found: Quantized, streams: list[bytes], target: Target
) -> dict[int, str]:
    """The rows whose streams do not meet the target, and why."""
    limit, least = target.max_bytes, target.min_cosine
    if limit is not None:
        return {
            i: f"{len(stream)} bytes with profile {profile.name}, max_bytes is {limit}: "
            "choose a profile of a lower rate"
            for i, stream in enumerate(streams)
            if len(stream) > limit
        }
    if least is None:
        return {}
    decoded = reconstruct(profile, *found).astype(np.float64)
    cosines = (x * decoded).sum(axis=1)
    return {
        i: f"cosine {cosines[i]:.4f} with profile {profile.name}, min_cosine is {least}: "
        "choose a profile of a higher rate"
        for i in np.flatnonzero(~(cosines >= least)).tolist()
    }


def decode_rows(streams: Sequence[ParsedStream]) -> Embeddings:
    """Streams of one profile, coder and number of symbols to unit-norm embeddings (N, D).

    Raises DecodeError naming the rows at fault.
    """
    symbols = unpack(streams)  # entropy coder, check value verified
    return reconstruct(streams[0].profile, symbols, qualities_of(streams))


def reconstruct(profile: Profile, symbols: Symbols, qualities: Symbols) -> Embeddings:
    """Symbols (N, n) to unit-norm embeddings (N, D); CorruptError where there is no direction."""
    parts = []
    for at in range(0, len(symbols), _RECONSTRUCTED):
        part = slice(at, at + _RECONSTRUCTED)
        with placed(at), np.errstate(all="ignore"):  # what overflows is an error below
            rows = profile.kind.reconstruct(symbols[part], qualities[part])  # dequantise, synthesis
            # the squares of the smallest and the largest floats lie outside of float32
            norms = np.sqrt(squared_norms(rows.astype(np.float64)))
            valid = np.isfinite(norms) & (norms > 0)
            if not valid.all():
                bad = np.flatnonzero(~valid)
                raise CorruptError(
                    f"these symbols of profile {profile.name} decode to no direction",
                    rows=bad.tolist(),
                )
            parts.append((rows / norms).astype(np.float32))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Codec:
    """Encoder and decoder for one profile; decodes the streams of all registered ones too.

    profile  a registered name, the path of a profile file, or a loaded Profile; None: the default
    backbone what turns images into embeddings, for a profile that takes any (see
             `clipcodec.models.spec`); without a profile, the best one registered for it
    device   for the backbone: "cpu", "cuda", …; None chooses
    weights  a local file with the backbone's weights; None: CLIPCODEC_WEIGHTS, or open_clip's
    precision  of the backbone: "fp32", or "bf16" or "fp16", where the device has them

    Every verb that encodes takes one `Target`, or its fields by name: quality, max_bytes,
    min_cosine, mean_bytes (for many at once), entropy. Raises ProfileError for an unknown name,
    WeightsError for a damaged file.
    Thread-safe.
    """

    def __init__(
        self,
        profile: str | os.PathLike[str] | Profile | None = None,
        *,
        backbone: str | None = None,
        device: str | None = None,
        weights: str | os.PathLike[str] | None = None,
        precision: str = "fp32",
    ) -> None:
        if backbone is not None and not isinstance(backbone, str):
            raise OptionError(f"backbone is {type(backbone).__name__}: expected a name, as str")
        if weights is not None and not isinstance(weights, (str, os.PathLike)):
            raise OptionError(
                f"weights is {type(weights).__name__}: expected the path of a file, "
                "as str or os.PathLike"
            )
        self._profile = None if profile is None else registry.resolve(profile)
        if backbone is not None and self._profile is None:
            self._profile = registry.by_name(registry.for_backbone(backbone))
        own = None if self._profile is None else self._profile.backbone
        if backbone is not None and own not in (registry.ANY_BACKBONE, backbone):
            raise OptionError(f"backbone={backbone!r}: the profile is for {own!r}; leave one out")
        self._backbone = backbone
        self._device = device
        self._weights = weights
        self._precision = precision

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: names and paths, no weights (`Profile` and the backbone are opened again)."""
        weights = None if self._weights is None else os.path.abspath(self._weights)
        return {**self.__dict__, "_weights": weights}

    def __repr__(self) -> str:
        from .system.shown import brief, shown

        def parts() -> Iterator[object]:
            profile = self._profile
            name = registry.DEFAULT if profile is None else profile.name
            yield brief(name)
            own = [row.backbone for row in registry.registered() if row.name == name]
            model = self._backbone or (own[0] if profile is None else profile.backbone)
            yield "any backbone" if model == registry.ANY_BACKBONE else f"backbone {model}"
            yield f"device {self._device or 'chosen when needed'}"
            yield self._precision
            yield None if self._weights is None else f"weights {os.fspath(self._weights)!r}"

        return shown("Codec", parts)

    @property
    def profile(self) -> Profile:
        """The profile to encode with. The default is loaded when first needed, not to decode."""
        if self._profile is None:
            self._profile = registry.by_name(registry.DEFAULT)
        return self._profile

    # images

    def encode(
        self, image: ImageInput, target: Target | None = None, /, **options: Unpack[TargetOptions]
    ) -> bytes:
        """One image to a stream. Raises ImageError, WeightsError, OptionError or RateError."""
        with placed(None):
            return self._encode_images([image], self._target(target, options, one=True))[0]

    def encode_batch(
        self,
        images: Iterable[ImageInput],
        target: Target | None = None,
        /,
        **options: Unpack[TargetOptions],
    ) -> list[bytes]:
        """Images to streams, in order; errors as for `encode`, naming the images at fault.

        mean_bytes is as for `encode_embeddings`: all embeddings are made before any is encoded.
        """
        if isinstance(images, (str, bytes, os.PathLike)):
            raise OptionError("encode_batch takes several images: encode takes one")
        with placed(0, item="image"):
            return self._encode_images(images, self._target(target, options))

    def _encode_images(self, images: Iterable[ImageInput], target: Target) -> list[bytes]:
        rows: list[Embeddings] = []
        for number, chunk in enumerate(_chunks(images, _IMAGES)):
            with placed(number * _IMAGES):
                rows.append(self.embed_images(chunk))
        if not rows:
            return []
        return self._encode_all(lambda: iter(rows), target, count=sum(map(len, rows)))

    @missing_named()
    def embed_images(self, images: Iterable[ImageInput]) -> Embeddings:
        """Images to embeddings (N, D), float32, unit norm, by the profile's backbone.

        Raises ImageError naming the images at fault, OptionError or WeightsError.
        """
        from .images import load_rgb

        if isinstance(images, (str, bytes, os.PathLike)):
            raise OptionError("embed_images takes several images, in a list")
        pictures: list[Any] = []
        faults: dict[int, ImageError] = {}
        for i, image in enumerate(images):
            try:
                pictures.append(load_rgb(image))
            except ImageError as error:
                faults[i] = _no_image(image, error)
        raise_rows(faults)
        embeddings = self.backbone().embed(pictures)
        self._check_statistics(embeddings, ours=True)
        return embeddings

    @missing_named()
    def embed_texts(self, texts: Iterable[str], templates: Templates = None) -> Embeddings:
        """Texts to embeddings (N, D), float32, unit norm, by the text tower of the same model.

        templates  sentences with a gap {} for the text, "imagenet" or "simple" (open_clip's lists),
                   or None: the texts as they are

        Warns (BackboneWarning) of texts that are too long and were cut. Raises OptionError or
        WeightsError.
        """
        found = as_texts(texts)  # before the tower is loaded
        return self.text_tower().embed(found, templates)

    @property
    def chosen_backbone(self) -> str:
        """The backbone that was given, or the profile's, which may be "any"."""
        return self._backbone or self.profile.backbone

    @property
    def backbone_name(self) -> str:
        """Of the image encoder; OptionError if the profile takes any and none was chosen."""
        if self.chosen_backbone == registry.ANY_BACKBONE:
            raise OptionError(
                f"profile {self.profile.name} takes embeddings of any model: say which one makes "
                "them, backbone=NAME or --backbone NAME, such as openai-vit-l-14-336"
            )
        return self.chosen_backbone

    @missing_named()
    def backbone(self) -> Backbone:
        """The image encoder, loaded. Raises as `encode` does."""
        from .models import Backbone

        return self._loaded(Backbone)

    @missing_named()
    def text_tower(self) -> TextTower:
        """The text encoder of the same model, loaded. Raises as `embed_texts` does."""
        from .models import TextTower

        return self._loaded(TextTower)

    def _loaded(self, tower: type[W]) -> W:
        name = self.backbone_name
        loaded = tower.cached(
            name, device=self._device, weights=self._weights, precision=self._precision
        )
        if self.profile.dim not in (None, loaded.dim):
            raise EmbeddingError(
                f"backbone {name} gives {loaded.dim} dimensions, "
                f"profile {self.profile.name} takes {self.profile.dim}"
            )
        return loaded

    # embeddings

    def encode_embedding(
        self, x: Any, target: Target | None = None, /, **options: Unpack[TargetOptions]
    ) -> bytes:
        """One embedding (D,), any norm, to a stream; needs no torch.

        Raises EmbeddingError, OptionError or RateError; warns (BackboneWarning) of one that lies
        where the profile's backbone puts none.
        """
        asked = self._target(target, options, one=True)
        _check_array(x)
        row = as_embedding(x)
        self.check_width(row.shape[1])
        self._check_statistics(row, ours=False)
        with placed(None):
            return encode_rows(self.profile, row, asked)[0]

    def encode_embeddings(
        self, X: Any, target: Target | None = None, /, **options: Unpack[TargetOptions]
    ) -> list[bytes]:
        """Embeddings (N, D), any norms, to N streams; errors as for `encode_embedding`.

        Of a memory map no more than some 16,000 rows are in memory at a time.

        mean_bytes  one quality and weight are found on the rows themselves, or on 16,384 of more,
                    which are chosen by a hash of their values; so an embedding gets the same stream
                    in any order of the batch. The average is within 1 %, unless rows are so few
                    that whole bytes cannot come as near. `resolve` gives that quality and weight
        """
        asked = self._target(target, options)
        rows = self._rows(X)
        return self._encode_all(self._unit_rows(X, rows), asked, count=len(rows))

    def resolve(
        self, X: Any, target: Target | None = None, /, **options: Unpack[TargetOptions]
    ) -> Target:
        """The quality and weight that `mean_bytes` becomes for embeddings (N, D), any norms, N > 0.

        To encode others, or one at a time, as these would be: in several processes, say. A target
        without mean_bytes is returned as it is. Errors as for `encode_embeddings`.

        >>> point = codec.resolve(sample, mean_bytes=50)
        >>> streams = [codec.encode_embedding(x, point) for x in incoming]
        """
        asked = self._target(target, options)
        rows = self._rows(X)
        if asked.mean_bytes is None:
            return asked
        if not len(rows):
            raise EmbeddingError("no embeddings: mean_bytes is found on some")
        return self.resolve_parts(self._unit_rows(X, rows), asked)

    def resolve_parts(self, parts: Callable[[], Iterable[Embeddings]], target: Target, /) -> Target:
        """As `resolve`, of rows that are read part by part; of no rows, the target as it is.

        parts  gives unit-norm rows (n, D), all of them each time it is called
        """
        found = mean.sample(parts) if target.mean_bytes is not None else None
        if found is None or not found.count:
            return target
        return self._point(found, target).target

    def _rows(self, X: Any) -> NDArray[Any]:
        _check_array(X)
        rows = as_rows(X)
        if rows.shape != (0, 0):
            self.check_width(rows.shape[1], len(rows))
        return rows

    def _unit_rows(self, X: Any, rows: NDArray[Any]) -> Callable[[], Iterator[Embeddings]]:
        """What gives all rows with unit norm, in parts of bounded memory, each time it is called.

        The first time it warns of rows that another model seems to have made.
        """
        step = 8 * _rows_of(rows.shape[1], _ENCODED)  # enough for several threads
        warned = False

        def parts() -> Iterator[Embeddings]:
            nonlocal warned
            for at in range(0, len(rows), step):
                with placed(at):
                    x = normalise(rows[at : at + step])
                    warned = warned or self._check_statistics(x, ours=False)
                yield x
                forget_pages(X)
            warned = True

        return parts

    def _encode_all(
        self, parts: Callable[[], Iterator[Embeddings]], target: Target, count: int
    ) -> list[bytes]:
        """Streams of all rows that `parts` gives, each time it is called."""
        if target.mean_bytes is None or not count:
            streams, at = list[bytes](), 0
            for x in parts():
                with placed(at):
                    streams += self._encode(x, target)
                at += len(x)
            return streams
        found = mean.sample(parts)
        point = self._point(found, target)
        if found.whole:
            order = np.argsort(found.places).tolist()
            return [point.streams[i] for i in order]
        sought, size = point.target, point.on_curve
        for _ in range(_PASSES):
            streams = self._encode_all(parts, sought, count)
            off = mean.mean_length(streams) / target.mean_bytes
            if abs(off - 1) <= mean.NEAR / 2:
                break
            size /= off  # the sample was not like the whole
            sought = point.curve.at(size)
        return streams

    def _point(self, found: mean.Sample, target: Target) -> mean.Point:
        with placed(found.places):
            return mean.resolve(self.encode_each, found.rows, target, self.profile)

    def encode_each(self, rows: Sequence[Embeddings], target: Target) -> list[bytes]:
        """Unit-norm rows (D,), which may differ in width, to streams."""
        widths: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            widths.setdefault(len(row), []).append(i)
        streams = [b""] * len(rows)
        for chosen in widths.values():
            with placed(chosen):
                made = self._encode(np.stack([rows[i] for i in chosen]), target)
            for i, stream in zip(chosen, made, strict=True):
                streams[i] = stream
        return streams

    def check_width(self, dim: int, count: int | None = None) -> None:
        """Raise EmbeddingError, naming the profiles that fit, unless the profile's width is `dim`.

        count  of how many embeddings this is the width, for the message
        """
        if self.profile.dim in (None, dim):
            return
        what = "" if count is None else f"{count} embeddings of "
        raise EmbeddingError(
            f"{what}{dim} dimensions, profile {self.profile.name} takes {self.profile.dim}: "
            f"choose {' or '.join(registry.fitting(dim))}"
        )

    def _check_statistics(self, x: Embeddings, *, ours: bool) -> bool:
        """Warn of embeddings that another model seems to have made."""
        profile = self.profile
        if profile.statistics is None:
            return False
        return check_statistics(x, profile.statistics, profile.backbone, ours=ours)

    def _target(
        self, target: Target | None, options: TargetOptions, *, one: bool = False
    ) -> Target:
        """One checked object of what a caller asks. one: of a single embedding."""
        if target is None:
            target = Target(**options)
        elif options or not isinstance(target, Target):
            raise OptionError(
                f"{type(target).__name__}: give one Target, or its fields by name, such as "
                "max_bytes=50"
            )
        target.check(self.profile, one=one)
        return target

    def _encode(self, x: Embeddings, target: Target) -> list[bytes]:
        """`encode_rows` in parts of bounded memory, shared by threads."""
        step = _rows_of(x.shape[1], _ENCODED)

        streams, faults = [b""] * len(x), list[ClipcodecError]()

        def work(at: int) -> None:
            with collected(faults, at):
                streams[at : at + step] = encode_rows(self.profile, x[at : at + step], target)

        in_threads(work, range(0, len(x), step))
        raise_merged(faults)
        return streams

    # streams

    def decode(self, stream: bytes) -> Embeddings:
        """One stream to its embedding (D,), float32, unit norm.

        Any bytes give an embedding or a DecodeError. A registered profile that cannot be read
        from this installation gives WeightsError.
        """
        with placed(None):
            row: Embeddings = decode_rows([self.parse(stream)])[0]
            return row

    def decode_batch(self, streams: Iterable[bytes]) -> Embeddings:
        """N streams to embeddings (N, D) in order. All must have one width.

        Raises as `decode` does, naming the streams at fault.
        """
        return self.decode_parsed(self.parse_batch(streams))

    def decode_parsed(self, parsed: Sequence[ParsedStream]) -> Embeddings:
        """As `decode_batch`, of streams that `parse_batch` has cut into their parts."""
        if not parsed:
            return np.empty((0, self.profile.dim or 0), np.float32)
        groups: dict[tuple[Header, int], list[int]] = {}
        for i, stream in enumerate(parsed):
            groups.setdefault((stream.header, stream.parameters.symbols), []).append(i)
        dim = parsed[0].dim
        if any(parsed[rows[0]].dim != dim for rows in groups.values()):
            raise DecodeError.of_rows(
                {
                    i: f"{stream.dim} dimensions, the first has {dim}: decode each width apart"
                    for i, stream in enumerate(parsed)
                    if stream.dim != dim
                }
            )
        out = np.empty((len(parsed), dim), np.float32)

        faults: list[ClipcodecError] = []

        def work(rows: list[int]) -> None:
            with collected(faults, rows):
                out[rows] = decode_rows([parsed[i] for i in rows])

        in_threads(
            work,
            [
                part
                for (_, size), rows in groups.items()
                for part in shared_out(rows, _rows_of(size, _DECODED))
            ],
        )
        raise_merged(faults)
        return out

    def parse(self, stream: bytes) -> ParsedStream:
        """A stream cut into its parts; nothing is decoded. Raises DecodeError."""
        return parse(stream, self._owner)

    def parse_batch(self, streams: Iterable[bytes]) -> list[ParsedStream]:
        """`parse` of several streams. Raises DecodeError naming those at fault."""
        return parse_all(streams, self._owner)

    def info(self, stream: bytes) -> StreamInfo:
        """Describe a stream after checking it in full. Raises as `decode` does."""
        with placed(None):
            return describe(self.parse(stream))

    def symbols(self, stream: bytes) -> Symbols:
        """The symbols (n,) of a stream, after checking it in full. Raises as `decode` does."""
        with placed(None):
            row: Symbols = unpack([self.parse(stream)])[0]
            return row

    def _owner(self, header: Header) -> Profile:
        """The profile that a header names: ours, if it is, or a registered one."""
        if header.profile_id is not None:
            return registry.by_id(header.profile_id)
        own = self._profile
        digest = header.digest or b""
        if own is not None and own.digest[:DIGEST_BYTES] == digest:
            return own
        registered = registry.by_digest(digest)  # made before the profile was registered
        if registered is not None:
            return registered
        raise UnknownProfileError(
            f"made with a private profile whose SHA-256 begins with {digest.hex()}: "
            "give the file of that profile, profile=FILE or --profile FILE"
        )


def _no_image(image: Any, error: ImageError) -> ImageError:
    """The error about something that is no image, with a hint if it was meant for another verb."""
    if is_path_of_bytes(image):
        return type(error)(f"{error.reason}; {AS_TEXT}")
    shape = getattr(image, "shape", None)
    if shape is None and isinstance(image, (list, tuple)) and image:
        shape = (len(image),) if all(isinstance(value, Real) for value in image) else None
    if shape is None or len(shape) not in (1, 2):
        return error
    verbs = "encode_embedding takes one embedding, encode_embeddings takes many"
    if len(shape) == 1:
        return type(error)(f"{type(image).__name__} of shape {tuple(shape)} is no image: {verbs}")
    if "float" in str(getattr(image, "dtype", "")):
        return type(error)(f"{error.reason}; {verbs}")
    return error


def _check_array(x: Any) -> None:
    """Raise EmbeddingError for a path or bytes, of which numpy would make an array of text."""
    if isinstance(x, (str, bytes, os.PathLike)):
        raise EmbeddingError(
            f"{type(x).__name__} is not an array of real numbers: load a file first, with "
            "numpy.load(path) for example; encode takes images"
        )


def _rows_of(width: int, most: int) -> int:
    """How many embeddings, or rows of symbols, of this width are processed at a time."""
    return max(1, min(most, most * _WIDTH // max(width, 1)))


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
