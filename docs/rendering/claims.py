"""Numbers in sentences: each stands in its page as the results have it, or names what makes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .claim import text_of
from .claimed_by_benches import BY_BENCHES
from .claimed_by_code import BY_CODE
from .claimed_by_results import BY_RESULTS
from .claimed_elsewhere import ELSEWHERE, ONCE
from .kept import Kept, Missing
from .not_run import NOT_RUN
from .pages import BLOCK, pages

PAGE = Path("docs/claims.md")
CLAIMS = [*BY_RESULTS, *BY_BENCHES, *BY_CODE, *ONCE, *ELSEWHERE]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Digits that claim nothing: code, addresses, and names of models, formats and versions
NAMES = re.compile(
    "|".join(
        (
            r"`[^`]*`", r"<!--.*?-->", r"https?://\S+",
            r"\[[^\]]*\.(md|json|py)\]\([^)]*\)", r"\]\([^)]*\)",
            r"ViT-[BL]/\d+(@\d+px)?", r"(GPT|SAM|CRC|SHA|UTF|AVX|ImageNet)[- ]\d+", r"Apache-2\.0",
            r"x86-64", r"\b[A-Za-z]+\d\w*", r"10-nn", r"top-[15]", r"(8|16|32)-bit",
            r"127\.0\.0\.1", r"CVE-[\d-]+", r"arXiv \d+\.\d+", r"et al\. \d{4}",
            r"(section|Figure|Table|eq\.|code|code is|norms?|then|token) \d+",
            r"(Python|numpy|Pillow|exiftool|libvips|ImageMagick|exiv2|torch before) \d[\d.]*",
            r"(open_clip|transformers|clip-anytorch|clip-retrieval|all_clip) \d[\d.]*",
            r"(DuckDB|LanceDB|PostgreSQL|psycopg) \d[\d.]*", r"LAION-\d+[BM]",
            r"(release|[Ff]ormat version) \d[\d.]*",
        )
    )
)  # fmt: skip
# 49.0, 1,024, .974, two points, 2 threads, wall-clock time
NUMBER = r"(?:[\d.,]*\d(?: threads?)?|[\w-]+(?:\s+(?:points?|time))?)"
ITEM = re.compile(r"(^|\n)\s*\d+\. ")


def faults(root: Path, kept: Kept) -> list[str]:
    """What is wrong with claims: not in the page with today's number, or what makes it is gone."""
    found = []
    texts = {page.relative_to(root).as_posix(): _normal(page.read_text("utf-8"))
             for page in pages(root)}  # fmt: skip
    for claim in CLAIMS:
        try:
            text = text_of(claim, kept)
        except Missing as error:
            found.append(f"{claim.page}: claim {claim.text!r}: {error}")
            continue
        if _normal(text) not in texts.get(claim.page, ""):
            found.append(f"{claim.page}: does not say {_normal(text)!r}")
        found += [f"{claim.page}: claim {claim.text!r}: there is no {path}"
                  for path in re.findall(r"\b(?:tests|formats|clipcodec|docs)/[\w/.-]*\w", claim.by)
                  if not (root / path).exists()]  # fmt: skip
    return found


def update(root: Path, kept: Kept) -> None:
    """Put today's numbers into the sentences of claims that the results or the code make."""
    for claim in (claim for claim in CLAIMS if claim.values is not None):
        path = root / claim.page
        pattern = re.escape(_normal(claim.text)).replace(r"\ ", r"\s+")
        pattern = pattern.replace(r"\{\}", f"({NUMBER})")
        try:
            text = path.read_text("utf-8")
            values = claim.values(kept) if claim.values is not None else ()
            found = re.search(pattern, text)
        except (Missing, OSError):
            continue
        if found is None:
            continue
        for place, value in sorted(enumerate(values, 1), reverse=True):
            text = text[: found.start(place)] + value + text[found.end(place) :]
        path.write_text(text, "utf-8")


def unclaimed(root: Path) -> list[str]:
    """Sentences and tables with numbers that no claim accounts for, one line each."""
    kept = Kept(root / "docs" / "results")
    found = []
    for page in pages(root):
        name = page.relative_to(root).as_posix()
        if name == PAGE.as_posix():
            continue
        for part in _parts(page.read_text("utf-8"), _patterns(name, kept)):
            found.append(f"{name}: {part}")
    return found


def _patterns(page: str, kept: Kept) -> list[str]:
    """Of the claims of a page, the longest first."""
    found = []
    for claim in (claim for claim in CLAIMS if claim.page == page):
        try:
            found.append(re.escape(_normal(text_of(claim, kept))))
        except Missing:  # any numbers, then
            found.append(re.escape(_normal(claim.text)).replace(r"\{\}", NUMBER))
    return sorted(found, key=len, reverse=True)


def _parts(text: str, claimed: Sequence[str]) -> list[str]:
    """Sentences and tables with digits, once claims, names and code are taken out."""
    text = re.sub(r"^( {4}|\t).*$", "", FENCED.sub("", BLOCK.sub("", text)), flags=re.MULTILINE)
    found = []
    for part in re.split(r"\n\s*\n|\n(?=#)|\n(?=[-*] )|\n(?=\d\. )", text):
        if part.startswith("#"):
            continue
        if part.startswith("|"):
            head = part.splitlines()[0]
            cells = NAMES.sub("", "\n".join(part.splitlines()[1:]))
            if re.search(r"\d", cells) and re.escape(_normal(head)) not in claimed:
                found.append(f"table {head}")
            continue
        whole = _normal(ITEM.sub(" ", part))
        for claim in claimed:
            whole = re.sub(claim, " ", whole)
        whole = NAMES.sub("…", whole)
        found += [sentence.strip() for sentence in re.split(r"(?<=[.:;!?])\s+(?=[A-Z(*…])", whole)
                  if re.search(r"\d", sentence)]  # fmt: skip
    return found


def _normal(text: str) -> str:
    return " ".join(text.split())


def write_page(root: Path, kept: Kept, write: bool) -> list[str]:
    """Write docs/claims.md, or say that it differs."""
    path = root / PAGE
    after = page_text(kept)
    if path.exists() and path.read_text("utf-8") == after:
        return []
    if write:
        path.write_text(after, "utf-8")
        return []
    return [f"{PAGE.as_posix()}: differs from docs/rendering and docs/results"]


HEAD = """# Claims

What makes each number in these pages. The tables between `results` markers, the figures and this
page are written by `python docs/render.py` from [docs/results](results/). The tests find a page
that differs from the results, and results that other code made than today's.
"""
SECTIONS = (
    ("By kept results", "Sentences with numbers of the result files. The command at the head of "
     "each file makes it again.", [*BY_RESULTS, *BY_BENCHES]),
    ("By tests and code", "Numbers that the code, the format or a test decides.", BY_CODE),
    ("Measured once", "No kept command makes these again.", ONCE),
    ("By others", "Numbers of papers and data sets, as cited.", ELSEWHERE),
)  # fmt: skip


def page_text(kept: Kept) -> str:
    """The page of claims."""
    parts = [HEAD.rstrip()]
    for title, words, claims in SECTIONS:
        parts.append(f"\n## {title}\n\n{words}\n\n| page | claim | made by |\n|---|---|---|")
        for claim in claims:
            try:
                text = text_of(claim, kept)
            except Missing:
                text = claim.text
            parts.append(f"| {_link(claim.page)} | {_cell(text)} | {_cell(claim.by)} |")
    parts.append(NOT_RUN)
    return "\n".join(parts).rstrip() + "\n"


def _link(page: str) -> str:
    path = f"../{page}" if "/" not in page else page.removeprefix("docs/")
    return f"[{page.removeprefix('docs/')}]({path})"


def _cell(text: str) -> str:
    """Text for a cell: links without their addresses, which are those of another page."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", _normal(text))
    return text.strip("| ").replace("|", "·") if text.startswith("|") else text.replace("|", "\\|")
