"""`jina completion`: a script for the user's shell, which asks `jina completions` for the words."""

from __future__ import annotations

import argparse

SCRIPTS = {
    "bash": """\
_jina() {
    COMPREPLY=($(compgen -W "$(jina completions "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2> /dev/null)" -- "$2"))
    [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$2"))
}
complete -o filenames -F _jina jina""",
    "zsh": """\
#compdef jina
_jina() {
    local -a found
    found=(${(f)"$(jina completions ${words[2,CURRENT-1]} 2> /dev/null)"})
    compadd -a found || _files
}
compdef _jina jina""",
    "fish": """\
complete -c jina -a '(jina completions (commandline -opc)[2..-1] 2> /dev/null)'""",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=sorted(SCRIPTS), help='put eval "$(jina completion bash)" in ~/.bashrc')


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    print(SCRIPTS[options.shell])
    return 0
