"""What a comparison of profiles found, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..system.shown import counted, sized
from ..target import Target
from .table import COLUMNS, aligned

_SHOWN = ("bytes", "cosine", "cosine05", "neighbours", "top1", "agree", "kl", "prototype", "knn")
_TASKS = ("top1", "prototype", "knn")  # that say something of the originals, too
_TITLES = {
    "max_bytes": "at most {:g} bytes", "mean_bytes": "{:g} bytes on average",
    "min_cosine": "a cosine of {:g} at least", "quality": "quality {:g}",
}  # fmt: skip
_ANSWERS = {  # with the values of a target, the best profile, and what it keeps or takes
    "max_bytes": "at {} bytes {} keeps most: cosine {}",
    "mean_bytes": "at {} bytes on average {} keeps most: cosine {}",
    "min_cosine": "for a cosine of {} {} takes the fewest bytes: {}",
}  # fmt: skip
CROWD = 50  # rows among which it means something that the ten nearest stay


@dataclass(frozen=True)
class ComparedProfile:
    """A profile that was compared.

    Attributes:
        name: As it was given.
        trained: Whether it was made from embeddings, which those compared may be unlike.
        unlike: In words, how they are unlike those; None: they are like them.
        strays: Share of the rows that are.
        size: Bytes that it takes in a container that carries it; None: it is registered, so that
            none needs to, or too large.

    Examples:
        >>> from clipcodec.evaluation.compare import compare
        >>> rows = np.load("embeddings.npy")
        >>> found = compare(rows, ["any/rotation"], targets=[clipcodec.Target(quality=50)])
        >>> found.profiles[0].trained
        False
    """

    name: str
    trained: bool
    unlike: str | None = None
    strays: float = 0.0
    size: int | None = None


@dataclass(frozen=True)
class Measured:
    """A profile with a target, and what is kept.

    Attributes:
        profile: The profile.
        target: The target.
        found: As `clipcodec.evaluation.metrics.Measures` has it, `bytes` (the mean) and `most`;
            empty where the profile cannot do it.
        reason: Why it cannot.

    Examples:
        >>> from clipcodec.evaluation.compare import compare
        >>> rows = np.load("embeddings.npy")
        >>> found = compare(rows, ["any/rotation"], targets=[clipcodec.Target(max_bytes=50)])
        >>> found.points[0].found["most"] <= 50
        True
    """

    profile: ComparedProfile
    target: Target
    found: Mapping[str, float]
    reason: str | None = None


@dataclass(frozen=True)
class Comparison:
    """What `clipcodec.evaluation.compare.compare` found.

    Attributes:
        rows: How many rows were measured.
        examples: How many others told classes apart, with labels.
        given: How many rows there are.
        dim: Their width D.
        items: How many embeddings are said to share a container, and a profile in it.
        original: What the rows as they are give: bytes, and accuracy with labels or texts.
        profiles: Those compared.
        left_out: Those that were not, with the reason.
        points: Each profile at each target, all profiles of a target together.

    Examples:
        >>> from clipcodec.evaluation.compare import compare
        >>> rows = np.load("embeddings.npy")
        >>> found = compare(rows, ["any/rotation"], targets=[clipcodec.Target(max_bytes=50)])
        >>> found.rows, found.dim
        (100, 512)
    """

    rows: int
    examples: int
    given: int
    dim: int
    items: int
    original: Mapping[str, float]
    profiles: tuple[ComparedProfile, ...]
    left_out: tuple[str, ...]
    points: tuple[Measured, ...]

    def best(self, target: Target) -> Measured | None:
        """Choose what keeps most in the size asked, or takes the fewest bytes for the cosine asked.

        Args:
            target: One of those compared at.

        Returns:
            None if no profile could do it, or if a quality was asked, where neither is fixed.

        Examples:
            >>> from clipcodec.evaluation.compare import compare
            >>> rows = np.load("embeddings.npy")
            >>> target = clipcodec.Target(max_bytes=50)
            >>> compare(rows, targets=[target]).best(target).profile.name
            'openai-vit-b-32/predictive'
        """
        points = [p for p in self.points if p.target == target and p.found]
        if not points or _goal(target)[0] not in _ANSWERS:
            return None
        if target.min_cosine is not None:
            return min(points, key=lambda point: point.found["bytes"])
        return max(points, key=lambda point: point.found["cosine"])

    @property
    def fits(self) -> bool:
        """Whether a trained profile, for rows like most of these, is the best at some target."""
        fitting = [profile for profile in self.profiles if profile.trained and profile.strays < 0.5]
        targets = dict.fromkeys(point.target for point in self.points)
        best = [point.profile for target in targets if (point := self.best(target)) is not None]
        return any(profile in fitting for profile in best) if best else bool(fitting)

    def lines(self, train: str | None = None) -> list[str]:
        """Tell it in plain text: a table, what belongs to it, and the answer.

        Args:
            train: What to do where no trained profile fits, a command; None: it is not said.

        Returns:
            Lines.

        Examples:
            >>> from clipcodec.evaluation.compare import compare
            >>> rows = np.load("embeddings.npy")
            >>> target = clipcodec.Target(max_bytes=50)
            >>> compare(rows, ["any/rotation"], targets=[target]).lines()[1]
            'at most 50 bytes'
        """
        return [*self._table(), *self._notes(), *self._answer(train)]

    def records(self) -> Iterator[dict[str, Any]]:
        """Tell it for programs.

        Yields:
            For the rows as they are, and for each point, what JSON can hold.

        Examples:
            >>> from clipcodec.evaluation.compare import compare
            >>> rows = np.load("embeddings.npy")
            >>> target = clipcodec.Target(max_bytes=50)
            >>> found = compare(rows, ["any/rotation"], targets=[target])
            >>> [record["profile"] for record in found.records()]
            [None, 'any/rotation']
        """
        common = {"rows": self.rows, "of": self.given, "dim": self.dim}
        if self.examples:
            common["examples"] = self.examples
        yield {"profile": None, **common, **self.original}
        for point in self.points:
            goal, value = _goal(point.target)
            record: dict[str, Any] = {"profile": point.profile.name, goal: value, **common}
            if point.profile.size is not None:
                record["profile_bytes"] = point.profile.size
                record["profile_bytes_each"] = round(point.profile.size / self.items, 5)
            if point.profile.unlike is not None:
                record["unlike"] = point.profile.unlike
            kept: dict[str, Any] = {**point.found} or {"error": point.reason}
            yield record | kept

    def _table(self) -> list[str]:
        rows: list[tuple[str, Mapping[str, float] | str]] = []
        if any(key in self.original for key in _TASKS):
            rows.append(("uncompressed", self.original))
        title = None
        for point in self.points:
            if point.target != title:
                title = point.target
                rows.append((_title(title), ""))
            rows.append((f"  {point.profile.name}", point.found or point.reason or ""))
        found = [point.found for point in self.points if point.found]
        keys = [key for key in _SHOWN if any(key in point for point in found)]
        what = counted(self.rows, "row")
        if self.rows != self.given:
            what += f" of {self.given:,}"
        columns = {key: COLUMNS[key] for key in keys}
        return aligned([(n, p if isinstance(p, str) else dict(p)) for n, p in rows], columns, what)

    def _notes(self) -> list[str]:
        lines = []
        if self.examples:
            lines.append(
                f"prototype and knn: {counted(self.examples, 'other row')} are examples of the "
                "classes, and not compressed"
            )
        if self.rows < CROWD:
            lines.append(f"10-nn: not measured, as it needs {CROWD} rows")
        for profile in self.profiles:
            if profile.unlike is not None:
                lines.append(f"{profile.name}: {profile.unlike}")
            if profile.size is not None:
                lines.append(
                    f"{profile.name}: in a container it takes {sized(profile.size)} itself, "
                    f"{self._share(profile.size)} bytes for each of {self.items:,} embeddings"
                )
        lines += [f"left out: {reason}" for reason in self.left_out]
        return ["", *lines] if lines else []

    def _share(self, size: int) -> str:
        share = size / self.items
        return f"{share:.2g}" if share < 1 else f"{share:,.1f}"

    def _answer(self, train: str | None) -> list[str]:
        lines = []
        targets = dict.fromkeys(point.target for point in self.points)
        best = [point for target in targets if (point := self.best(target)) is not None]
        for points in _alike(best) if len(self.profiles) > 1 else []:
            goal = _goal(points[0].target)[0]
            key, form = ("bytes", "{:.1f}") if goal == "min_cosine" else ("cosine", "{:.3f}")
            values = [f"{_goal(point.target)[1]:g}" for point in points]
            found = [form.format(point.found[key]) for point in points]
            name = points[0].profile.name
            alone = ", its own size not counted" if points[0].profile.size is not None else ""
            answer = _ANSWERS[goal].format(_listed(values), name, _listed(found))
            lines.append(answer + alone)
        if not self.fits and train is not None:
            lines.append(f"no trained profile here is for rows like these; train one: {train}")
        return ["", *lines] if lines else []


def _alike(points: Sequence[Measured]) -> list[list[Measured]]:
    """Points of one profile and one sort of target together."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for point in points:
        groups.setdefault((point.profile.name, _goal(point.target)[0]), []).append(point)
    return list(groups.values())


def _listed(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"


def _goal(target: Target) -> tuple[str, float | None]:
    """Which field says what is asked, and its value; a profile's own quality if none does."""
    for name in _TITLES:
        value = getattr(target, name)
        if value is not None:
            return name, value
    return "quality", None


def _title(target: Target) -> str:
    goal, value = _goal(target)
    return "default quality" if value is None else _TITLES[goal].format(value)
