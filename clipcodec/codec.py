"""`Codec`: what callers see. Each verb checks what it is given, and says what it does with it.

rows.py has the way from embeddings to streams and back, batches.py batches of any size, towers.py
images and texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .batches import (
    Parts,
    check_model,
    decode_all,
    encode_each,
    encode_parts,
    resolve_parts,
    unit_parts,
)
from .bitstream import DIGEST_BYTES, Header
from .columns import Columns, columns_of, parse_columns
from .embeddings import Embeddings, as_embedding, as_rows
from .entropy import Symbols
from .errors import EmbeddingError, OptionError, UnknownProfileError, brief, placed
from .profile import Profile, registry
from .rows import decode_rows, encode_rows
from .stream import ParsedStream, StreamInfo, describe, parse, parse_all, unpack
from .system.optional import missing_named
from .target import Target, TargetOptions
from .texts import as_texts
from .towers import Settings, backbone_name, load_images, load_tower, portions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .images import ImageInput
    from .models import Backbone, Templates, TextTower


class Codec:
    """Encoder and decoder for one profile; decodes the streams of all registered ones, too.

    Make one where several calls share their settings. It costs nothing: profile and backbone are
    loaded when they are first needed, and kept for all codecs of the process. Thread-safe, and can
    be pickled: a pickle holds names and paths, no weights.

    Every method that encodes takes one `Target`, or its fields by name, such as `max_bytes=50`.

    Args:
        profile: A registered name, the path of a profile file, or a loaded `Profile`; None: the
            default.
        backbone: What turns images into embeddings, for a profile that takes any (see
            `clipcodec.models.spec`); without a profile, the best one registered for it.
        device: Where the backbone runs: "cpu", "cuda", "mps", …; None chooses. With "cuda", large
            batches are also encoded and decoded there, through torch, to the same bytes.
        weights: A local file with the backbone's weights. None: what CLIPCODEC_WEIGHTS names, else
            the published ones, as open_clip finds them.
        precision: Of the backbone: "fp32", or "bf16" or "fp16", where the device has them.

    Raises:
        ProfileError: There is no profile of that name.
        WeightsError: The profile's file is missing or damaged.
        OptionError: The backbone is not the profile's, or an argument is of another type.

    Examples:
        >>> codec = clipcodec.Codec(device="cpu")
        >>> codec
        <clipcodec.Codec 'openai-vit-b-32/predictive': backbone openai-vit-b-32, device cpu, fp32>
        >>> streams = codec.encode_batch(["cat.jpg", "dog.jpg"], max_bytes=34)
        >>> codec.decode_batch(streams).shape
        (2, 512)
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
        self._carried: Callable[[], Profile | None] | None = None
        """Gives the profile that a container or column carries for its streams; set by that."""

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

    def with_profile(self, profile: str | os.PathLike[str] | Profile) -> Codec:
        """Make another codec, of this profile, that also decodes what this one decodes beside it.

        Args:
            profile: As for `Codec`.

        Returns:
            The codec. If this one belongs to a container, it knows the profile that this carries.

        Examples:
            >>> clipcodec.open("photos.clpc").codec.with_profile("any/rotation").profile.name
            'any/rotation'
        """
        made = Codec(profile)
        made._carried = self._carried
        return made

    def with_device(self, device: str | None) -> Codec:
        """Make another codec that does the same elsewhere.

        Args:
            device: As for `Codec`.

        Returns:
            The codec.

        Examples:
            >>> clipcodec.open("photos.clpc").codec.with_device("cpu").device
            'cpu'
        """
        made = copy(self)
        made._device = device
        return made

    @property
    def device(self) -> str | None:
        """The device that was given; None: the best for the backbone, the CPU for batches."""
        return self._device

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
        """Turn one image into a stream.

        Args:
            image: As for `clipcodec.encode`.
            target: What the stream must meet; None: what `options` say.
            **options: The fields of `Target` by name.

        Returns:
            The stream.

        Raises:
            ImageError: The image is missing, damaged or too large.
            OptionError: An option is out of range, or contradicts another.
            RateError: The profile cannot reach the size or fidelity asked for.
            WeightsError: The backbone's weights are missing, damaged or of another network.

        Examples:
            >>> stream = clipcodec.Codec().encode("photo.jpg", max_bytes=50)
            >>> len(stream) <= 50
            True
        """
        with placed(None):
            return self._encode_images([image], self._target(target, options, one=True))[0]

    def encode_batch(
        self,
        images: Iterable[ImageInput],
        target: Target | None = None,
        /,
        **options: Unpack[TargetOptions],
    ) -> list[bytes]:
        """Turn images into streams, in order.

        Args:
            images: Several of what `clipcodec.encode` takes, in any iterable.
            target: As for `encode`.
            **options: As for `encode`. With mean_bytes, all embeddings are made before any is
                encoded.

        Returns:
            One stream for each image.

        Raises:
            ImageError: Names the images at fault: `error.rows`, counted from 0.
            OptionError: As for `encode`, and so are RateError and WeightsError.

        Examples:
            >>> target = clipcodec.Target(max_bytes=34)
            >>> len(clipcodec.Codec().encode_batch(["cat.jpg", "dog.jpg"], target))
            2
        """
        if isinstance(images, (str, bytes, os.PathLike)):
            raise OptionError("encode_batch takes several images: encode takes one")
        with placed(0, item="image"):
            return self._encode_images(images, self._target(target, options))

    def _encode_images(self, images: Iterable[ImageInput], target: Target) -> list[bytes]:
        rows, count = list[Embeddings](), 0
        for portion in portions(images):
            with placed(count):
                rows.append(self.embed_images(portion))
            count += len(portion)
        if not rows:
            return []
        return encode_parts(self.profile, lambda: rows, target, count, self._device)

    @missing_named()
    def embed_images(self, images: Iterable[ImageInput]) -> Embeddings:
        """Turn images into embeddings by the profile's backbone, without compression.

        Args:
            images: Several of what `clipcodec.encode` takes, in any iterable.

        Returns:
            (N, D) float32, rows of unit norm.

        Raises:
            ImageError: Names the images at fault: `error.rows`, counted from 0.
            OptionError: The profile takes any backbone, and none was given.
            WeightsError: The weights are missing, damaged or of another network.

        Examples:
            >>> clipcodec.Codec().embed_images(["photo.jpg"]).shape
            (1, 512)
        """
        if isinstance(images, (str, bytes, os.PathLike)):
            raise OptionError("embed_images takes several images, in a list")
        pictures = load_images(images)  # before the tower is loaded
        embeddings = self.backbone().embed(pictures)
        check_model(self.profile, embeddings, ours=True)
        return embeddings

    @missing_named()
    def embed_texts(self, texts: Iterable[str], templates: Templates = None) -> Embeddings:
        """Turn texts into embeddings by the text tower of the same model.

        Args:
            texts: Several texts, none of them empty.
            templates: Sentences with a gap {} for the text, "imagenet" or "simple" (open_clip's
                lists), or None: the texts as they are.

        Returns:
            (N, D) float32, rows of unit norm.

        Raises:
            OptionError: A text is empty, or the profile takes any backbone and none was given.
            WeightsError: The weights are missing, damaged or of another network.

        Warns:
            BackboneWarning: A text is longer than the model takes, and was cut.

        Examples:
            >>> clipcodec.Codec().embed_texts(["dog", "cat"], templates="simple").shape
            (2, 512)
        """
        found = as_texts(texts)  # before the tower is loaded
        return self.text_tower().embed(found, templates)

    @property
    def chosen_backbone(self) -> str:
        """The backbone that was given, or the profile's, which may be "any"."""
        return self._backbone or self.profile.backbone

    @property
    def backbone_name(self) -> str:
        """Name of the image encoder; OptionError if the profile takes any and none was chosen."""
        return backbone_name(self.profile, self._backbone)

    @missing_named()
    def backbone(self) -> Backbone:
        """Load the image encoder, or return it if it is loaded.

        Returns:
            The encoder, which all codecs of the process share.

        Raises:
            OptionError: The profile takes any backbone and none was given, or the device cannot be
                used.
            WeightsError: The weights are missing, damaged or of another network.
            EmbeddingError: Its embeddings have another width than the profile takes.

        Examples:
            >>> clipcodec.Codec(device="cpu").backbone().dim
            512
        """
        from .models import Backbone

        return load_tower(Backbone, self.profile, self._wanted)

    @missing_named()
    def text_tower(self) -> TextTower:
        """Load the text encoder of the same model, or return it if it is loaded.

        Returns:
            The encoder, which all codecs of the process share.

        Raises:
            OptionError: As for `backbone`, and so are WeightsError and EmbeddingError.

        Examples:
            >>> clipcodec.Codec(device="cpu").text_tower().embed(["a dog"]).shape
            (1, 512)
        """
        from .models import TextTower

        return load_tower(TextTower, self.profile, self._wanted)

    @property
    def _wanted(self) -> Settings:
        return Settings(self._backbone, self._device, self._weights, self._precision)

    # embeddings

    def encode_embedding(
        self, x: Any, target: Target | None = None, /, **options: Unpack[TargetOptions]
    ) -> bytes:
        """Turn one embedding into a stream; torch is not needed.

        Args:
            x: (D,) real numbers of any norm. Only its direction is kept.
            target: As for `encode`.
            **options: As for `encode`.

        Returns:
            The stream.

        Raises:
            EmbeddingError: Another shape or width, zero, NaN or infinite.
            OptionError: As for `encode`, and so is RateError.

        Warns:
            BackboneWarning: The embedding lies where the profile's backbone puts none.

        Examples:
            >>> x = np.load("embeddings.npy")[0]
            >>> len(clipcodec.Codec().encode_embedding(x, max_bytes=50)) <= 50
            True
        """
        asked = self._target(target, options, one=True)
        _check_array(x)
        row = as_embedding(x)
        self.check_width(row.shape[1])
        check_model(self.profile, row, ours=False)
        with placed(None):
            return encode_rows(self.profile, row, asked)[0]

    def encode_embeddings(
        self, X: Any, target: Target | None = None, /, **options: Unpack[TargetOptions]
    ) -> list[bytes]:
        """Turn embeddings into streams; torch is not needed.

        With mean_bytes, one quality and weight are found on the rows themselves, or on 16,384 of
        more, which are chosen by a hash of their values; so an embedding gets the same stream in
        any order of the batch. The average is within 1 %, unless rows are so few that whole bytes
        cannot come as near. `resolve` gives that quality and weight.

        Args:
            X: (N, D) real numbers of any norms. Of a memory map no more than some 16,000 rows are
                in memory at a time.
            target: As for `encode`.
            **options: As for `encode`.

        Returns:
            N streams, in the order of the rows.

        Raises:
            EmbeddingError: Names the rows at fault: `error.rows`, counted from 0.
            OptionError: As for `encode`, and so is RateError.

        Warns:
            BackboneWarning: Many rows lie where the profile's backbone puts none.

        Examples:
            >>> X = np.load("embeddings.npy")
            >>> streams = clipcodec.Codec().encode_embeddings(X, quality=40)
            >>> len(streams)
            100
        """
        asked = self._target(target, options)
        rows = self._rows(X)
        parts = unit_parts(self.profile, X, rows, self._device)
        return encode_parts(self.profile, parts, asked, len(rows), self._device)

    def resolve(
        self, X: Any, target: Target | None = None, /, **options: Unpack[TargetOptions]
    ) -> Target:
        """Find the quality and weight that `mean_bytes` becomes for a sample of embeddings.

        With them, others are encoded as these would be: one at a time, or in several processes.

        Args:
            X: (N, D) real numbers of any norms, at least one row.
            target: As for `encode`.
            **options: As for `encode`.

        Returns:
            A target with a quality and a weight; one without mean_bytes as it is.

        Raises:
            EmbeddingError: There are no rows, or some are at fault.
            OptionError: As for `encode`, and so is RateError.

        Examples:
            >>> X = np.load("embeddings.npy")
            >>> codec = clipcodec.Codec()
            >>> point = codec.resolve(X[:50], mean_bytes=50)
            >>> streams = [codec.encode_embedding(x, point) for x in X[50:]]
            >>> 46 < sum(map(len, streams)) / len(streams) < 54
            True
        """
        asked = self._target(target, options)
        rows = self._rows(X)
        if asked.mean_bytes is None:
            return asked
        if not len(rows):
            raise EmbeddingError("no embeddings: mean_bytes is found on some")
        return resolve_parts(
            self.profile, unit_parts(self.profile, X, rows, self._device), asked, self._device
        )

    def resolve_parts(self, parts: Parts, target: Target, /) -> Target:
        """Do what `resolve` does, with rows that are read part by part.

        Args:
            parts: Gives rows (n, D) of unit norm, all of them each time it is called.
            target: What is asked.

        Returns:
            As `resolve`; if there are no rows, the target as it is.

        Examples:
            >>> X = np.load("embeddings.npy")
            >>> target = clipcodec.Target(mean_bytes=50)
            >>> point = clipcodec.Codec().resolve_parts(lambda: [X[:50], X[50:]], target)
            >>> point.mean_bytes is None
            True
        """
        return resolve_parts(self.profile, parts, target, self._device)

    def _rows(self, X: Any) -> NDArray[Any]:
        _check_array(X)
        rows = as_rows(X)
        if rows.shape != (0, 0):
            self.check_width(rows.shape[1], len(rows))
        return rows

    def encode_each(self, rows: Sequence[Embeddings], target: Target) -> list[bytes]:
        """Turn rows that may differ in width into streams.

        Args:
            rows: Embeddings (D,) of unit norm, float32.
            target: What the streams must meet, without mean_bytes.

        Returns:
            One stream for each row.

        Raises:
            RateError: Names the rows at fault.

        Examples:
            >>> codec = clipcodec.Codec("any/rotation")
            >>> rows = [np.eye(1, dim, dtype=np.float32)[0] for dim in (8, 16)]
            >>> len(codec.encode_each(rows, clipcodec.Target(quality=50)))
            2
        """
        return encode_each(self.profile, rows, target, self._device)

    def check_width(self, dim: int, count: int | None = None) -> None:
        """Raise an error unless the profile takes embeddings of this width; it names those that do.

        Args:
            dim: The width D.
            count: How many embeddings have it, for the message.

        Raises:
            EmbeddingError: The profile takes another width.

        Examples:
            >>> clipcodec.Codec().check_width(768)
            Traceback (most recent call last):
            clipcodec.errors.EmbeddingError: 768 dimensions, profile ... takes 512: choose ...
        """
        if self.profile.dim in (None, dim):
            return
        what = "" if count is None else f"{count} embeddings of "
        raise EmbeddingError(
            f"{what}{dim} dimensions, profile {self.profile.name} takes {self.profile.dim}: "
            f"choose {' or '.join(registry.fitting(dim))}, if it was made for this model, or learn "
            "one from them (clipcodec compress --train)"
        )

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

    # streams

    def decode(self, stream: bytes | str) -> Embeddings:
        """Turn one stream into its embedding.

        Args:
            stream: A stream of this profile or a registered one: its bytes, or its text
                (`clipcodec.to_text`).

        Returns:
            (D,) float32, unit norm.

        Raises:
            DecodeError: These bytes are no stream, cut, damaged, or of an unknown profile. Any
                bytes give an embedding or this error.
            WeightsError: A registered profile cannot be read from this installation.

        Examples:
            >>> clipcodec.Codec().decode(clipcodec.open("photos.clpc")[0]).shape
            (512,)
        """
        with placed(None):
            row: Embeddings = decode_rows([self.parse(stream)])[0]
            return row

    def decode_batch(self, streams: Iterable[bytes | str]) -> Embeddings:
        """Turn streams into embeddings.

        Args:
            streams: N streams, bytes or text, whose embeddings have one width D.

        Returns:
            (N, D) float32, rows of unit norm, in the order of the streams.

        Raises:
            DecodeError: Names the streams at fault: `error.rows`, counted from 0.

        Examples:
            >>> clipcodec.Codec().decode_batch(clipcodec.open("photos.clpc")).shape
            (100, 512)
        """
        return self._decode_columns(self._parse_columns(streams))

    def decode_parsed(self, parsed: Sequence[ParsedStream]) -> Embeddings:
        """Turn streams that `parse_batch` has cut into their parts into embeddings.

        Args:
            parsed: N streams, whose embeddings have one width D.

        Returns:
            (N, D) float32, rows of unit norm.

        Raises:
            DecodeError: As `decode_batch`.

        Examples:
            >>> codec = clipcodec.Codec()
            >>> parsed = codec.parse_batch(clipcodec.open("photos.clpc")[:10])
            >>> codec.decode_parsed(parsed).shape
            (10, 512)
        """
        return self._decode_columns(columns_of(parsed))

    def _parse_columns(self, streams: Iterable[bytes | str]) -> list[Columns]:
        return parse_columns(streams, self._owner)

    def _decode_columns(self, columns: Sequence[Columns]) -> Embeddings:
        if not columns:
            return np.empty((0, self.profile.dim or 0), np.float32)
        return decode_all(columns, self._device)

    def parse(self, stream: bytes | str) -> ParsedStream:
        """Cut a stream into its parts, without decoding it.

        Args:
            stream: A stream: its bytes, or its text.

        Returns:
            Profile, header, parameters and payload (formats/clipcodec-1.md).

        Raises:
            DecodeError: The header is no stream's, or names an unknown profile.

        Examples:
            >>> parsed = clipcodec.Codec().parse(clipcodec.open("photos.clpc")[0])
            >>> parsed.profile.name, parsed.dim
            ('openai-vit-b-32/predictive', 512)
        """
        return parse(stream, self._owner)

    def parse_batch(self, streams: Iterable[bytes | str]) -> list[ParsedStream]:
        """Cut streams into their parts, without decoding them.

        Args:
            streams: Several streams.

        Returns:
            What `parse` gives, for each.

        Raises:
            DecodeError: Names the streams at fault: `error.rows`, counted from 0.

        Examples:
            >>> parsed = clipcodec.Codec().parse_batch(clipcodec.open("photos.clpc"))
            >>> {stream.dim for stream in parsed}
            {512}
        """
        return parse_all(streams, self._owner)

    def info(self, stream: bytes | str) -> StreamInfo:
        """Check a stream in full, and describe it.

        Args:
            stream: A stream: its bytes, or its text.

        Returns:
            Its profile, quality, entropy coder, width and sizes.

        Raises:
            DecodeError: As for `decode`.

        Examples:
            >>> clipcodec.Codec().info(clipcodec.open("photos.clpc")[0]).symbols
            512
        """
        with placed(None):
            return describe(self.parse(stream))

    def symbols(self, stream: bytes | str) -> Symbols:
        """Give the symbols of a stream, after checking it in full.

        Args:
            stream: A stream: its bytes, or its text.

        Returns:
            (n,) int64: what the entropy coder had to say (formats/clipcodec-1.md, and the profile's
                kind).

        Raises:
            DecodeError: As for `decode`.

        Examples:
            >>> clipcodec.Codec().symbols(clipcodec.open("photos.clpc")[0]).shape
            (512,)
        """
        with placed(None):
            row: Symbols = unpack([self.parse(stream)])[0]
            return row

    def _owner(self, header: Header) -> Profile:
        """The profile that a header names: ours, if it is, a registered one, or one beside it."""
        if header.profile_id is not None:
            return registry.by_id(header.profile_id)
        own = self._profile
        digest = header.digest or b""
        if own is not None and own.digest[:DIGEST_BYTES] == digest:
            return own
        registered = registry.by_digest(digest)  # made before the profile was registered
        if registered is not None:
            return registered
        carried = None if self._carried is None else self._carried()
        if carried is not None and carried.digest[:DIGEST_BYTES] == digest:
            return carried
        other = (
            f", not with the one that the container carries, {brief(carried.name)}"
            if carried
            else ""
        )
        raise UnknownProfileError(
            f"made with a private profile whose SHA-256 begins with {digest.hex()}{other}: "
            "give the file of that profile, or a container that carries it, profile=FILE or "
            "--profile FILE"
        )


def _check_array(x: Any) -> None:
    """Raise EmbeddingError for a path or bytes, of which numpy would make an array of text."""
    if isinstance(x, (str, bytes, os.PathLike)):
        raise EmbeddingError(
            f"{type(x).__name__} is not an array of real numbers: load a file first, with "
            "numpy.load(path) for example; encode takes images"
        )
