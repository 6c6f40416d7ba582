"""`python -m jina`: the command line under the interpreter of one's choice."""

from jina.cli.main import entry

entry()
