"""`clipcodec completion`: a script for a shell, made by shtab from our own parser.

The script knows all verbs and options, so completing starts no Python.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..integrations.extras import need
from ..profile.registry import ANY_BACKBONE, registered
from .arguments.parser import Command, build_parser
from .terminal import tell

# the values of arguments, by the word that stands for them in --help
FILES = {"CONTAINER", "DATA", "DIR_OR_NAME", "FILE", "IMAGE", "INPUT", "LABEL",
         "MODEL", "OUT", "OUT.clpc", "OUT.json", "OUT.safetensors", "OUT.svg", "QUERY",
         "STREAM"}  # fmt: skip
FOLDERS = {"DIR"}


def run(args: argparse.Namespace) -> int:
    for line in script(args.shell).splitlines():
        tell(line)
    return 0


def script(shell: str) -> str:
    """The script for one of `arguments.profiles.SHELLS`."""
    shtab = need("shtab", "completion")
    parser = build_parser()
    _mark(parser, shtab)
    text: str = shtab.complete(parser, shell)
    return text.expandtabs()  # which a terminal may not show


def _mark(parser: Command, shtab: Any) -> None:
    """Say what the values of each argument are, as shtab wants it."""
    models = [*dict.fromkeys(row.backbone for row in registered() if row.backbone != ANY_BACKBONE)]
    words = {"VERB": [*parser.verbs], "BACKBONE": models}
    for verb in parser.verbs.values():
        for action in verb._actions:
            value: Any = action  # it has no `complete` of its own
            if action.metavar in FILES:
                value.complete = shtab.FILE
            elif action.metavar in FOLDERS:
                value.complete = shtab.DIRECTORY
            elif action.metavar == "PROFILE":
                value.complete = _profiles()
            elif action.dest == "backbone":
                action.choices = models
            elif action.metavar in words:
                action.choices = words[str(action.metavar)]


def _profiles() -> dict[str, Any]:
    """The names of profiles, and files."""
    names = " ".join(row.name for row in registered())
    name = "_clipcodec_profiles"
    return {
        "bash": name,
        "zsh": name,
        "fish": f"({name})",
        "preamble": {
            "bash": f'{name}() {{ compgen -W "{names}" -- "$1"; compgen -f -- "$1"; }}\n',
            "zsh": f"{name}() {{ compadd -- {names}; _files }}\n",
            "fish": f"function {name}\n"
            f"  printf '%s\\n' {names}\n"
            "  __fish_complete_path (commandline -ct)\n"
            "end\n",
        },
    }
