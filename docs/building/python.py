"""One page for each public module, which mkdocstrings fills from the docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

# module → title of its page, in the order of the navigation
MODULES = {
    "clipcodec": "clipcodec",
    "clipcodec.errors": "Errors",
    "clipcodec.bulk": "clipcodec.bulk",
    "clipcodec.container": "clipcodec.container",
    "clipcodec.carriers": "clipcodec.carriers",
    "clipcodec.models": "clipcodec.models",
    "clipcodec.tasks.naming": "clipcodec.tasks.naming",
    "clipcodec.tasks.captioning": "clipcodec.tasks.captioning",
    "clipcodec.tasks.locating": "clipcodec.tasks.locating",
    "clipcodec.retrieval": "clipcodec.retrieval",
    "clipcodec.profile": "clipcodec.profile",
    "clipcodec.evaluation.compare": "clipcodec.evaluation.compare",
    "clipcodec.training.learn": "clipcodec.training.learn",
    "clipcodec.integrations.arrow": "clipcodec.integrations.arrow",
    "clipcodec.integrations.parquet": "clipcodec.integrations.parquet",
    "clipcodec.integrations.pandas": "clipcodec.integrations.pandas",
    "clipcodec.integrations.sql": "clipcodec.integrations.sql",
    "clipcodec.integrations.duckdb": "clipcodec.integrations.duckdb",
    "clipcodec.integrations.datasets": "clipcodec.integrations.datasets",
    "clipcodec.integrations.ray": "clipcodec.integrations.ray",
    "clipcodec.integrations.faiss": "clipcodec.integrations.faiss",
    "clipcodec.integrations.usearch": "clipcodec.integrations.usearch",
    "clipcodec.integrations.hnswlib": "clipcodec.integrations.hnswlib",
}
ERRORS = "clipcodec.errors"
WORDS = """::: {}
    options:
      members: []
      show_root_heading: false
      show_root_toc_entry: false"""  # the docstring of the module alone
WITHOUT_INHERITED = """
    options:
      inherited_members: false"""  # each error would have the methods of all errors


def source(module: str, root: Path) -> Path:
    """The file of a module or a package."""
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def public(module: str, root: Path) -> list[str]:
    """The names of a module's `__all__`, in its order; without one, what it defines itself."""
    tree = ast.parse(source(module, root).read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return [
        node.name
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
    ]


def where(module: str, name: str, root: Path) -> str:
    """Where a public name is found: in a package it may be that of a module, too, which it hides.

    Such as the function `clipcodec.models.spec`, which is `clipcodec.models.spec.spec`.
    """
    inner = f"{module}.{name}"
    return f"{inner}.{name}" if source(inner, root).exists() else inner


def titles(places: Iterable[str]) -> list[dict[str, str]]:
    """The pages for the navigation."""
    return [{MODULES[Path(place).stem]: place} for place in places]


def pages(root: Path) -> dict[str, str]:
    """The pages, by their place in the site."""
    errors = set(public(ERRORS, root))
    found = {}
    for module, title in MODULES.items():
        names = public(module, root)
        if module != ERRORS:  # errors have a page of their own
            names = [name for name in names if name not in errors]
        more = WITHOUT_INHERITED if module == ERRORS else ""
        members = [f"::: {where(module, name, root)}{more}" for name in names]
        parts = [f"# {title}", WORDS.format(module), *members]
        found[f"python/{module}.md"] = "\n\n".join(parts) + "\n"
    return found
