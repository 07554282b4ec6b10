"""The pages and docs/results: tables, figures and sentences agree, and the code is no other."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clipcodec.evaluation.results import Results
from clipcodec.evaluation.staleness import stale
from tests.helpers.paths import ROOT
from tests.helpers.scripts import load

RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
OURS, L14, UNTRAINED = (
    "openai-vit-b-32/predictive", "openai-vit-l-14-336/predictive", "any/rotation"
)  # fmt: skip
BITS = (400, 600, 800, 1000, 1200, 2000)


@pytest.fixture(scope="module")
def render() -> ModuleType:
    return load(ROOT / "docs" / "render.py")


def test_pages_figures_and_sentences_agree_with_the_results(render: ModuleType) -> None:
    """If not: `python docs/render.py`, and what it says."""
    assert render.render(write=False) == []


def test_every_number_in_a_sentence_has_a_claim(render: ModuleType) -> None:
    assert render.claims.unclaimed(ROOT) == []


def test_there_are_results() -> None:
    assert "embeddings.json" in [path.name for path in RESULTS]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_code_of_today_made_the_results(path: Path) -> None:
    """If not: run the command at the head of the file again."""
    assert stale(Results.load(path)) == []


# the machinery, with made-up results


def point(key: str, size: float, fidelity: float, **more: Any) -> dict[str, Any]:
    """A point as `evaluate` writes it; fidelity is 0 … 1."""
    drawn = random.Random(key)
    cosine = round(0.9 + 0.1 * fidelity - 1e-4 * drawn.random(), 5)
    accuracy = round(0.6 + 0.2 * fidelity - 1e-3 * drawn.random(), 5)
    kl = round(0.001 + (1 - fidelity) * 0.5, 5)
    shared = {
        "bytes": size,
        "cosine": cosine,
        "cosine05": cosine - 0.02,
        "neighbours": round(fidelity, 5),
    }
    zero_shot = {"top1": accuracy, "top5": accuracy + 0.1, "agree": accuracy, "kl": kl,
                 "text_to_image": accuracy}  # fmt: skip
    few_shot = {"prototype": accuracy, "knn": accuracy}
    named = key.partition("@")
    return {
        "key": key, "series": named[0].partition(":")[0], "setting": named[2], "code": "0",
        "bytes": size, "most": size, "bpd": size / 64, "cosine": cosine, "cosine05": cosine - 0.02,
        "spread": [cosine + 0.001 * step for step in range(-6, 1)],
        "sets": {
            "imagenet": shared | zero_shot,
            **{name: shared | few_shot for name in ("fgvc", "oxford_flowers", "ucf101")},
            **{name: shared | {"kl": kl} for name in ("things", "news_336px")},
        }, **more,
    }  # fmt: skip


def benches() -> dict[str, list[dict[str, Any]]]:
    """The files of the benchmarks and smaller studies, as their scripts write them."""
    found = {"bytes": 50.0, "image_to_image": 0.8, "text_to_image": 0.7, "images": 999,
             "queries": 100, "texts": 20, "study": "recall"}  # fmt: skip
    search: list[dict[str, Any]] = [
        {"key": f"{series} {n} {by}", "series": series, "by": by, **found, "bytes": n,
         "setting": f"max_bytes={n}" if series == OURS else f"PQ{n}"}
        for series, ways in ((OURS, ("streams", "int8")),
                             ("faiss PQ", ("decoded", "distance", "inner product")),
                             ("faiss OPQ", ("decoded", "distance", "inner product")),
                             (UNTRAINED, ("streams",)))
        for by in ways for n in (25, 34, 50, 75, 100)
    ]  # fmt: skip
    search += [{"key": "speed: a", "study": "speed", "bytes_per_row": 69.1, "one": 0.0084,
                "many": 0.5712, "items": 10**6, "clock": "wall", "threads_used": 2},
               {"key": "speed: b", "study": "speed", "bytes_per_row": 516, "one": 10.21,
                "many": 70, "build_seconds": 123.4, "items": 10**6}]  # fmt: skip
    ways = {"a byte replaced": {"damaged": 100_000, "passed": 0, "at_most_one_in": 33_381.1},
            "cut": {"damaged": 99_500, "passed": 2, "at_most_one_in": 15_804.3}}  # fmt: skip
    damaged = {"ways": ways, "passed": 2, "damaged": 199_500, "one_in": 99_750.0,
               "at_most_one_in": 31_688.1,
               "detail": {"adjacent bytes swapped": ways["cut"]}}  # fmt: skip
    head = {"rank": 0.99, "relative": 0.11, "stay": 0.97, "positive": 0.02}
    models = (("clip-vit-b-32-openai", OURS, ("laion",)), ("clip-vit-l-14-openai", L14, ("fake",)))
    heads = [
        {"key": f"{model}: {codec}", "heads": {name: head for name in names}}
        for model, profile, names in models
        for codec in ("original", *(f"{profile}@max_bytes={n}" for n in
                                    (12, 16, 25, 34, 50, 75, 100, 250)))
    ]  # fmt: skip
    sets = {"imagenet": {"top1": 0.7, "kl": 0.2}}
    return {
        "search": search,
        "corruption": [{"key": "predictive", **damaged}, {"key": "rotation", **damaged}],
        "heads": heads,
        "effort": [{"key": f"max_bytes=50 {n}", "series": "max_bytes=50", "effort": n,
                    "labels": n == 5, "images": 1400, "bytes": 49.1, "cosine": 0.97,
                    "kl": 0.04, "stays": 0.93,
                    "milliseconds": 8.123} for n in (1, 5, 9)],
        "pointing": [{"key": key, "bytes": 50.0, "right": 0.9, "trials": 500, "photos": 20}
                     for key in ("not compressed", "max_bytes=50")],
        "overhead": [{"key": f"openai-vit-b-32/pqvae-{n}", "bytes": 53.0, "beyond": 2.9,
                      "beyond_most": 4.11} for n in BITS],
        "speed": [{"key": f"{OURS} max_bytes=50", "encode_per_second": 812.3,
                   "decode_per_second": 15_987.2, "encode_ms": 3.456, "decode_ms": 0.111},
                  {"key": "fresh interpreter, import and decode", "seconds": 0.147}],
        "scale": [{"key": f"peers: clipcodec, max_bytes={n}", "bytes_per_item": 24.1, "items": 999,
                   "encode_per_second": 700 + n, "decode_per_second": 15_000} for n in (25, 50)],
        "million": [
            {"key": "million: matrix products, float32, all cores", "multiply_adds_per_row": 6.3e6,
             "multiply_adds_per_second": 6e10, "rows_per_second_at_most": 9_523.8},
            {"key": "million: encode", "rows_per_second": 5_122, "peak_mib": 325},
            {"key": "million: decode", "rows_per_second": 8_000, "peak_mib": 301,
             "share_of_limit": 0.84},
            {"key": "million: container", "bytes_per_item": 73.2, "bytes_per_stream": 74.34},
            *({"key": f"million: {verb} {count}", "rows_per_second": 5_122, "peak_mib": 325}
              for count in (10_000, 1_000_000) for verb in ("encode", "decode")),
        ],
        "beside": [{"key": f"beside: {name}", "bytes_per_item": 64.0, "cosine": 0.94,
                    "encode_us": 20.1, "decode_us": 9.81, "encode_times": 15.2,
                    "decode_times": 1.0, "items": 2_000} for name in ("clipcodec", "faiss PQ")],
        "products": [{"key": f"{verb}, {cores}, {path}", "verb": verb, "cores": cores,
                      "path": path, "whole_us": 140.2, "products_us": 81.0, "share": 0.58,
                      "median_ms": 2.41, "best_ms": 2.2, "items": 8192}
                     for verb in ("batch: decode", "one: decode") for cores in ("one core",)
                     for path in ("plain", "compiled")],
        "service": [{"key": f"{verb}: {OURS} {target}".strip(), "verb": verb, "profile": OURS,
                     "options": {"max_bytes": 50} if target else {}, "ms": 20.1 + len(target),
                     "ms_95": 40.2, "batch_ms": 1.31 + len(target), "peak_mib": 81.4}
                    for verb, target in (("encode", ""), ("encode", "max_bytes=50"),
                                         ("decode", ""), ("embed an image", ""))],
        "words": [{"key": f"classify items.clpc --labels {name}.safetensors", "cpu_seconds": 26.1,
                   "peak_mib": 123.4} for name in ("labels", "one")],
        "ablation": [{"key": spec, "bytes": 50, "cosine": 0.96, "sets": sets, "used": 1.0,
                      "entropy": 1.99, "limit": 2} for spec in ("pqvae:4,16", "pqvae:4,16,own")],
        "any_model": [
            {"key": key, "rows": 500, "dimensions": 512, "bytes": 53.0, "profile": 40_000,
             "rank": 100, "hidden": 0, "percent": 3.0, "cosine": 0.9, "cosine05": 0.8,
             "beside": 0.91, "rotation": 0.7, "opq": None}
            for key in ("unseen: images, photographs", "file: images, 500 items",
                        "share: images, 1,000 items", "limits: 100 rows")
        ],
        "install": [{"key": way, "download": 3_000_000_000, "disk": 136_400_000, "packages": 4}
                    for way in ("full", "cpu", "light")],
        "pixels": [{"key": "jpeg:10", "bpp": 0.31, "bytes": 2_000, "psnr": 27.1},
                   {"key": "stream@50", "bpp": 0.0023, "bytes": 50}],
    }  # fmt: skip


def write_results(folder: Path) -> Path:
    """Made-up result files with every point that a table needs."""
    points = [point("original", 2048.0, 1), point(OURS, 69.0, 0.9)]
    for profile in (OURS, UNTRAINED):
        for size in (10, 12, 16, 20, 25, 34, 50, 75, 100, 125, 150, 200, 250):
            points.append(point(f"{profile}@max_bytes={size}", size - 0.9, size / 251))
    points += [point(f"{OURS}@mean_bytes={n}", n, n / 240) for n in (25, 50, 100)]
    points += [point(f"openai-vit-b-32/pqvae-{n}", n / 8 + 3, n / 2200) for n in BITS]
    points += [point(f"vqvae:{n}", n / 8, n / 2600) for n in BITS]
    points += [point(f"learned-sq:{n}", 64 * n, n / 4) for n in (1, 2, 3)]
    points += [point("faiss:OPQ32,PQ32x8np", 32.0, 0.1), point("int8", 512.0, 0.99)]
    points += [{k: v for k, v in point("bound:50", 50.0, 0.3).items() if k not in
                ("sets", "spread", "cosine05")}]  # fmt: skip
    l14 = [point(f"{profile}@max_bytes={n}", n, n / 260) for profile in (L14, UNTRAINED)
           for n in (25, 50, 100, 150, 250)]  # fmt: skip
    for name, content in {"embeddings": points, "l14": l14, **benches()}.items():
        Results(folder / f"{name}.json", "made up", content).save()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All pages, with made-up results, tables and sentences not yet written."""
    for page in ("README.md", "docs"):
        source = ROOT / page
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / page)
    for name in ("tests", "formats", "clipcodec"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "noxfile.py").touch()
    shutil.rmtree(tmp_path / "docs" / "results", ignore_errors=True)
    for figure in (tmp_path / "docs" / "figures").glob("*.svg"):
        figure.unlink()
    write_results(tmp_path / "docs" / "results")
    return tmp_path


def test_tables_and_sentences_are_written_once_and_found_again(
    render: ModuleType, root: Path
) -> None:
    """After writing, a check finds nothing, and writing again changes nothing."""
    kept = render.Kept(root / "docs" / "results")
    assert render.tables(root, kept, write=True) == []
    render.claims.update(root, kept)
    render.claims.write_page(root, kept, True)
    assert render.claims.faults(root, kept) == []
    before = {page: page.read_bytes() for page in root.glob("**/*.md")}
    assert render.tables(root, kept, write=False) == []
    assert render.tables(root, kept, write=True) == []
    assert render.claims.write_page(root, kept, False) == []
    assert before == {page: page.read_bytes() for page in root.glob("**/*.md")}


def test_a_changed_digit_is_found(render: ModuleType, root: Path) -> None:
    """In a table, in a sentence, in a result; and what is checked is not changed."""
    results = root / "docs" / "results"
    kept = render.Kept(results)
    render.tables(root, kept, write=True)
    render.claims.update(root, kept)
    page = root / "README.md"
    good = page.read_text("utf-8")
    start = good.index("| 50 | ")
    cell = re.compile(r"\.(\d)").search(good, start)
    assert cell is not None
    wrong = good[: cell.start(1)] + str((int(cell[1]) + 1) % 10) + good[cell.end(1) :]
    page.write_text(wrong, "utf-8")
    assert render.tables(root, kept, write=False) == [
        "README.md: differs from docs/results: fidelity"
    ]
    assert page.read_text("utf-8") == wrong
    page.write_text(good.replace("the mean cosine is .", "the mean cosine is .0"), "utf-8")
    assert [fault.split(": does")[0] for fault in render.claims.faults(root, kept)] == ["README.md"]
    page.write_text(good, "utf-8")

    content = json.loads((results / "embeddings.json").read_text("utf-8"))
    changed = next(p for p in content["points"] if p["key"] == f"{OURS}@max_bytes=16")
    changed["cosine"] -= 0.01
    (results / "embeddings.json").write_text(json.dumps(content), "utf-8")
    found = render.tables(root, render.Kept(results), write=False)
    assert "README.md: differs from docs/results: fidelity" in found


def test_what_is_missing_is_named_and_its_table_stays(render: ModuleType, root: Path) -> None:
    results = root / "docs" / "results"
    render.tables(root, render.Kept(results), write=True)
    before = (root / "README.md").read_text("utf-8")
    content = Results.load(results / "embeddings.json")
    content.points.pop(f"{OURS}@max_bytes=16")
    content.save()
    (results / "l14.json").unlink()
    found = render.tables(root, render.Kept(results), write=True)
    assert f"README.md: table fidelity: embeddings.json has no point '{OURS}@max_bytes=16'" in found
    assert any(f.startswith("docs/profiles.md: table l14: l14.json is not there") for f in found)
    assert (root / "README.md").read_text("utf-8") == before

    (results / "embeddings.json").write_text("{}", "utf-8")
    found = render.tables(root, render.Kept(results), write=True)
    assert any("is not a result file" in fault for fault in found)


def test_markers_that_do_not_fit_are_named(render: ModuleType, root: Path) -> None:
    kept = render.Kept(root / "docs" / "results")
    for text, wrong in (
        ("<!-- results: fidelity -->\n", "1 markers for 0 tables"),
        ("<!-- /results -->\n", "1 markers for 0 tables"),
        ("<!-- results: none -->\n<!-- /results -->\n", "no table is called 'none'"),
    ):
        after, faults = render.pages.filled(text, kept, render.ALL_TABLES)
        assert after == text
        assert [fault[: len(wrong)] for fault in faults] == [wrong]
    page = root / "README.md"
    text = page.read_text("utf-8")
    page.write_text(render.pages.BLOCK.sub("", text), "utf-8")
    assert "table fidelity: no page has it" in render.tables(root, kept, write=False)


def test_figures_are_drawn_from_today_s_results(render: ModuleType, root: Path) -> None:
    """The same results give the same file; other results, an old one; words say what it shows."""
    pytest.importorskip("matplotlib")
    results = root / "docs" / "results"
    kept = render.Kept(results)
    assert all("is not there" in fault for fault in render.figures(root, kept, write=False))
    assert render.figures(root, kept, write=True) == []
    files = sorted((root / "docs" / "figures").glob("*.svg"))
    assert [file.stem for file in files] == sorted(render.plots.FIGURES)
    for file in files:
        text = file.read_text("utf-8")
        assert text == render.plots.FIGURES[file.stem].svg(kept)
        assert "<title>" in text
        assert "<desc>" in text
        assert len(text) < 60_000
        assert not re.search(r"\d{4}-\d\d-\d\d", text)  # no date
    assert render.figures(root, kept, write=False) == []
    content = Results.load(results / "embeddings.json")
    content.points[f"{OURS}@mean_bytes=50"]["spread"][0] += 0.001
    content.save()
    assert render.figures(root, render.Kept(results), write=False) == [
        "docs/figures/spread.svg: drawn from other results"
    ]


def test_the_figures_in_the_package_are_those_of_the_results(
    render: ModuleType, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file that differs is found, and written anew; what is missing is named."""
    kept, other = render.Kept(root / "docs" / "results"), tmp_path_factory.mktemp("package")
    path = other / render.measured.PATH
    path.parent.mkdir(parents=True)
    differs = [f"{render.measured.PATH}: differs from docs/results"]
    assert render.shipped(other, kept, write=False) == differs
    assert render.shipped(other, kept, write=True) == []
    assert render.shipped(other, kept, write=False) == []
    shown = json.loads(path.read_text("utf-8"))["cosine"]
    key = f"{OURS}@max_bytes=50"
    assert shown[key] == pytest.approx(kept.value(key, "cosine"), abs=1e-4)
    path.write_text(path.read_text("utf-8").replace("0.9", "0.8", 1), "utf-8")
    assert render.shipped(other, kept, write=False) == differs
    empty = render.shipped(other, render.Kept(other), write=True)
    assert empty[0].startswith(f"{render.measured.PATH}: embeddings.json is not there")


def test_a_sentence_with_a_number_needs_a_claim(render: ModuleType, root: Path) -> None:
    """Names, code and addresses are no claims; a table written by hand is one by its head."""
    page = root / "docs" / "browse.md"
    assert [line for line in render.claims.unclaimed(root) if "browse" in line] == []
    page.write_text(
        "It takes 17 ms. ViT-B/32 in Python 3.11: `x[3]`, [there](a-1.md).\n\n"
        "| a | b |\n|---|---|\n| c | 4 |\n\n```python\nx = 5\n```\n",
        "utf-8",
    )
    assert [line for line in render.claims.unclaimed(root) if "browse" in line] == [
        "docs/browse.md: It takes 17 ms.",
        "docs/browse.md: table | a | b |",
    ]


def test_what_a_claim_names_must_be_there(
    render: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = render.Kept(root / "docs" / "results")
    claim = type(render.claims.CLAIMS[0])
    (root / "docs" / "browse.md").write_text("It takes\n17 ms.", "utf-8")
    gone = claim("docs/browse.md", "It takes 17 ms.", "tests/gone.py")
    other = claim("docs/browse.md", "It takes 18 ms.", "by hand")
    monkeypatch.setattr(render.claims, "CLAIMS", [gone, other])
    assert render.claims.faults(root, kept) == [
        "docs/browse.md: claim 'It takes 17 ms.': there is no tests/gone.py",
        "docs/browse.md: does not say 'It takes 18 ms.'",
    ]


def test_a_constant_of_the_code_is_read_from_it(render: ModuleType) -> None:
    from clipcodec.container.packing import BLOCK_ITEMS

    claim = next(c for c in render.claims.CLAIMS if c.text == "lost, at most {} items")
    assert claim.values(None) == [f"{BLOCK_ITEMS:,}"]
