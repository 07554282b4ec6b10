"""What may be typed: help, examples, usage errors, completion. No verb is run but `help`."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipcodec.cli.arguments import usage, values
from clipcodec.cli.arguments.parser import build_parser
from clipcodec.cli.completion import FILES, FOLDERS, script
from tests.helpers.paths import ROOT
from tests.helpers.processes import exit_code, run

VERBS = build_parser().verbs
EXAMPLES = [(name, command) for name, p in VERBS.items() for _, command in p.examples]
# the values of arguments that are neither files nor words of a list
PLAIN = {"N", "C", "Q", "E", "K", "P", "R", "S", "T", "G", "H", "W", "D", "NAME", "TEXT", "CODEC",
         "PROFILE", "BACKBONE", "DEVICE", "VERB", "ID", "PATTERN", "GLOB"}  # fmt: skip


def parsed(*args: str) -> argparse.Namespace:
    return build_parser().parse_args(args)


def arguments() -> Iterator[tuple[str, argparse.Action]]:
    """Every argument of every verb."""
    return ((name, action) for name, p in VERBS.items() for action in p._actions)


# --- help ---


@pytest.mark.parametrize(("name", "command"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_examples_are_command_lines(name: str, command: str) -> None:
    words = shlex.split(command.partition(" > ")[0])
    assert words[0] == "clipcodec"
    assert parsed(*words[1:]).verb in VERBS


def test_every_verb_has_examples_of_its_own_and_a_page() -> None:
    for name, p in VERBS.items():
        assert 2 <= len(p.examples) <= 4, name
        assert p.examples[0][1].split()[1] == name
        assert (ROOT / "docs" / f"{p.page}.md").is_file(), name
        assert p.url == f"https://clipcodec.github.io/clipcodec/docs/{p.page}/"


@pytest.mark.parametrize("name", VERBS)
def test_help_has_all_of_it(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`VERB --help` and `help VERB` say the same: usage, options in groups, examples, the page."""
    monkeypatch.setenv("COLUMNS", "80")
    assert exit_code(name, "--help") == 0
    text = capsys.readouterr().out
    assert exit_code("help", name) == 0
    assert capsys.readouterr().out == text
    p = VERBS[name]
    assert text.startswith(f"usage: clipcodec {name} ")
    assert len(text[: text.index("\n\n")].splitlines()) <= 2  # not every option
    assert str(p.description) in text
    for _, command in p.examples:
        assert f"  {command}\n" in text
    assert text.endswith(f"\n\nMore: {p.url}\n")
    for action in p._actions:
        for flag in action.option_strings or [str(action.metavar)]:
            assert re.search(rf"^  (.*, )?{re.escape(flag)}\b", text, re.MULTILINE), flag


def test_every_argument_is_in_a_group_and_explained() -> None:
    for name, action in arguments():
        titles = [g.title for g in VERBS[name]._action_groups if action in g._group_actions]
        assert titles[0] in usage.GROUPS, f"{name} {action.dest}"
        assert action.help, f"{name} {action.dest}"


def test_every_verb_that_overwrites_has_an_output() -> None:
    for name, p in VERBS.items():
        flags = p._option_string_actions
        assert ("--force" in flags) <= ({"-o", "--output", "-f"} <= flags.keys()), name


def test_the_first_help_lists_every_verb_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("help") == 0
    text = capsys.readouterr().out
    assert exit_code("--help") == 0
    assert capsys.readouterr().out == text
    assert re.findall(r"^  ([a-z-]+)  ", text, re.MULTILINE) == [*VERBS]
    for title in build_parser().families:
        assert f"\n{title}:\n" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    import clipcodec

    assert exit_code(flag) == 0
    assert capsys.readouterr().out == f"clipcodec {clipcodec.__version__}\n"


def test_a_bare_command_shows_the_way() -> None:
    """On stderr, with exit code 2: in a script it is a mistake."""
    done = run(COLUMNS="80")
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert {*VERBS} <= {*text.split()}
    assert "\n  clipcodec demo " in text
    assert max(map(len, text.splitlines())) <= 90


# --- order of arguments ---


def test_inputs_may_stand_before_and_after_options() -> None:
    args = parsed("compress", "a.jpg", "--max-bytes", "34", "b.jpg", "-q", "c.jpg", "-o", "out/")
    assert args.inputs == ["a.jpg", "b.jpg", "c.jpg"]
    assert (args.max_bytes, args.output, args.quiet) == (34, "out/", True)


def test_an_option_of_many_values_takes_what_follows() -> None:
    args = parsed("classify", "a.clip", "--labels", "cat", "dog", "-k", "1", "b.clip")
    assert (args.inputs, args.labels, args.k) == (["a.clip", "b.clip"], ["cat", "dog"], 1)
    args = parsed("classify", "--labels", "cat", "dog", "--", "a.clip")
    assert (args.inputs, args.labels) == (["a.clip"], ["cat", "dog"])


def test_short_options_run_together() -> None:
    args = parsed("compress", "-qf", "x", "-oout.clip")
    assert (args.quiet, args.force, args.output) == (True, True, "out.clip")
    assert parsed("search", "x", "-k5").k == 5
    assert parsed("cat", "x.clpc", "--index", "0", "-1", "-o", "y/").index == [0, -1]


def test_values_may_begin_with_a_minus() -> None:
    assert parsed("search", "x", "--text=-5 degrees").text == ["-5 degrees"]
    assert parsed("search", "x", "--text", "-5 degrees").text == ["-5 degrees"]
    args = parsed("compress", "-", "-o", "-")
    assert (args.inputs, args.output) == (["-"], "-")
    assert parsed("compress", "-f", "--", "-x.jpg", "--help").inputs == ["-x.jpg", "--help"]


# --- command lines that are wrong ---


@pytest.mark.parametrize(
    ("line", "says"),
    [
        # options that there are not
        ("compress x --max-byte 50", "--max-byte: no such option; did you mean --max-bytes?"),
        ("compress x --max 50", "--max: no such option; did you mean --max-bytes?"),
        ("compress x --qual=5", "--qual: no such option; did you mean --quality?"),
        ("train --embedings x.npy", "--embedings: no such option; did you mean --embeddings?"),
        ("info x --quality 5", "--quality: no such option"),
        ("compress x -output y", "-output: no such option; did you mean --output?"),
        ("compress x -qz", "-qz: no such option"),
        ("compress x -z", "-z: no such option"),
        ("search x --text -z", "-z: no such option; to give it as a value write --text=-z"),
        # values
        ("compress x --max-bytes ten", "--max-bytes ten: expected a whole number of at least 1"),
        ("compress x --max-bytes 0", "--max-bytes 0: expected a whole number of at least 1"),
        ("compress x --max-bytes -5", "--max-bytes -5: expected a whole number of at least 1"),
        ("compress x --max-bytes 1.5", "--max-bytes 1.5: expected a whole number of at least 1"),
        ("compress x --quality 0", "--quality 0: expected a number from 1 to 100"),
        ("compress x --quality nan", "--quality nan: expected a number from 1 to 100"),
        ("compress x --min-cosine 2", "--min-cosine 2: expected a number from 0 to 1"),
        ("compress x --mean-bytes 0", "--mean-bytes 0: expected a number above 0"),
        ("compress x --mean-bytes inf", "--mean-bytes inf: expected a number above 0"),
        ("compress x --effort 10", "--effort 10: expected a whole number from 1 to 9"),
        ("compress x --workers -1", "--workers -1: expected a whole number from 0 to 256"),
        ("search x -k 0", "-k 0: expected a whole number of at least 1"),
        ("search x -k0", "-k 0: expected a whole number of at least 1"),
        ("evaluate x --max-bytes 25 x", "--max-bytes x: expected a whole number of at least 1"),
        ("browse x --port 70000", "--port 70000: expected a whole number from 0 to 65535"),
        ("train --embeddings x -o p --learning-rate 2",
         "--learning-rate 2: expected a number above 0 and at most 1"),
        ("compress x --entropy huff",
         "--entropy huff: expected auto, huffman, rans or raw; did you mean huffman?"),
        ("completion tcsh", "SHELL tcsh: expected bash, zsh or fish"),
        ("compress x -o", "-o/--output needs a value"),
        ("compress x -o -q", "-o/--output needs a value"),
        ("classify x --labels", "--labels needs a value"),
        ("info x --json=1", "--json takes no value"),
        # too few, too many
        ("compress", "INPUT is missing"),
        ("train --embeddings x.npy", "-o/--output is missing"),
        ("train", "-o/--output is missing"),
        ("compress x --max-bytes 5 --quality 5",
         "--quality and --max-bytes contradict each other: give one of them"),
        ("split x.clpc -o y", "one of --items, --parts, --streams is missing"),
        ("cat x.clpc --index one", "--index one: expected a whole number"),
        ("profiles a b", "b: one argument too many"),
    ],
)  # fmt: skip
def test_usage_errors_are_two_lines_of_the_verb(
    line: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = line.split()[0]
    assert exit_code(*line.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        f"clipcodec {verb}: {says}",
        f"clipcodec {verb} --help shows its options and examples",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("compres x", "compres: no such verb; did you mean compress?"),
        ("rm x", "rm: no such verb; did you mean delete?"),
        ("help list", "list: no such verb; did you mean ids or head?"),
        ("help compres", "compres: no such verb; did you mean compress?"),
        ("train-", "train-: no such verb; did you mean train-captioner or train?"),
        ("nothing", "nothing: no such verb"),
        ("--versio", "--versio: no such option; did you mean --version?"),
        ("--max-bytes 5 compress x",
         "--max-bytes: options come after the verb, as in clipcodec VERB --max-bytes"),
    ],
)  # fmt: skip
def test_usage_errors_of_the_command(
    line: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*line.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [f"clipcodec: {says}", "clipcodec help lists the verbs"]


def test_files_in_the_place_of_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "-x.jpg").touch()
    assert exit_code("photo.jpg") == 2
    assert "to compress this file: clipcodec compress photo.jpg" in capsys.readouterr().err
    assert exit_code("compress", "-x.jpg") == 2
    assert "for the file of that name write ./-x.jpg" in capsys.readouterr().err


def test_what_was_typed_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["\x1b[31m"], ["--\x1b[31m"], ["info", "--\x1b[31m"], ["search", "-k", "\x1b"]):
        assert exit_code(*args) == 2
        assert "\x1b" not in capsys.readouterr().err


def test_abbreviations_are_refused() -> None:
    """`--max` would change its meaning with the next option that begins so."""
    for name, p in VERBS.items():
        for flag in p._option_string_actions:
            if flag.startswith("--") and flag[:-1] not in p._option_string_actions:
                with pytest.raises(SystemExit):
                    parsed(name, flag[:-1])


def test_every_value_is_read_by_a_type_that_says_what_is_expected() -> None:
    """argparse's own `int`, `float` and `choices` would speak otherwise."""
    for name, action in arguments():
        if action.type is not None:
            assert getattr(action.type, "__module__", "") == values.__name__, (name, action.dest)
        assert (action.type is not None) or not action.choices, (name, action.dest)


@pytest.mark.parametrize("name", ["predictive", "openai-vit-b-32/predictiv"])
def test_a_usage_error_found_later_names_the_verb(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("compress", "x.npy", "--profile", name) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"clipcodec compress: no profile '{name}'; did you mean ")
    assert "openai-vit-b-32/predictive" in told


# --- completion ---


TAB = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
complete=$(complete -p clipcodec); complete=${complete##*-F }
${complete%% *} clipcodec "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("shtab")
    done = run("completion", "bash")
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp("completion") / "clipcodec"
    path.write_bytes(done.stdout)
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["comp"], {"compact", "compare", "compress", "completion"}),
        (["compress", "--max-"], {"--max-bytes"}),
        (["compress", "a.jpg", "--qu"], {"--quality", "--quiet"}),
        (["compress", "--entropy", ""], {"auto", "huffman", "rans", "raw"}),
        (["compress", "--profile", "any/"], {"any/rotation"}),
        (["compress", "phot"], {"photo.jpg", "photos"}),
        (["decompress", "x.clip", "-o", "phot"], {"photo.jpg", "photos"}),
        (["browse", "x.clpc", "--images", "phot"], {"photos"}),
        (["fetch", "openai-vit-l"], {"openai-vit-l-14-336"}),
        (["help", "train"], {"train", "train-captioner"}),
    ],
)
def test_bash_completes(
    words: list[str], expected: set[str], bash_script: Path, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "photos").mkdir()
    done = subprocess.run(
        ["bash", "--norc", "-c", TAB, "tab", bash_script, "clipcodec", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert {line.rstrip("/") for line in done.stdout.splitlines()} == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_of_other_shells_know_every_option(shell: str) -> None:
    pytest.importorskip("shtab")
    text = script(shell)
    for name, p in VERBS.items():
        assert name in text
        for flag in p._option_string_actions:
            assert flag.lstrip("-") in text, f"{name} {flag}"
    if path := shutil.which(shell):
        done = subprocess.run(
            [path, "-n"], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_completion_knows_what_every_value_is() -> None:
    """A file, a folder, a word of a list, or nothing that could be completed."""
    for name, action in arguments():
        if action.nargs != 0 and not action.choices:
            assert action.metavar in FILES | FOLDERS | PLAIN, f"{name} {action.dest}"


# --- colour ---


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize(
    "line", ["", "--help", "compress --help", "help compress", "compres", "profiles", "info none"]
)
def test_nothing_is_coloured_with_no_color_set(line: str) -> None:
    """On a terminal that has colours. https://no-color.org"""
    env = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "PYTHON_COLORS")}
    read, write = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "clipcodec", *line.split()], stdin=subprocess.DEVNULL,
        stdout=write, stderr=write, env={**env, "TERM": "xterm-256color", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(write)
    told = b""
    try:
        while block := os.read(read, 1 << 16):
            told += block
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(read)
    child.wait(timeout=60)
    assert b"clipcodec" in told or b"profile" in told
    assert b"\x1b[" not in told
