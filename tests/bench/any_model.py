"""Profiles learned from the rows themselves, for embeddings that no shipped profile fits.

    python tests/bench/any_model.py DATA [--only STUDY …] [--quick]

DATA is a folder with the folders clip-vit-l-14-openai and clip-vit-b-32-openai. Half an hour on
one core. Three sources of embeddings:

    images     ViT-L/14's, as if no profile for it existed: train.safetensors, and to test the
               photographs and news pictures of test.safetensors
    texts      text embeddings of ViT-B/32: names of classes and of things; every fifth to test
    synthetic  Gaussian with a known covariance: a mean of length 0.5, and variances that fall as
               1 / i; 512 dimensions

and four studies:

    unseen     learned on all training rows, measured on the rows to test, at most 50 bytes each
    file       N rows with their own profile in one container, 50 bytes on average without the
               profile; any/rotation in a file of the same size
    share      what the profile of such a container takes of it, by the number of items
    limits     where a profile stops helping: few rows, many dimensions, embeddings that are nearly
               uniform on the sphere; synthetic rows

    bytes      of a stream (`unseen`), or of the whole file for each item
    profile    bytes of the profile in the container
    rank       coefficients that it keeps
    cosine     to the original, mean; `cosine05`: 5 % are below it
    share      of the profile for each item, if a container holds as many as were learned from
    beside     cosine in as many bytes more, as a file with a registered profile could give them
    rotation   cosine of any/rotation in as many bytes
    opq        of faiss's OPQ with codes of 48 bytes, its own tables not counted, trained on
               the same rows
    shipped    of the shipped profile for this model
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import kept
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

import clipcodec
from clipcodec import BackboneWarning, Codec, Target
from clipcodec.bulk import Job
from clipcodec.embeddings import normalise
from clipcodec.errors import RateError
from clipcodec.evaluation.peers.faiss_codecs import import_faiss
from clipcodec.profile.registry import UNTRAINED
from clipcodec.training.learn import Learned, learn

SHIPPED = "openai-vit-l-14-336/predictive"
LIMIT = 50  # bytes of a stream
PRIVATE = 4  # bytes that the header of a private stream is longer, which a container shares
SEED = 0
MODULES = (
    *kept.OUR_CODE,
    "training/learn.py",
    "training/choosing.py",
    "training/rank.py",
    "training/compact.py",
    "training/principal.py",
    "training/level_tables.py",
)
OPQ_AT = 5000  # items; it trains for minutes
FILES = (500, 1000, 2000, 5000, 17161)
SHARES = (1000, 10_000, 100_000, 1_000_000)
FEW = (100, 200, 500, 1000, 2000)
WIDTHS = (64, 256, 1024, 4096)
FALLS = (0.0, 0.25, 0.5, 1.0, 2.0)

STUDIES = ("unseen", "file", "share", "limits")

Rows = NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=STUDIES, metavar="STUDY",
                        help=f"some of {', '.join(STUDIES)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few rows, to see that it runs")
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore", BackboneWarning)
    sources = {name: make(args.data) for name, make in SOURCES.items()}
    if args.quick:
        sources = {name: source.first(600) for name, source in sources.items()}
    for name in args.only:
        file = kept.Kept("any_model", args, study=name)
        with tempfile.TemporaryDirectory(prefix="clipcodec-") as folder:
            getattr(Study(file, sources, Path(folder), quick=args.quick), name)()
        file.finish()


class Source(NamedTuple):
    """Embeddings of one model.

    fit     (N, D) rows to learn from
    tests   rows to test, by name
    groups  (N,) what the rows to learn from belong to, if that is known
    """

    fit: Rows
    tests: dict[str, Rows]
    groups: NDArray[Any] | None = None

    def first(self, count: int) -> Source:
        groups = None if self.groups is None else self.groups[:count]
        tests = {name: rows[: count // 6] for name, rows in self.tests.items()}
        return Source(self.fit[:count], tests, groups)


def images(data: Path) -> Source:
    folder = data / "clip-vit-l-14-openai"
    fit, test = (load_file(folder / f"{name}.safetensors") for name in ("train", "test"))
    tests = {"photographs": unit(test["things"]), "news pictures": unit(test["news_336px"])}
    return Source(unit(fit["embeddings"]), tests, fit["group"])


def texts(data: Path) -> Source:
    folder = data / "clip-vit-b-32-openai"
    classes, things = (
        load_file(folder / f"{name}.safetensors") for name in ("imagenet", "text_vocabulary")
    )
    fit, test = [], []
    for rows in (classes["text_ensemble"], classes["text_single"], *things.values()):
        held = np.arange(len(rows)) % 5 == 4  # of both ways to write a class's name
        fit.append(rows[~held])
        test.append(rows[held])
    return Source(unit(np.concatenate(fit)), {"other names": unit(np.concatenate(test))})


def synthetic(_: Path) -> Source:
    rows = drawn(22_000, 512, fall=1.0)
    return Source(rows[:20_000], {"other rows": rows[20_000:]})


SOURCES: Mapping[str, Callable[[Path], Source]] = {
    "images": images, "texts": texts, "synthetic": synthetic,
}  # fmt: skip


def drawn(count: int, dim: int, *, fall: float) -> Rows:
    """Gaussian rows (count, D) of unit norm whose variances fall as i ** -fall."""
    rng = np.random.default_rng(SEED)
    axes = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    scale = np.arange(1, dim + 1) ** (-fall / 2)
    scale *= np.sqrt(0.75 / (scale**2).sum())
    mean = 0.5 * axes[0]
    return unit((rng.standard_normal((count, dim)) * scale) @ axes.T + mean)


def unit(rows: NDArray[Any]) -> Rows:
    found: Rows = normalise(rows.astype(np.float32))
    return found


class Study:
    """What is measured goes into `results`; containers and profiles into `folder`."""

    def __init__(
        self, results: kept.Kept, sources: Mapping[str, Source], folder: Path, *, quick: bool
    ) -> None:
        self.results, self.sources, self.folder, self.quick = results, sources, folder, quick

    def add(self, key: str, source: Rows, **figures: Any) -> None:
        self.results.add(
            key, figures, data=kept.digest(source), modules=MODULES,
            weights=kept.weights_of(UNTRAINED, SHIPPED),
        )  # fmt: skip

    def unseen(self) -> None:
        for name, source in self.sources.items():
            self.unseen_of(name, source)

    def unseen_of(self, name: str, source: Source) -> None:
        """The header of a private stream is longer: it may take as much more."""
        fit, size = source.fit, LIMIT + PRIVATE
        learned = learn(fit, target=Target(max_bytes=size), groups=source.groups)
        codec, share = Codec(self.kept_profile(learned)), learned.size / len(fit)
        peer = None if self.quick else Opq(fit)  # of few rows it is not to be had
        for test, rows in source.tests.items():
            figures = self.coded(codec, rows, max_bytes=size) | {
                "profile": learned.size, "rank": learned.rank, "share": share,
                "beside": self.cosine(codec, rows, max_bytes=round(size + share)),
                "rotation": self.cosine(Codec(UNTRAINED), rows, max_bytes=LIMIT),
                "opq": peer and peer.cosine(rows),
            }  # fmt: skip
            if name == "images":
                figures["shipped"] = self.cosine(Codec(SHIPPED), rows, max_bytes=LIMIT)
            self.add(f"{name}, {test}", fit, rows=len(fit), **figures)

    def file(self) -> None:
        rng = np.random.default_rng(SEED)
        for name, source in self.sources.items():
            for count in [count for count in FILES if count <= len(source.fit)]:
                rows = source.fit[np.sort(rng.choice(len(source.fit), count, replace=False))]
                learned = learn(rows, target=Target(mean_bytes=LIMIT))
                self.add(
                    f"{name}, {count:,} items", rows, **self.in_a_file(rows, learned),
                    opq=Opq(rows).cosine(rows) if count == OPQ_AT else None,
                )  # fmt: skip

    def in_a_file(self, rows: Rows, learned: Learned) -> dict[str, Any]:
        source, out = self.folder / "rows.npy", self.folder / "rows.clpc"
        np.save(source, rows)
        job = Job(source, out, Target(mean_bytes=LIMIT), profile=self.kept_profile(learned),
                  embed_profile=True, mode="replace", workers=0)  # fmt: skip
        job.run()
        size = os.path.getsize(out) / len(rows)
        with clipcodec.open(out) as container:
            cosines = (container.decode_all() * rows).sum(axis=1)
        return {
            "bytes": size, "cosine": cosines.mean(), "cosine05": np.quantile(cosines, 0.05),
            "profile": learned.size, "rank": learned.rank,
            "rotation": self.cosine(Codec(UNTRAINED), rows, mean_bytes=size),
        }  # fmt: skip

    def share(self) -> None:
        source, target = self.sources["images"], Target(mean_bytes=LIMIT)
        for items in SHARES[:1] if self.quick else SHARES:
            learned = learn(source.fit, target=target, items=items, groups=source.groups)
            whole = learned.size + items * learned.bytes
            self.add(
                f"images, {items:,} items", source.fit, profile=learned.size,
                rank=learned.rank, hidden=learned.hidden, bytes=whole / items,
                percent=100 * learned.size / whole, cosine=learned.cosine,
            )  # fmt: skip

    def limits(self) -> None:
        few, wide, falls = (FEW[-1:],) * 3 if self.quick else (FEW, WIDTHS, FALLS)
        for count in few:
            self.limit(f"{count:,} rows", drawn(count + 1000, 512, fall=1.0), count)
        for dim in wide if not self.quick else (64,):
            self.limit(f"{dim:,} dimensions", drawn(3000, dim, fall=1.0), 2000)
        for fall in falls if not self.quick else (1.0,):
            self.limit(f"variances fall as i^-{fall:g}", drawn(6000, 512, fall=fall), 5000)

    def limit(self, key: str, rows: Rows, count: int) -> None:
        """Learned on the first rows, measured on the rest, without what the profile takes."""
        fit, test = rows[:count], rows[count:]
        dim = rows.shape[1]
        learned = learn(fit, target=Target(max_bytes=LIMIT + PRIVATE), items=10**6)
        codec = Codec(self.kept_profile(learned))
        self.add(
            key, rows, rows=count, dimensions=dim,
            **self.coded(codec, test, max_bytes=LIMIT + PRIVATE), profile=learned.size,
            rank=learned.rank, rotation=self.cosine(Codec(UNTRAINED), test, max_bytes=LIMIT),
        )  # fmt: skip

    def kept_profile(self, learned: Learned) -> Path:
        path = self.folder / "learned.safetensors"
        path.write_bytes(learned.data)
        return path

    def coded(self, codec: Codec, rows: Rows, **asked: Any) -> dict[str, Any]:
        try:
            streams = codec.encode_embeddings(rows, **asked)
        except RateError:  # many dimensions in few bytes
            return {"bytes": None, "cosine": 0.0, "cosine05": 0.0}
        cosines = (codec.decode_batch(streams) * rows).sum(axis=1)
        return {
            "bytes": np.mean([len(stream) for stream in streams]),
            "cosine": cosines.mean(), "cosine05": np.quantile(cosines, 0.05),
        }  # fmt: skip

    def cosine(self, codec: Codec, rows: Rows, **asked: Any) -> float:
        return float(self.coded(codec, rows, **asked)["cosine"])


class Opq:
    """faiss's OPQ with 64 codes of six bits, learned from rows (N, D)."""

    def __init__(self, fit: Rows) -> None:
        faiss, dim = import_faiss(), fit.shape[1]
        self.index = faiss.index_factory(dim, f"OPQ64_{dim},PQ64x6np")
        self.index.train(np.ascontiguousarray(fit))

    def cosine(self, rows: Rows) -> float:
        decoded = self.index.sa_decode(self.index.sa_encode(np.ascontiguousarray(rows)))
        return float((normalise(decoded) * rows).sum(axis=1).mean())


if __name__ == "__main__":
    main()
