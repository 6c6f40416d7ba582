"""The rules by name: what each finds. The names are stable: scripts may rely on them."""

from __future__ import annotations

from typing import Final

RULES: Final[dict[str, str]] = {
    "python-syntax": "A Python file that uses jina or DocArray cannot be parsed.",
    "yaml-syntax": "A YAML file cannot be parsed, or is refused: keys given twice, tags that construct objects.",
    "not-read": "A file is too large, or is not UTF-8 text.",
    "jina-import": "A module or name of Jina that is not served here is imported.",
    "docarray-import": "A module or name that DocArray removed in version 0.30 is imported or used.",
    "docarray-api": "A method of `Document` or `DocumentArray` that is not there is used.",
    "not-available": "Something of Jina 3 is used that is not available yet.",
    "hub-uses": "`uses` names a package or an image of the hub of Jina 3 that has to be in a registry of yours.",
    "executor-class": "An Executor breaks the contract: signatures, annotations, decorators, endpoints.",
    "executor-init": "The `__init__` of an Executor does not take what is injected, or does not pass it on.",
    "type-checking-import": "A type that a handler names is imported under `if TYPE_CHECKING:`.",
    "unknown-option": "An option, a key, or an argument of `post` does not exist.",
    "wrong-value": "An option has a value that is refused, or does not go together with another one.",
    "without-effect": "Something of a YAML file has no effect here.",
    "old-option": "An option has a newer name.",
    "flow-graph": "The graph of a Flow is refused.",
    "missing-file": "A file that a YAML file names is not there.",
    "missing-variable": "A YAML file needs a variable that is not set.",
    "unknown-endpoint": "A request goes to an endpoint that no Executor of the project has.",
    "unknown-method": "A method is called that a Flow, a Deployment or a client does not have.",
    "unknown-command": "A command line of `jina` does not exist here.",
    "jina-requirement": "A requirement installs Jina 3.",
    "other-requirement": "A requirement excludes what this version needs.",
    "python-version": "The Python version is too old.",
}
"""Rule -> what it finds."""
