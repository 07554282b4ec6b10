"""Claims whose numbers are those of the benchmarks' result files."""

from __future__ import annotations

from statistics import median

from clipcodec.evaluation.results import Point

from .benches import figure
from .claim import Claim
from .kept import OURS, PQVAE, Kept, Missing, field_of, whole

EFFORT, POINTING = "docs/results/effort.json", "docs/results/pointing.json"
CORRUPTION, SEARCH = "docs/results/corruption.json", "docs/results/search.json"
SERVICE = "docs/results/service.json"
SPEED, SCALE = "docs/results/speed.json", "docs/results/scale.json"


def first(kept: Kept, name: str, **fields: str) -> Point:
    """The first point of a file that has these fields."""
    for point in kept.points(name):
        if all(point.get(field) == value for field, value in fields.items()):
            return point
    raise Missing(f"{name}.json has no point with {fields}")


def rounded(value: float, digits: int = 2) -> str:
    return whole(float(f"{value:.{digits}g}"))


def unseen(kept: Kept) -> list[str]:
    """One damaged stream in so many passes, at most: of the worst coder, rounded down."""
    worst = min(point["at_most_one_in"] for point in kept.points("corruption"))
    return [whole(worst // 10_000 * 10_000)]


def ways(kept: Kept) -> list[Point]:
    return [way for point in kept.points("corruption") for way in point["ways"].values()]


def one_entry(kept: Kept) -> list[str]:
    """Of the least entry without a stream that passed: its number and its limit."""
    none = [way for way in ways(kept) if way["passed"] == 0]
    if not none:
        raise Missing("corruption.json has no entry of 0: word this sentence anew")
    least = min(none, key=lambda way: float(way["damaged"]))
    return [whole(least["damaged"]), whole(least["at_most_one_in"])]


def swapped(kept: Kept) -> list[str]:
    detail = field_of(kept.point("predictive", "corruption"), "detail", "corruption")
    found = detail["adjacent bytes swapped"]
    return [whole(found["passed"]), whole(found["damaged"])]


def beyond(kept: Kept) -> list[str]:
    """Bytes beyond the information, of the profiles of one rate."""
    points = [p for p in kept.points("overhead") if p["key"].startswith(PQVAE)]
    means = [point["beyond"] for point in points]
    return [f"{min(means):.1f}", f"{max(means):.1f}",
            f"{max(point['beyond_most'] for point in points):.2f}"]  # fmt: skip


def named_words(kept: Kept) -> list[str]:
    many, one = (kept.point(f"classify items.clpc --labels {name}.safetensors", "words")
                 for name in ("labels", "one"))  # fmt: skip
    return [figure(many["cpu_seconds"]), figure(one["cpu_seconds"]), figure(many["peak_mib"])]


def searched(kept: Kept) -> list[str]:
    point = first(kept, "search", study="speed")
    clock = {"processor": "processor time", "wall": "wall-clock time"}[point["clock"]]
    threads = point["threads_used"]
    return [whole(point["items"]), clock, f"{threads} thread{'s' if threads > 1 else ''}"]


def multiply_adds(kept: Kept) -> list[str]:
    point = kept.point("million: matrix products, float32, all cores", "million")
    return [f"{point['multiply_adds_per_row'] / 1e6:.2f}"]


def limited(kept: Kept) -> list[str]:
    rates = [point["encode_per_second"] for point in kept.points("scale")
             if "max_bytes" in point["key"]]  # fmt: skip
    return [rounded(median(rates))]


def request(kept: Kept, field: str = "ms", target: str = "", verb: str = "encode") -> float:
    """A figure of one request with the default profile."""
    return kept.value(f"{verb}: {OURS} {target}".strip(), field, "service")


def served(kept: Kept) -> list[str]:
    """How many times as long as `quality` one request takes with `max_bytes`."""
    return [f"{request(kept, target='max_bytes=50') / request(kept):.0f}"]


def together(kept: Kept) -> list[str]:
    """How many times as long one request takes alone as in a batch, with either target."""
    return [f"{request(kept, 'ms', target) / request(kept, 'batch_ms', target):.0f}"
            for target in ("", "max_bytes=50")]  # fmt: skip


def recall(kept: Kept) -> Point:
    return first(kept, "search", study="recall")


BY_BENCHES = [
    Claim(
        "docs/benchmarks.md",
        "The same {} rows.",
        SCALE,
        lambda r: [whole(r.points("scale")[0]["items"])],
    ),
    Claim(
        "docs/benchmarks.md",
        "Decoding a row takes {} million multiply-adds",
        "docs/results/million.json",
        multiply_adds,
    ),
    Claim("docs/benchmarks.md", "some {} embeddings per second", SCALE, limited),
    Claim(
        "docs/benchmarks.md",
        "Of {} rows, the ones above repeated",
        "docs/results/beside.json",
        lambda r: [whole(r.points("beside")[0]["items"])],
    ),
    Claim(
        "docs/benchmarks.md",
        "Of {} rows, by the default profile and quality.",
        "docs/results/products.json",
        lambda r: [whole(r.points("products")[0]["items"])],
    ),
    Claim(
        "docs/cookbook/web-service.md",
        "For one request `max_bytes=50` takes {} times as long,",
        SERVICE,
        served,
    ),
    Claim(
        "docs/cookbook/web-service.md",
        "In a batch of 32 it takes {} times less by `quality`, and {} times less by "
        "`max_bytes=50`.",
        SERVICE,
        together,
    ),
    Claim(
        "docs/cookbook/web-service.md",
        "one that only decodes took {} MiB",
        SERVICE,
        lambda r: [whole(request(r, "peak_mib", verb="decode"))],
    ),
    Claim(
        "docs/effort.md",
        "On {} images of 200 ImageNet classes that neither",
        EFFORT,
        lambda r: [whole(r.points("effort")[0]["images"])],
    ),
    Claim(
        "docs/effort.md",
        "(One image is {} %, so",
        EFFORT,
        lambda r: [f"{100 / r.points('effort')[0]['images']:.2f}"],
    ),
    Claim(
        "docs/inside-other-formats.md",
        "Less than one damaged stream in {} passes",
        CORRUPTION,
        unseen,
    ),
    Claim(
        "docs/pointing.md",
        "{} times {} photos of as many ImageNet classes",
        POINTING,
        lambda r: [whole(r.points("pointing")[0][name]) for name in ("trials", "photos")],
    ),
    Claim(
        "docs/profiles.md",
        "take {} to {} bytes of a stream on average, beyond the information in its symbols by the "
        "frequency tables, and at most {} in these rows",
        "docs/results/overhead.json",
        beyond,
    ),
    Claim(
        "docs/profiles.md",
        "decodes a stream in {} s",
        SPEED,
        lambda r: [f"{r.value('fresh interpreter, import and decode', 'seconds', 'speed'):.2f}"],
    ),
    Claim(
        "docs/search-measured.md",
        "The collection is {} images",
        SEARCH,
        lambda r: [whole(recall(r)["images"])],
    ),
    Claim(
        "docs/search-measured.md",
        "Queries are {} more of these images, as floats and not in the collection, and the class "
        "texts of ImageNet's {} held-out classes",
        SEARCH,
        lambda r: [whole(recall(r)[name]) for name in ("queries", "texts")],
    ),
    Claim(
        "docs/search-measured.md",
        "{} rows of 512 numbers, ten hits per query, in {} on {}.",
        SEARCH,
        searched,
    ),
    Claim("docs/security.md", "less than one damaged stream in {} passes", CORRUPTION, unseen),
    Claim(
        "docs/testing.md",
        "some {} damaged streams of each coder and kind",
        CORRUPTION,
        lambda r: [rounded(min(point["damaged"] for point in r.points("corruption")), 3)],
    ),
    Claim(
        "docs/testing.md",
        "Some {} damaged streams in each column",
        CORRUPTION,
        lambda r: [rounded(median(way["damaged"] for way in ways(r)))],
    ),
    Claim(
        "docs/testing.md",
        "none of {} is less than 1 in {}.",
        CORRUPTION,
        one_entry,
    ),
    Claim(
        "docs/testing.md",
        "In the run of the table {} of {} such streams passed",
        CORRUPTION,
        swapped,
    ),
    Claim(
        "docs/words.md",
        "take {} seconds of a processor core, with one label {}, and {} MiB.",
        "docs/results/words.json",
        named_words,
    ),
]
