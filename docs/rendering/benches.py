"""Tables of the benchmarks and smaller studies, each with a result file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clipcodec.evaluation.results import Point

from .kept import L14, OURS, Kept, Missing, cosine, field_of, percent, size, table, whole

RECALL_BYTES = (25, 50)
MODELS = {"clip-vit-b-32-openai": OURS, "clip-vit-l-14-openai": L14}
HEAD_BYTES = (12, 16, 25, 34, 50, 75, 100, 250)


def effort(kept: Kept) -> str:
    """effort.md: what an effort gains and costs."""
    lines = []
    for point in kept.points("effort"):
        name = f"effort {point['effort']}"
        if point["effort"] == 1:
            name = f"`{point['series']}`"
        elif point["labels"]:
            name += ", with the 200 class texts"
        lines.append([name, size(point["bytes"]), cosine(point["cosine"]), f"{point['kl']:.4f}",
                      f"{percent(point['stays'])} %", figure(point["milliseconds"])])  # fmt: skip
    return table(["", "bytes", "cosine", "KL", "best class stays", "ms each"], lines)


def pointing(kept: Kept) -> str:
    lines = [[point["key"] if "=" not in point["key"] else f"`{point['key']}`",
              size(point["bytes"]), f"{percent(point['right'])} %"]
             for point in kept.points("pointing")]  # fmt: skip
    return table(["", "bytes", "the right one of 20 is best"], lines)


def corruption(kept: Kept) -> str:
    """testing.md: damaged streams that decoded, by the way they were damaged."""
    points = kept.points("corruption")
    ways = list(points[0]["ways"])
    lines = []
    for point in points:
        passed = [whole(point["ways"][way]["passed"]) for way in ways]
        rate = f"1 in {point['one_in']:,.0f}" if point["one_in"] else "none"
        total = f"{point['passed']:,} of {point['damaged']:,}"
        lines.append([point["key"], *passed, total, rate, f"1 in {point['at_most_one_in']:,.0f}"])
    return table(["", *ways, "all", "rate", "95 % limit"], lines)


def speed(kept: Kept) -> str:
    """profiles.md: every profile on this machine."""
    lines = []
    for point in kept.points("speed"):
        if "encode_ms" not in point:
            continue
        name = point["key"].removeprefix("openai-vit-b-32/")
        rates = (point[f"{verb}_per_second"] for verb in ("encode", "decode"))
        times = (point[f"{verb}_ms"] for verb in ("encode", "decode"))
        lines.append([f"`{name}`", *(f"{figure(rate)}/s" for rate in rates),
                      *(f"{figure(time)} ms" for time in times)])  # fmt: skip
    head = ["profile", "encode a batch", "decode a batch", "encode one", "decode one"]
    return table(head, lines)


def _recall(kept: Kept, measure: str) -> str:
    """Ours and faiss's product quantisers at the same bytes: shares of the ten nearest found."""
    points = kept.points("search")

    def share(series: str, by: str, limit: int) -> str:
        for point in points:
            ours = series == OURS and point.get("setting") == f"max_bytes={limit}"
            if point.get("series") == series and point.get("by") == by and (
                ours or (series != OURS and point["bytes"] == limit)
            ):  # fmt: skip
                return cosine(point[measure], 3)
        raise Missing(f"search.json has no {series} by {by} with {limit} bytes")

    rows = [("`predictive`, `max_bytes`, decoded", OURS, "streams"),
            ("the same, in an int8 index", OURS, "int8")]  # fmt: skip
    for kind in ("OPQ", "PQ"):
        rows += [(f"faiss {kind}, decoded, at unit norm", f"faiss {kind}", "decoded"),
                 (f"faiss {kind}, by distance", f"faiss {kind}", "distance"),
                 (f"faiss {kind}, by inner product", f"faiss {kind}", "inner product")]  # fmt: skip
    lines = [[name, *(share(series, by, limit) for limit in RECALL_BYTES)]
             for name, series, by in rows]  # fmt: skip
    return table(["bytes", *map(str, RECALL_BYTES)], lines)


def recall_images(kept: Kept) -> str:
    return _recall(kept, "image_to_image")


def recall_texts(kept: Kept) -> str:
    return _recall(kept, "text_to_image")


def recall_profiles(kept: Kept) -> str:
    """The other profiles, decoded."""
    lines = [
        [f"`{point['series'].removeprefix('openai-vit-b-32/')}`", size(point["bytes"]),
         cosine(point["image_to_image"], 3), cosine(point["text_to_image"], 3)]
        for point in kept.points("search")
        if point.get("by") == "streams" and point["series"] != OURS
    ]  # fmt: skip
    return table(["profile", "bytes", "image → image", "text → image"], lines)


def search_speed(kept: Kept) -> str:
    lines = []
    for point in kept.points("search"):
        if point.get("study") != "speed":
            continue
        build = f"{figure(point['build_seconds'])} s" if "build_seconds" in point else "–"
        name = point["key"].removeprefix("speed: ").replace("openai-vit-b-32/", "")
        lines.append([name, f"{point['bytes_per_row']:.0f}", build, figure(point["one"]),
                      figure(point["many"]), cosine(point["recall"], 3)])  # fmt: skip
    if not lines:
        raise Missing("search.json has no point of the study speed")
    head = ["", "bytes per row", "build time", "queries/s, 1 at a time", "queries/s, 64 at once",
            "recall"]  # fmt: skip
    return table(head, lines)


def scale(kept: Kept) -> str:
    """benchmarks.md: what is stored, and how fast."""
    lines = [[point["key"].removeprefix("peers: "), size(point["bytes_per_item"]),
              figure(point["encode_per_second"]), figure(point["decode_per_second"])]
             for point in kept.points("scale")]  # fmt: skip
    return table(["codec", "bytes per item", "encode/s", "decode/s"], lines)


def million(kept: Kept) -> str:
    at = {key.removeprefix("million: "): p for key, p in kept.results("million").points.items()}
    try:
        products = at["matrix products, float32, all cores"]
        encode, decode, box = at["encode"], at["decode"], at["container"]
    except KeyError as error:
        raise Missing(f"million.json has no point {error}") from error
    lines = [
        ["matrix products in float32, all cores, in the same run",
         f"{products['multiply_adds_per_second'] / 1e9:.1f} G multiply-adds/s"],
        [f"decoding takes {products['multiply_adds_per_row']:,.0f} multiply-adds per row, so the "
         "limit is", f"{figure(products['rows_per_second_at_most'])} rows/s"],
        ["encode", f"{figure(encode['rows_per_second'])} rows/s, peak memory "
         f"{encode['peak_mib']:,.0f} MiB"],
        ["decode", f"{figure(decode['rows_per_second'])} rows/s, "
         f"{percent(decode['share_of_limit'], 0)} % of that limit, peak memory "
         f"{decode['peak_mib']:,.0f} MiB"],
        ["container, index and check values included",
         f"{box['bytes_per_item']:.2f} bytes per item"],
        ["the same streams without container", f"{box['bytes_per_stream']:.2f} bytes per item"],
    ]  # fmt: skip
    return table(["", ""], lines)


def _on_both_paths(kept: Kept, study: str) -> list[tuple[Point, Point]]:
    """Points of products.json: the same on the plain path and on the compiled one."""
    points = kept.points("products")
    pairs = [
        (point, other) for point in points for other in points
        if point["path"] == "plain" and other["path"] == "compiled"
        and (point["verb"], point["cores"]) == (other["verb"], other["cores"])
        and point["verb"].startswith(f"{study}: ")
    ]  # fmt: skip
    if not pairs:
        raise Missing(f"products.json has no points {study!r} on both paths")
    return pairs


def products(kept: Kept) -> str:
    """benchmarks.md: which part of a whole call its matrix products take."""
    lines = [
        [plain["verb"].removeprefix("batch: "), plain["cores"],
         f"{figure(plain['products_us'])} µs",
         *(cell for point in (plain, fast)
           for cell in (f"{figure(point['whole_us'])} µs", f"{percent(point['share'], 0)} %"))]
        for plain, fast in _on_both_paths(kept, "batch")
    ]  # fmt: skip
    head = ["", "", "products alone", "plain", "products' share", "compiled", "products' share"]
    return table(head, lines)


def singles(kept: Kept) -> str:
    """benchmarks.md: one embedding at a time."""
    lines = [
        [plain["verb"].removeprefix("one: "), plain["cores"],
         *(f"{figure(point[name])} ms" for point in (plain, fast)
           for name in ("median_ms", "best_ms"))]
        for plain, fast in _on_both_paths(kept, "one")
    ]  # fmt: skip
    head = ["", "", "plain, median", "best", "compiled, median", "best"]
    return table(head, lines)


def beside(kept: Kept) -> str:
    """benchmarks.md: processor time beside faiss's product quantisers."""
    lines = [
        [point["key"].removeprefix("beside: "), size(point["bytes_per_item"]),
         cosine(point["cosine"]),
         *(cell for verb in ("encode", "decode") for cell in (
             f"{figure(point[f'{verb}_us'])} µs", f"{figure(point[f'{verb}_times'])}×"))]
        for point in kept.points("beside")
    ]  # fmt: skip
    head = ["codec", "bytes per item", "cosine", "encode", "less time", "decode", "less time"]
    return table(head, lines)


def costs(kept: Kept) -> str:
    """cookbook/a-million-items.md: what a million embeddings take, from speeds and sizes."""
    count = 1_000_000

    def minutes(rate: float) -> str:
        return f"{figure(count / rate / 60)} minutes"

    encode, decode, box = (kept.point(f"million: {name}", "million")
                           for name in ("encode", "decode", "container"))  # fmt: skip
    limit = kept.point("peers: clipcodec, max_bytes=50", "scale")
    original = kept.value("original", "bytes")
    lines = [["", "embeddings in float32", "default quality", "`max_bytes=50`"],
             ["file", *(f"{whole(size * count / 1e6)} MB" for size in
                        (original, box["bytes_per_item"], limit["bytes_per_item"]))],
             ["time to encode", "", minutes(encode["rows_per_second"]),
              minutes(limit["encode_per_second"])],
             ["time to decode", "", minutes(decode["rows_per_second"]),
              minutes(limit["decode_per_second"])],
             ["memory to encode", "", f"{whole(encode['peak_mib'])} MiB", ""]]  # fmt: skip
    return table(lines[0], lines[1:])


def service(kept: Kept) -> str:
    """cookbook/web-service.md: one request, and the same in a batch."""
    lines = []
    for point in kept.points("service"):
        what = point["verb"]
        if what != "embed an image":
            what += f", `{point['profile']}`"
        options = [f"`{name}={value}`" for name, value in point["options"].items()]
        plain = "the default" if point["verb"] == "encode" and "pqvae" not in what else ""
        target = ", ".join(options) or plain
        lines.append([what, target, *(f"{figure(point[name])} ms" for name in
                                      ("ms", "ms_95", "batch_ms")),
                      f"{whole(point['peak_mib'])} MiB"])  # fmt: skip
    head = ["request", "target", "one, median", "95 %", "each of 32 at once", "memory"]
    return table(head, lines)


def heads(kept: Kept) -> str:
    """Scores of published heads: rank correlation, and the mean change in deviations."""
    lines = []
    for model, profile in MODELS.items():
        original = kept.point(f"{model}: original", "heads")
        for name in original["heads"]:
            points = [kept.point(f"{model}: {profile}@max_bytes={n}", "heads") for n in HEAD_BYTES]
            missing = [point["key"] for point in points if name not in point["heads"]]
            if missing:
                raise Missing(f"heads.json: {missing[0]} has no head {name}")
            found = [point["heads"][name] for point in points]
            for measure, words, write in _head_rows(found):
                lines.append([name.replace("_", " "), words,
                              *(write(head[measure]) for head in found)])  # fmt: skip
    return table(["head", "", *(f"{n} bytes" for n in HEAD_BYTES)], lines)


def _head_rows(found: Sequence[Point]) -> list[tuple[str, str, Callable[[float], str]]]:
    rows: list[tuple[str, str, Callable[[float], str]]] = [
        ("rank", "rank correlation", lambda value: cosine(value, 3)),
        ("relative", "mean change, in deviations", lambda value: cosine(value, 2)),
    ]
    if all("stay" in head for head in found):
        rows.append(("stay", "decisions that stay, %", percent))
        rows.append(("positive", "called generated, %", percent))
    return rows


def ablation(kept: Kept) -> str:
    """paper.md, Figure 5: sub-vectors of several sizes at equal bits."""
    lines = []
    for point in kept.points("ablation"):
        if point["key"] == "original":
            continue
        spec = point["key"].partition(":")[2].split(",")
        zero_shot = field_of(point, "sets.imagenet.top1", "ablation")
        codebook = "one each" if "own" in spec else "shared"
        used = [percent(point["used"], 0), f"{point['entropy']:.2f} of {point['limit']:g}"]
        lines.append([f"{8 * point['bytes']:.0f}", spec[1], spec[0], codebook,
                      cosine(point["cosine"]), percent(zero_shot),
                      f"{point['sets']['imagenet']['kl']:.3f}", *used])  # fmt: skip
    head = ["bits", "size", "codewords", "codebook", "cosine", "zero-shot", "KL", "used, %",
            "bits of a symbol"]  # fmt: skip
    return table(head, lines)


_PIXEL_CODECS = ("jpeg", "webp", "avif", "jxl")
_PIXEL_QUALITIES = ("5", "30", "90")


def pixels(kept: Kept) -> str:
    """paper.md, Figure 6: rates of pixel codecs and of streams on the same photographs."""
    lines = []
    for point in kept.points("pixels"):
        name, _, setting = point["key"].partition("@")
        if name in _PIXEL_CODECS and setting.partition(",")[0] not in _PIXEL_QUALITIES:
            continue
        quality = f"{point['psnr']:.1f}" if "psnr" in point else ""
        accuracy = [data["top1"] for data in point.get("sets", {}).values() if "top1" in data]
        lines.append([f"`{point['key']}`", f"{point['bpp']:.2g}", whole(point["bytes"]), quality,
                      percent(accuracy[0]) if accuracy else ""])  # fmt: skip
    return table(["codec", "bits per pixel", "bytes", "PSNR, dB", "zero-shot, %"], lines)


_WAYS = {
    "full": ("**full**", "images, texts, training"),
    "cpu": ("**full, without CUDA**", "the same, without an NVIDIA card"),
    "light": ("**light**", "decoding, and encoding embeddings that you have"),
}


def install(kept: Kept) -> str:
    """README.md: what each way to install costs."""
    points = {way: kept.point(way, "install") for way in _WAYS}
    lines = [[*_WAYS[way], amount(point["download"]), amount(point["disk"]),
              str(point["packages"])] for way, point in points.items()]  # fmt: skip
    return table(["installation", "for", "download", "on disk", "packages"], lines)


def amount(size: float) -> str:
    """3.1 GB, 280 MB: two or three digits."""
    giga = size / 1e9
    return f"{giga:.1f} GB" if giga >= 1 else f"{size / 1e6:.0f} MB"


def figure(value: float) -> str:
    """A figure of a machine, to three digits: 40,100, 123, 10.2, 0.22."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


BENCHES: dict[str, Callable[[Kept], str]] = {
    "effort": effort,
    "pointing": pointing,
    "corruption": corruption,
    "speed": speed,
    "recall-images": recall_images,
    "recall-texts": recall_texts,
    "recall-profiles": recall_profiles,
    "search-speed": search_speed,
    "scale": scale,
    "million": million,
    "products": products,
    "singles": singles,
    "beside": beside,
    "costs": costs,
    "service": service,
    "heads": heads,
    "ablation": ablation,
    "pixels": pixels,
    "install": install,
}
