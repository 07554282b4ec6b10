"""Numbers in sentences: each stands in its page as the results have it, or names what makes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .claim import Claim, text_of
from .claimed_by_code import BY_CODE, ONCE, ELSEWHERE
from .claimed_by_results import BY_RESULTS, WAITING
from .kept import Kept, Missing
from .not_run import NOT_RUN
from .pages import BLOCK, pages

PAGE = Path("docs/claims.md")
CLAIMS = [*BY_RESULTS, *BY_CODE, *ONCE, *ELSEWHERE]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Digits that claim nothing: code, addresses, and names of models, formats and versions
NAMES = re.compile(
    r"`[^`]*`|\]\([^)]*\)|https?://\S+|<!--.*?-->|arXiv \d+\.\d+|et al\. \d{4}|section \d+|eq\. \d+|"
    r"ViT-[BL]/\d+(@\d+px)?|RN50x4|GPT-2|SAM 2|Figure \d|Table \d|"
    r"u?int\d+|float\d+|bf16|fp16|fp32|INT96|UTF-8|SHA-256|CRC-16|s390x|x86-64|W3C|C2PA|"
    r"ImageNet-200|10-nn|top-1|top-5|Food101|UCF101|Caltech101|Flowers102|SUN397|127\.0\.0\.1|"
    r"(Python|numpy|Pillow|exiftool|libvips|ImageMagick|exiv2|torch before|release|format version) "
    r"\d[\d.]*\d|Pillow \d+|Apache-2\.0|AVX-512|(exit )?code \d+|CVE-[\d-]+|8-bit|32-bit|16-bit"
)
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
    for (page, text), name in WAITING.items():
        if (kept.folder / f"{name}.json").exists():
            found.append(f"{page}: {name}.json is there now; claim what it says of {text!r}")
    return found


def unclaimed(root: Path) -> list[str]:
    """Sentences and tables with numbers that no claim accounts for, one line each."""
    kept = Kept(root / "docs" / "results")
    found = []
    for page in pages(root):
        name = page.relative_to(root).as_posix()
        if name == PAGE.as_posix():
            continue
        claimed = [_normal(text) for text in _texts(name, kept)]
        claimed += [_normal(text) for other, text in WAITING if other == name]
        for part in _parts(page.read_text("utf-8"), claimed):
            found.append(f"{name}: {part}")
    return found


def _texts(page: str, kept: Kept) -> list[str]:
    found = []
    for claim in (claim for claim in CLAIMS if claim.page == page):
        try:
            found.append(text_of(claim, kept))
        except Missing:
            continue
    return sorted(found, key=len, reverse=True)


def _parts(text: str, claimed: Iterable[str]) -> list[str]:
    """Sentences and tables with digits, once claims, names and code are taken out."""
    text = re.sub(r"^( {4}|\t).*$", "", FENCED.sub("", BLOCK.sub("", text)), flags=re.MULTILINE)
    claimed = list(claimed)
    found = []
    for part in re.split(r"\n\s*\n|\n(?=#)|\n(?=[-*] )|\n(?=\d\. )", text):
        if part.startswith("#"):
            continue
        if part.startswith("|"):
            head = part.splitlines()[0]
            cells = NAMES.sub("", "\n".join(part.splitlines()[1:]))
            if re.search(r"\d", cells) and _normal(head) not in claimed:
                found.append(f"table {head}")
            continue
        whole = _normal(ITEM.sub(" ", part))
        for claim in claimed:
            whole = whole.replace(claim, " ")
        whole = NAMES.sub("", whole)
        found += [sentence.strip() for sentence in re.split(r"(?<=[.:;!?])\s+(?=[A-Z(*])", whole)
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

What makes each number in these pages. The tables between `results` markers, the figures and this page
are written by `python docs/render.py` from [docs/results](results/); `--check`, which the tests run,
finds a page that differs from the results, and results that are older than the code which made
them.
"""
SECTIONS = (
    ("By kept results", "Sentences with numbers of the result files. The command at the head of "
     "each file makes it again.", BY_RESULTS),
    ("By tests and code", "Numbers that the code, the format or a test decides.", BY_CODE),
    ("Measured once", "No kept command makes these again; the page says how they were found.", ONCE),
    ("By others", "Numbers of papers and data sets, as cited.", ELSEWHERE),
)  # fmt: skip


def page_text(kept: Kept) -> str:
    """The page of claims."""
    parts = [HEAD]
    for title, words, claims in SECTIONS:
        parts.append(f"\n## {title}\n\n{words}\n\n| page | claim | made by |\n|---|---|---|")
        for claim in claims:
            try:
                text = text_of(claim, kept)
            except Missing:
                text = claim.text
            parts.append(f"| {_link(claim.page)} | {_cell(text)} | {_cell(claim.by)} |")
    if WAITING:
        parts.append("\n## Old\n\nMeasured before the results were kept, and to be measured again.\n\n"
                     "| page | claim |\n|---|---|")  # fmt: skip
        parts += [f"| {_link(page)} | {_cell(text)} |" for page, text in WAITING]
    parts.append(NOT_RUN)
    return "\n".join(parts).rstrip() + "\n"


def _link(page: str) -> str:
    path = f"../{page}" if "/" not in page else page.removeprefix("docs/")
    return f"[{page.removeprefix('docs/')}]({path})"


def _cell(text: str) -> str:
    """Text for a cell: links without their addresses, which are those of another page."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", _normal(text))
    return text.strip("| ").replace("|", "·") if text.startswith("|") else text.replace("|", "\\|")
