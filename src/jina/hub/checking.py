"""The check of a package: its class is imported in a child process with a time limit, its endpoints are listed.

The child is this module run as a program (`python -m jina.hub.checking FOLDER RESULT`): what a package does when it is
imported, ends or hangs, happens to the child.
"""

from __future__ import annotations

import collections
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from jina.errors import ConfigError, ending_of
from jina.hub.oci import canonical

SECONDS: Final = 120.0
"""How long a package may take to be imported, unless said otherwise."""
_RESULT_BYTES: Final = 4 << 20
_LINES: Final = 20
_PIECE: Final = 1 << 12
_PIECES: Final = 16
_LAST_WORDS: Final = 2.0
_PLACE: Final = re.compile(r"([^\s:,;()'\"]+\.(?:py|ya?ml|json)):(\d+)")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, and where: `path` is below the folder, `line` 0 where none is known."""

    path: str
    line: int
    message: str
    help: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}" + (f"\n  help: {self.help}" if self.help else "")


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check found."""

    jtype: str = ""
    endpoints: list[dict[str, Any]] = field(default_factory=list)
    """Path, method and kind of each, the names of its types, and their JSON Schemas."""
    mistakes: list[Mistake] = field(default_factory=list)

    def required(self) -> Checked:
        """Itself; raises `ConfigError` where there are mistakes."""
        if self.mistakes:
            count = len(self.mistakes)
            listed = "".join(f"\n  {one}" for one in self.mistakes)
            raise ConfigError(f"the package has {count} mistake{'' if count == 1 else 's'}:{listed}")
        return self


def check_package(folder: Path, config: str, *, seconds: float = SECONDS) -> Checked:
    """Import the package in a child process; its mistakes are in the result, and nothing is raised for them."""
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as place:
        result = Path(place) / "result.json"
        link, ours = os.pipe()  # its end tells the child that this process is gone
        command = [sys.executable, "-P", "-m", "jina.hub.checking", str(folder), config, str(result), str(link)]
        # A session of its own, so that what the package starts is ended with it.
        with (
            os.fdopen(ours, "wb"),
            os.fdopen(link, "rb"),
            subprocess.Popen(  # noqa: S603 - ourselves
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(link,),
            ) as child,
        ):
            said = _Said(child)
            try:
                status = child.wait(seconds)
            except subprocess.TimeoutExpired:
                return _failed(config, f"the package was not imported within {seconds:g} s", "a longer time: --timeout")
            finally:
                _end(child)
        return _read(result, config, status, said.end())


class _Said:
    """The end of what a child prints, however much that is."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        self._pieces: collections.deque[bytes] = collections.deque(maxlen=_PIECES)
        self._thread = threading.Thread(target=self._follow, args=(os.dup(child.stdout.fileno()),), daemon=True)
        self._thread.start()

    def _follow(self, source: int) -> None:
        try:
            while data := os.read(source, _PIECE):
                self._pieces.append(data)
        finally:
            os.close(source)

    def end(self) -> str:
        """The last of it; what has left the child's session may hold the pipe open, and is not waited for."""
        self._thread.join(_LAST_WORDS)
        return b"".join(list(self._pieces)).decode(errors="replace")


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()


def _read(result: Path, config: str, status: int, output: str) -> Checked:
    try:
        with result.open("rb") as file:
            value = json.loads(file.read(_RESULT_BYTES))
        found = [Mistake(**one) for one in value["mistakes"]]
        return Checked(str(value["jtype"]), list(value["endpoints"]), found)
    except (OSError, ValueError, LookupError, TypeError):
        last = "\n".join(output.strip().splitlines()[-_LINES:])
        ended = "ended without a result" if status == 0 else ending_of(status)
        return _failed(config, f"importing the package {ended}" + (f":\n{last}" if last else ""), "")


def _failed(config: str, message: str, advice: str) -> Checked:
    return Checked(mistakes=[Mistake(config, 0, message, advice)])


# --- in the child -------------------------------------------------------------------------------------------------


def _inspect(folder: Path, config: str) -> Checked:
    from jina.executor.base import Executor
    from jina.executor.binding import check_overrides
    from jina.executor.decorators import check_init
    from jina.executor.loading import check_arguments, find_class, reference_of

    found: list[Mistake] = []

    def tried(action: Callable[[], Any]) -> Any:
        try:
            return action()
        except ConfigError as error:
            found.append(_mistake(error, folder, config))
            return None

    plan, _ = tried(lambda: reference_of(str(folder / config))) or (None, None)
    cls = plan and tried(lambda: find_class(plan))
    if plan is None or cls is None:
        return Checked(mistakes=found)
    tried(lambda: check_init(cls))
    tried(lambda: check_arguments(cls, plan.with_args, Executor))
    tried(lambda: check_overrides(cls, plan.requests, plan.requests_at))
    endpoints = [made for one in _endpoints(cls, plan.requests) if (made := tried(one)) is not None]
    return Checked(cls.__name__, endpoints, list(dict.fromkeys(found)))


def _endpoints(cls: type, overrides: dict[str, str]) -> Iterator[Callable[[], dict[str, Any]]]:
    from jina.executor.binding import endpoints_of, marked

    moved = set(overrides.values())
    table = {path: name for path, name in endpoints_of(cls).items() if name not in moved} | overrides
    notes = marked(cls)
    for path, name in sorted(table.items()):
        if callable(getattr(cls, name, None)):
            yield lambda path=path, name=name: _endpoint(cls, path, name, notes.get(name))  # type: ignore[misc]


def _endpoint(cls: type, path: str, name: str, marks: Any) -> dict[str, Any]:
    from jina.codec.schema import json_schema_of
    from jina.documents.records import type_name
    from jina.executor.decorators import Marks, streams
    from jina.executor.signatures import types_of

    function = getattr(cls, name)
    marks = marks or Marks()
    types = types_of(function, marks)
    described = {
        "path": path,
        "method": name,
        "streams": streams(function, marks),
        "write": bool(marks.write),
        "input": {"name": type_name(types.input_type), "schema": json_schema_of(types.input_type)},
        "output": {"name": type_name(types.output_type), "schema": json_schema_of(types.output_type)},
    }
    if types.parameters_model is not None:
        model = types.parameters_model
        described["parameters"] = {"name": model.__name__, "schema": json_schema_of(model)}
    return described


def _mistake(error: ConfigError, folder: Path, config: str) -> Mistake:
    """The mistake at the first place below the folder that the error names."""
    message = error.message
    # A folder's name may have blanks, at which the paths of a message would end.
    for match in _PLACE.finditer(message.replace(f"{folder}{os.sep}", "")):
        path = Path(os.path.normpath(folder / match[1]))
        if path.is_relative_to(folder) and path.is_file():
            return Mistake(path.relative_to(folder).as_posix(), int(match[2]), message, error.help)
    return Mistake(config, 0, message, error.help)


def _end_with_parent(link: int) -> None:
    """End this session when the process that started it is gone, whatever the package does meanwhile."""
    while os.read(link, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _main(folder: str, config: str, result: str, link: str) -> None:
    os.set_inheritable(int(link), False)  # noqa: FBT003 - the only argument
    threading.Thread(target=_end_with_parent, args=(int(link),), daemon=True).start()
    checked = _inspect(Path(folder), config)
    part = Path(result + ".part")
    part.write_bytes(canonical(asdict(checked)))
    part.rename(result)
    sys.stdout.flush()
    os._exit(0)  # threads that the package has started do not hold it up


if __name__ == "__main__":
    _main(*sys.argv[1:])
