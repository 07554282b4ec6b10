"""What a caller asks of an encoder: how large, how close, which entropy coder. Nothing is encoded.

`mean_bytes` is about many streams together; `mean.py` turns it into a quality and a weight.

A new option is a field here; nothing else lists them but the public functions of `api.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from typing import Any, Protocol, TypedDict

from .embeddings import Embeddings, as_embeddings
from .errors import EmbeddingError, OptionError

AUTO = "auto"
MOST_TEXTS = 1 << 14  # whose probabilities the encoder looks at; bounds its memory
_GOALS = ("quality", "max_bytes", "min_cosine", "mean_bytes")  # of which at most one is given


class TargetOptions(TypedDict, total=False):
    """The fields of `Target` as keyword arguments."""

    quality: float | None
    max_bytes: int | None
    min_cosine: float | None
    mean_bytes: float | None
    weight: float | None
    entropy: str
    effort: int
    texts: Any


class Checkable(Protocol):
    """What a target is checked against: a profile; see `clipcodec.profile.Profile`."""

    @property
    def name(self) -> str: ...
    @property
    def coders(self) -> tuple[str, ...]: ...
    @property
    def qualities(self) -> int: ...
    @property
    def bits(self) -> int | None: ...


@dataclass(frozen=True)
class Target:
    """What streams must meet: at most one of quality, max_bytes, min_cosine and mean_bytes.

    With none of these four, the profile's default quality is taken.

    Attributes:
        quality: 1 (coarse) … 100 (fine), a whole number.
        max_bytes: Most bytes of a whole stream, filled as well as can be.
        min_cosine: 0 … 1, the least cosine between an embedding and the decoded one.
        mean_bytes: Bytes of a whole stream on average, or of a container per item where one is
            written: one quality and weight for all, so for many embeddings at once only.
        weight: With a quality: the factor on what a bit costs the encoder (λ), for sizes between
            two qualities, 0.001 … 1000; above 1 streams are smaller, below 1 larger.
            `Codec.resolve` finds it.
        entropy: The entropy coder: "raw", "huffman", "rans", or "auto", the shortest.
        effort: 1 … 9, the encoder's alone: how long it may look for streams that keep more of what
            texts would notice. 9 takes ten to fifty times as long as 1.
        texts: (M, D) embeddings of the texts that matter, of any norm, such as labels or queries;
            None: the profile's own, of common things. They count with an effort above 1.

    Raises:
        OptionError: A value is out of range, or two contradict each other.

    Examples:
        >>> target = clipcodec.Target(max_bytes=50, effort=5)
        >>> target
        Target(max_bytes=50, effort=5)
        >>> len(clipcodec.Codec().encode("photo.jpg", target)) <= 50
        True
    """

    quality: float | None = None
    max_bytes: int | None = None
    min_cosine: float | None = None
    mean_bytes: float | None = None
    weight: float | None = None
    entropy: str = AUTO
    effort: int = 1
    texts: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = [name for name in _GOALS if getattr(self, name) is not None]
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} contradict each other: give one of them")
        if self.weight is not None:
            if self.quality is None:
                raise OptionError(f"weight={self.weight!r} goes with a quality: give one, too")
            given.append("weight")
        for name in given:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise OptionError(f"{name}={value!r} is not a number")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise OptionError(f"quality={self.quality} is not in 1 … 100")
        if self.max_bytes is not None and (not self.max_bytes >= 1 or self.max_bytes % 1 != 0):
            raise OptionError(f"max_bytes={self.max_bytes} is not a positive whole number")
        if self.min_cosine is not None and not 0 <= self.min_cosine <= 1:
            raise OptionError(f"min_cosine={self.min_cosine} is not in 0 … 1")
        if self.mean_bytes is not None and not 0 < self.mean_bytes < float("inf"):
            raise OptionError(f"mean_bytes={self.mean_bytes} is not a positive number")
        if self.weight is not None and not 1e-3 <= self.weight <= 1e3:
            raise OptionError(f"weight={self.weight} is not in 0.001 … 1000")
        if not isinstance(self.entropy, str):
            raise OptionError(f"entropy={self.entropy!r} is not the name of an entropy coder")
        if isinstance(self.effort, bool) or self.effort not in range(1, 10):
            raise OptionError(f"effort={self.effort!r} is not a whole number in 1 … 9")
        object.__setattr__(self, "effort", int(self.effort))
        if self.texts is not None:
            object.__setattr__(self, "texts", _texts(self.texts))
        for name in given:  # numpy's numbers as Python's, which JSON can hold
            kind = int if name == "max_bytes" else float
            object.__setattr__(self, name, kind(getattr(self, name)))

    def __repr__(self) -> str:
        from .system.shown import array, fields

        found = fields(self, (*_GOALS, "weight"))
        if self.effort != 1:
            found += f"{', ' * bool(found)}effort={self.effort}"
        if self.texts is not None:
            found += f"{', ' * bool(found)}texts=<{array(self.texts)}>"
        if self.entropy != AUTO:
            found += f"{', ' * bool(found)}entropy={self.entropy!r}"
        return f"Target({found})"

    def check(self, profile: Checkable, *, one: bool = False) -> None:
        """Raise an error unless streams of this profile can be asked for this.

        Args:
            profile: A loaded profile.
            one: It is about a single embedding, which has no mean.

        Raises:
            OptionError: The profile has no such quality or entropy coder, or one fixed rate.

        Examples:
            >>> clipcodec.Target(max_bytes=50).check(clipcodec.Codec().profile)
        """
        self.coders(profile)
        if self.mean_bytes is not None:
            self._check_mean(profile, one=one)
        if self.quality is None:
            return
        if not profile.qualities:
            raise OptionError(
                f"profile {profile.name} has one fixed rate: choose a profile, not a quality"
            )
        if self.quality % 1:
            raise OptionError(f"quality={self.quality}: profile {profile.name} has whole ones only")

    def _check_mean(self, profile: Checkable, *, one: bool) -> None:
        if one:
            raise OptionError(
                "mean_bytes is an average over many: for one embedding give max_bytes or quality"
            )
        if not profile.qualities:
            size = "" if profile.bits is None else f" of {profile.bits / 8:g} bytes before coding"
            raise OptionError(
                f"profile {profile.name} has one fixed rate{size}: choose a profile, not mean_bytes"
            )

    def coders(self, profile: Checkable) -> tuple[str, ...]:
        """Name the entropy coders to try, of which the shortest result is taken.

        Args:
            profile: A loaded profile.

        Returns:
            Names, in the order they are tried.

        Raises:
            OptionError: The profile has no such entropy coder.

        Examples:
            >>> clipcodec.Target(entropy="rans").coders(clipcodec.Codec().profile)
            ('rans',)
        """
        if self.entropy == AUTO:
            return profile.coders
        if self.entropy not in profile.coders:
            raise OptionError(
                f"entropy={self.entropy!r}: profile {profile.name} has {AUTO}, "
                f"{', '.join(profile.coders)}"
            )
        return (self.entropy,)

    def identity(self) -> dict[str, Any]:
        """Say what tells it from other targets, for JSON.

        Returns:
            Its fields; texts as the SHA-256 of their numbers.

        Examples:
            >>> clipcodec.Target(max_bytes=50).identity()["max_bytes"]
            50
        """
        fields = asdict(replace(self, texts=None))
        if self.texts is not None:
            fields["texts"] = hashlib.sha256(self.texts.tobytes()).hexdigest()
        return fields

    def stricter(self) -> Target:
        """Ask for one byte less, or for a little closer: for streams that missed this target.

        Returns:
            A target; this one if it asks for neither.

        Examples:
            >>> clipcodec.Target(max_bytes=50).stricter()
            Target(max_bytes=49)
        """
        if self.max_bytes is not None:
            return replace(self, max_bytes=max(int(self.max_bytes) - 1, 1))
        if self.min_cosine is not None:
            return replace(self, min_cosine=1 - 0.97 * (1 - self.min_cosine))
        return self


def _texts(given: Any) -> Embeddings:
    """Embeddings of texts, or `TextEmbeddings`, as rows of unit norm. Raises OptionError."""
    try:
        rows = as_embeddings(getattr(given, "embeddings", given))
    except EmbeddingError as error:
        raise OptionError(f"texts: {error}") from error
    if not 2 <= len(rows) <= MOST_TEXTS:
        raise OptionError(f"texts: {len(rows)} of them, expected 2 … {MOST_TEXTS}")
    return rows
