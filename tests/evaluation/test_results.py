"""clipcodec.evaluation.results: result files, and when one is out of date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clipcodec.errors import OptionError
from clipcodec.evaluation.results import Results, code_digest

MODULE = '''"""Words."""

# a comment
def double(x: int) -> int:
    """Twice as much."""
    return 2 * x  # at the end
'''


def test_points_are_saved_one_by_one_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.json"
    results = Results.load(path, "measure it")
    results.add({"key": "b", "cosine": 0.5})
    results.add({"key": "a", "cosine": 0.25})
    results.add({"key": "b", "cosine": 0.75})
    again = Results.load(path)
    assert again.command == "measure it"
    assert {key: point["cosine"] for key, point in again.points.items()} == {"b": 0.75, "a": 0.25}
    again.keep_only(["a", "b", "c"])
    assert list(Results.load(path).points) == ["a", "b"]
    again.keep_only(["b"])
    assert list(Results.load(path).points) == ["b"]


def test_a_point_says_when_and_with_what_it_was_made(tmp_path: Path) -> None:
    results = Results(tmp_path / "r.json", "x")
    results.add({"key": "a"})
    made = results.points["a"]["made"]
    assert made["versions"]["numpy"]
    assert made["machine"]
    assert len(made["date"]) == len("2026-01-01")
    results.add({**results.points["a"], "made": "before"})
    assert results.points["a"]["made"] == "before"


def test_results_without_a_file_stay_in_memory() -> None:
    results = Results(None, "x")
    results.add({"key": "a"})
    assert list(results.points) == ["a"]


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"format": "other"}', '{"points": []}'])
def test_what_is_no_result_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(OptionError, match="is not a result file"):
        Results.load(path, "x")
    with pytest.raises(FileNotFoundError):
        Results.load(tmp_path / "missing.json")


def test_a_file_is_json_with_a_line_for_each_point(tmp_path: Path) -> None:
    results = Results(tmp_path / "r.json", "x")
    for key in "abc":
        results.add({"key": key})
    text = (tmp_path / "r.json").read_text("utf-8")
    assert [point["key"] for point in json.loads(text)["points"]] == ["a", "b", "c"]
    assert sum('"key"' in line for line in text.splitlines()) == 3


def test_the_digest_follows_code_and_weights_and_not_words(tmp_path: Path) -> None:
    """A better docstring or comment makes no result look old; another number does."""
    path = tmp_path / "m.py"
    path.write_text(MODULE)
    first = code_digest(["*.py"], root=tmp_path)
    words = MODULE.replace("Twice as much.", "Two\n    times.").replace("# a comment", "#")
    path.write_text(words.replace("# at the end", "# better"))
    assert code_digest(["*.py"], root=tmp_path) == first
    path.write_text(MODULE.replace("2 * x", "3 * x"))
    assert code_digest(["*.py"], root=tmp_path) != first
    path.write_text(MODULE)
    assert code_digest(["*.py"], "weights", root=tmp_path) != first
    path.rename(tmp_path / "n.py")
    assert code_digest(["*.py"], root=tmp_path) != first
    with pytest.raises(OptionError, match=r"no module matches 'none\.py'"):
        code_digest(["none.py"], root=tmp_path)


def test_the_digest_leaves_out_what_an_interpreter_shows(tmp_path: Path) -> None:
    """`__repr__` and `__dir__`, in a class or a module, however long; other methods count."""
    path = tmp_path / "m.py"
    plain = "class A:\n    x = 1\n\n    def size(self):\n        return 2\n"
    path.write_text(plain)
    first = code_digest(["*.py"], root=tmp_path)
    shown = (
        "\n    @final  # a decorator belongs to it\n    def __repr__(self):\n"
        '        """Words."""\n        from b import c\n\n'
        "        return c(\n            1,\n        )\n"
    )
    path.write_text(plain + shown + "\n\ndef __dir__():\n    return ['A']\n")
    assert code_digest(["*.py"], root=tmp_path) == first
    path.write_text(plain.replace("    x = 1\n", shown.replace("c(", "d(") + "\n    x = 1\n"))
    assert code_digest(["*.py"], root=tmp_path) == first
    for name in ("__str__", "repr", "__repr"):
        path.write_text(plain + shown.replace("__repr__", name))
        assert code_digest(["*.py"], root=tmp_path) != first
