"""Runs the blocks of a page, in order, in one empty folder."""

from __future__ import annotations

import ast
import builtins
import doctest
import io
import os
import re
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clipcodec.errors import OutputExistsError
from clipcodec.models import BACKBONES
from clipcodec.tasks import locating
from tests.helpers.stand_in import stand_in

from . import commands
from .blocks import Block, blocks
from .prepared import NAMES, prepare

PYTHON, SHELL = ("python", "py"), ("sh", "bash", "shell")
DATA = ("", "text", "txt", "json", "xml", "toml", "yaml", "ini", "csv", "mermaid", "bibtex")
OUTPUT = re.compile(r"""(create|save|save_pretrained)\(["'][^"']+["']""")  # what code makes
OTHERS = ("open_clip:ViT-B-16-SigLIP:webli",)  # backbones that pages name, besides ours


_regions = locating.sam_regions


def _few_points(*arguments: Any, **options: Any) -> Any:
    return _regions(*arguments, **{**options, "points_per_side": 4})


def _stand_in_of(arch: str, pretrained: str, **options: Any) -> Any:
    """What open_clip's `create_model_and_transforms` makes of our backbones, with tiny networks."""
    ours = (arch, pretrained) == ("ViT-B-32-quickgelu", "openai")
    name = "openai-vit-b-32" if ours else f"open_clip:{arch}:{pretrained}"
    factory = import_module("open_clip.factory")
    return factory.create_model_and_transforms(BACKBONES[name].arch, **options)


def _timm_model(name: str, pretrained: bool, **options: Any) -> Any:
    """What `timm.create_model` makes, with one layer and random weights."""
    factory = import_module("timm.models")
    return factory.create_model(name, depth=1, **options)


@dataclass
class Report:
    """What happened to the blocks of a page.

    ran      how many blocks or commands ran
    left     (line, what, why) of those that cannot
    faults   a line for each that failed: page, line, block, error
    slow     (seconds, what) of each that ran
    """

    page: str
    ran: int = 0
    left: list[tuple[int, str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.slow.append((time.perf_counter() - start, what))


def run_page(page: Path, root: Path) -> Report:
    """Run all blocks of a page that is in the checkout `root`."""
    report, start = Report(str(page.relative_to(root))), time.perf_counter()
    found = blocks(page)
    if any(block.language not in DATA for block in found):
        with _place(root) as (folder, programs):
            names: dict[str, Any] = {"__name__": "__main__"}
            for number, block in enumerate(found, 1):
                _run_block(block, number, report, names, folder, programs)
    report.seconds = time.perf_counter() - start
    return report


@contextmanager
def _place(root: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """An empty folder, which is the current one; no process-wide setting of a page outlives it."""
    before = os.getcwd()
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="clipcodec-page-"))
        folder = Path(made).resolve() / "work"
        folder.mkdir()
        stack.enter_context(stand_in(*OTHERS))
        caches = {"HF_DATASETS_CACHE": str(folder.parent / "datasets")}
        stack.enter_context(patch.dict(os.environ, caches))
        # Starting worker processes takes seconds; they have tests of their own.
        stack.enter_context(patch("clipcodec.bulk.pipeline.default_workers", lambda: 0))
        # A network for masks is asked about 16 points, as 1,024 take seconds for each picture.
        for place in ("clipcodec.cli.locate", "clipcodec.tasks.locating"):
            stack.enter_context(patch(f"{place}.sam_regions", _few_points))
        stack.enter_context(patch("open_clip.create_model_and_transforms", _stand_in_of))
        stack.enter_context(patch("timm.create_model", _timm_model))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        programs = commands.write_programs(folder.parent / "bin", root)
        stack.callback(os.chdir, before)
        os.chdir(folder)
        yield folder, programs


def _run_block(
    block: Block,
    number: int,
    report: Report,
    names: dict[str, Any],
    folder: Path,
    programs: dict[str, str],
) -> None:
    def fault(line: int, error: str) -> None:
        indented = error.strip().replace("\n", "\n    ")
        report.faults.append(f"{report.page}:{line}: block {number}: {indented}")

    language = block.language
    if language in PYTHON:  # also of what does not run here
        try:
            compile(_placed(block), str(block.page), "exec")
        except SyntaxError as error:
            return fault(error.lineno or block.line, f"SyntaxError: {error.msg}")
    if language in DATA:
        return None
    reason = block.reason or (commands.named(block.code) if language in PYTHON else None)
    if reason is not None:
        report.left.append((block.line, f"{language} block {number}", reason))
        return None
    if language in PYTHON or language == "pycon":
        report.ran += 1
        run = _run_python if language in PYTHON else _run_session
        with report.timed(f"block {number}"):
            wrong = run(block, names, folder)
        return fault(block.line, wrong) if wrong else None
    if language == "console":
        typed = [line[2:] for line in block.code.splitlines() if line.startswith("$ ")]
        found = typed
    elif language in SHELL:
        found = commands.commands(block.code)
    else:
        return fault(block.line, f"{language}: no known language; mark it as not run, and why")
    for command in found:
        reason = commands.elsewhere(command)
        if reason is not None:
            report.left.append((block.line, command.strip().splitlines()[0], reason))
            continue
        report.ran += 1
        try:
            with report.timed(command):
                commands.run(command, folder, programs)
        except Exception as error:
            fault(block.line, f"{command.strip()}\n{_words(error)}")
    return None


def _words(error: Exception) -> str:
    name = "" if isinstance(error, commands.CommandError) else f"{type(error).__name__}: "
    return f"{name}{error}"


def _placed(block: Block) -> str:
    """The code with empty lines before it, so that its line numbers are those of the page."""
    return "\n" * (block.line - 1) + block.code


def _run_python(block: Block, names: dict[str, Any], folder: Path) -> str | None:
    """Run a block in the page's namespace; the error, if there is one."""
    said = io.StringIO()
    try:
        _set_names(block.code, names)
        prepare(OUTPUT.sub(r"\1", block.code), folder)
        code = compile(_placed(block), str(block.page), "exec")
        with redirect_stdout(said), redirect_stderr(said):
            try:
                exec(code, names)
            except OutputExistsError as error:  # pages show several ways to make the same file
                found = commands.EXISTS.search(str(error))
                assert found is not None
                (folder / found[1]).unlink()
                exec(code, names)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return _trace(block, error)
    return None


def _trace(block: Block, error: BaseException) -> str:
    """The line of the page at which it happened, and the error."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next(
        (f"line {f.lineno}: {f.line}\n" for f in frames if f.filename == str(block.page)), ""
    )
    return place + "".join(traceback.format_exception_only(error))


def _run_session(block: Block, names: dict[str, Any], folder: Path) -> str | None:
    _set_names("\n".join(line[4:] for line in block.code.splitlines() if line[:4] == ">>> "), names)
    prepare(block.code, folder)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(
        block.code, names, block.page.name, str(block.page), block.line - 1
    )
    test.globs = names
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    runner.run(test, out=said.write, clear_globs=False)
    return said.getvalue() if runner.failures else None


def _set_names(code: str, names: dict[str, Any]) -> None:
    """Set the names of `NAMES` that the code uses before it sets them."""
    tree = ast.parse(code)
    stored = {
        node.id: node.lineno
        for node in reversed([*ast.walk(tree)])
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        unset = node.id not in names and not hasattr(builtins, node.id)
        if unset and node.id in NAMES and stored.get(node.id, node.lineno) >= node.lineno:
            names[node.id] = NAMES[node.id][1]()
