"""`clipcodec info` of files of embeddings, images, Parquet tables and search indexes.

Each is described by what it holds, and by the verbs that take it.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import arrays
from ..bitstream import split
from ..carriers import dimensions, extract, format_of
from ..codec import Codec
from ..embeddings import as_rows
from ..errors import ClipcodecError, EmbeddingError, ImageError, InputError, brief
from ..profile.registry import fitting
from .formats import EMBEDDINGS, IMAGES, INDEX, PICTURES, TABLE, TEXTS, Format, verbs_for
from .inputs import first_bytes, is_pipe, label_of, path_or_bytes, seekable
from .results import size_of
from .terminal import counted, size_text, tell, tell_json

_MEASURED = 1 << 16  # rows at most, evenly chosen

Facts = dict[str, Any]


def describes(found: Format | None) -> bool:
    return found in _FACTS


def info(name: str, found: Format, codec: Codec, args: argparse.Namespace) -> None:
    """Say what a file is. Raises ClipcodecError or OSError if it cannot be read."""
    facts, words = _FACTS[found]
    known = {"file": name, "format": found.words, **facts(name, codec)}
    known["verbs"] = None if "fault" in known else verbs_for(found)
    if args.json:
        tell_json(known)
        return
    label = Path(label_of(name)).name
    tell(f"{label}: {found.words}")
    for key, text in [*words(known), ("verbs", known["verbs"])]:
        if text is not None:
            tell(f"  {key:<10} {text}")


# embeddings


def _rows(name: str, codec: Codec) -> Facts:
    source = path_or_bytes(name)
    head = source[: arrays.HEAD] if isinstance(source, bytes) else first_bytes(name, arrays.HEAD)
    rows = arrays.read(source, arrays.kind_of(name, head) or ".npy")
    known: Facts = {"size": size_of(source), "shape": list(rows.shape), "dtype": str(rows.dtype)}
    try:
        as_rows(rows)
    except EmbeddingError as error:
        return {**known, "fault": error.reason, "profiles": []}
    return {**known, **_norms(rows), "profiles": fitting(rows.shape[1])}


def _norms(rows: Any) -> Facts:
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), _MEASURED)).astype(np.int64)
    norms = np.empty(len(chosen))
    with np.errstate(over="ignore", invalid="ignore"):
        for at in range(0, len(chosen), 2048):
            part = np.asarray(rows[chosen[at : at + 2048]], np.float64)
            norms[at : at + len(part)] = np.sqrt((part * part).sum(axis=1))
    good = norms[np.isfinite(norms) & (norms > 0)]
    spread = {} if not len(good) else {
        "least": float(good.min()), "mean": float(good.mean()), "most": float(good.max())
    }  # fmt: skip
    return {
        "norms": spread, "measured": len(chosen), "zero": int((norms == 0).sum()),
        "not_finite": int((~np.isfinite(norms)).sum()),
    }  # fmt: skip


def _rows_words(known: Facts) -> list[tuple[str, str]]:
    n, d = known["shape"]
    lines = [("shape", f"{n:,} × {d:,}, {known['dtype']}"), ("size", _bytes(known))]
    if "fault" in known:
        return [*lines, ("fault", known["fault"])]
    norms = known["norms"]
    part = "" if known["measured"] == n else f", of {known['measured']:,} rows"
    if norms:
        least, mean, most = (f"{norms[key]:.4g}" for key in ("least", "mean", "most"))
        lines.append(("norms", f"{least} to {most}, mean {mean}{part}"))
    for key, what in (("zero", "all zero"), ("not_finite", "with NaN or infinite values")):
        if known[key]:
            rows = counted(known[key], "row")
            lines.append(("fault", f"{rows} {what}, which cannot be encoded{part}"))
    profiles = ", ".join(known["profiles"]) or "none of this width"
    return [*lines, ("profiles", profiles)]


# images


def _image(name: str, codec: Codec) -> Facts:
    source = path_or_bytes(name)
    head = source if isinstance(source, bytes) else first_bytes(name, arrays.HEAD)
    known: Facts = {"size": size_of(source), "width": None, "height": None, "streams": []}
    if format_of(head) is None:  # no carrier
        return {**known, **_by_pillow(source)}
    size = dimensions(source)
    if size is not None:
        known["width"], known["height"] = size
    known["streams"] = [_stream(codec, stream) for stream in extract(source)]
    return known


def _by_pillow(source: str | bytes) -> Facts:
    """The size of an image whose format only Pillow knows, if it is installed."""
    try:
        from PIL import Image
    except ImportError:
        return {"note": "Pillow, which knows this format, is not installed: pip install Pillow"}
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return {"width": image.width, "height": image.height, "kind": image.format}
    except Exception as error:  # Pillow's plugins raise nearly anything
        raise ImageError(f"not a readable image: {brief(error)}; save it again") from error


def _stream(codec: Codec, stream: bytes) -> Facts:
    try:
        return asdict(codec.info(stream))
    except ClipcodecError as error:
        owner = split(stream)[0].digest
        profile = None if owner is None else f"private, {owner.hex()}"
        return {"profile": profile, "size": len(stream), "fault": str(error)}


def _image_words(known: Facts) -> list[tuple[str, str]]:
    pixels = "unknown" if known["width"] is None else f"{known['width']} × {known['height']} pixels"
    kind = f", {known['kind']}" if known.get("kind") else ""
    lines = [("image", pixels + kind), ("size", _bytes(known))]
    if "note" in known:
        lines.append(("note", known["note"]))
    for stream in known["streams"]:
        about = f"{stream['profile'] or 'unknown profile'}, {size_text(stream['size'])}"
        if stream.get("quality"):
            about += f", quality {stream['quality']}"
        lines.append(("stream", about + (f": {stream['fault']}" if "fault" in stream else "")))
    return lines


# tables


def _table(name: str, codec: Codec) -> Facts:
    from ..integrations.contents import contents

    source = seekable(name)
    found = asdict(contents(source, codec))
    if isinstance(source, str):
        return {"size": size_of(source), **found}
    return {"size": source.seek(0, os.SEEK_END), **found}


def _table_words(known: Facts) -> list[tuple[str, str]]:
    columns = known["columns"]
    lines = [
        ("rows", f"{known['rows']:,} in {counted(known['row_groups'], 'row group')}"),
        ("size", _bytes(known)),
    ]
    for column in columns:
        about = [column["holds"] if column["holds"] != "other" else "", column["type"]]
        if column["width"]:
            about.append(f"width {column['width']}")
        if column["profile"]:
            about.append(column["profile"])
        if column["carries"]:
            about.append(f"which is inside ({size_text(column['carries'])})")
        if column["fault"]:
            about.append(f"but {column['fault']}")
        lines.append(("column", f"{column['name']}: {', '.join(filter(None, about))}"))
    return lines


# search indexes


def _index(name: str, codec: Codec) -> Facts:
    from ..retrieval import SearchIndex

    if is_pipe(name):
        raise InputError("a search index is read where it lies in a file: give its path")
    index = SearchIndex.open(name)
    return {
        "size": size_of(name), "items": len(index), "width": index.dim, "exact": index.exact,
        "profiles": list(index.profiles), "sources": index.sources,
    }  # fmt: skip


def _index_words(known: Facts) -> list[tuple[str, str]]:
    kind = "float32, as decoded" if known["exact"] else "int8"
    lines = [("items", f"{known['items']:,}"), ("size", _bytes(known))]
    if known["width"] is not None:
        lines.append(("width", f"{known['width']:,}, {kind}"))
    lines += [("profile", name) for name in known["profiles"]]
    return lines + [("made of", source) for source in known["sources"] if source is not None]


def _bytes(known: Facts) -> str:
    return size_text(known["size"])


_FACTS: dict[
    Format | None,
    tuple[Callable[[str, Codec], Facts], Callable[[Facts], list[tuple[str, str]]]],
] = {
    **dict.fromkeys((*EMBEDDINGS, TEXTS), (_rows, _rows_words)),
    **dict.fromkeys((*PICTURES, *IMAGES.values()), (_image, _image_words)),
    TABLE: (_table, _table_words),
    INDEX: (_index, _index_words),
}
