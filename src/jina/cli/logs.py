"""`jina logs`: what the processes of a service wrote into their files (`log_dir`), in the order of time."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jina.errors import UsageError, nearest

if TYPE_CHECKING:
    from jina.launch.status import ServiceStatus

_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")
_LOOK = 0.1
"""Seconds between two looks at files that are followed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which folder and processes, how much, whether to wait for more."""
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        help="what the service was given as log_dir [default: that of the one service of this machine that has one]",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only of these processes, such as encoder/rep-0 or encoder"
    )
    parser.add_argument("--lines", type=int, default=100, help="how many of the last lines to print [default: 100]")
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what is written from now on")


def run(options: argparse.Namespace) -> int:
    """Print; with --follow until interrupted."""
    if options.lines < 0:
        raise UsageError("logs: --lines must not be negative")
    folder = Path(options.folder) if options.folder is not None else _only_folder()
    if not folder.is_dir():
        raise UsageError(f"logs: there is no folder {str(folder)!r}", help="start the service with --log-dir FOLDER")
    tails = {path: Tail(path) for path in _files(folder, options.names)}
    if options.names and not tails and not options.follow:
        known = [path.stem for path in _files(folder, [])]
        near = nearest(options.names[0].replace("/", "-"), known)
        raise UsageError(
            f"logs: {options.names[0]!r} wrote nothing into {folder}",
            help=f"did you mean {near!r}?" if near else f"there are {', '.join(known) or 'no logs'}",
        )
    events = list(in_order(tail.read() for tail in tails.values()))
    _print(events[-options.lines :] if options.lines else [])
    while options.follow:
        time.sleep(_LOOK)
        for path in _files(folder, options.names):
            if path not in tails:
                tails[path] = Tail(path)
        _print(list(in_order(tail.read() for tail in tails.values())))
    return 0


def _only_folder() -> Path:
    """The folder of the services that run here, where it is but one."""
    found = sorted({one.log_dir for one in _services() if one.log_dir})
    if len(found) == 1:
        return Path(found[0])
    if found:
        raise UsageError("logs: several services write files", help=f"name one of the folders {', '.join(found)}")
    raise UsageError(
        "logs: no service of this machine writes files", help="start it with --log-dir FOLDER, then: jina logs FOLDER"
    )


def _services() -> list[ServiceStatus]:
    if sys.platform != "linux":
        return []
    from jina.launch.status import services

    return services()


class Tail:
    """A file that grows; one that was cut or replaced is read from its start again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._inode = 0
        self._rest = b""

    def read(self) -> list[str]:
        """The lines that were ended since the last look; a traceback belongs to the line before it."""
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                if status.st_ino != self._inode or status.st_size < self._at:
                    self._at, self._inode, self._rest = 0, status.st_ino, b""
                file.seek(self._at)
                data = file.read()
                self._at = file.tell()
        except FileNotFoundError:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        events: list[str] = []
        for line in (one.decode(errors="replace") for one in lines):
            if events and line.startswith("  "):
                events[-1] = f"{events[-1]}\n{line}"
            else:
                events.append(line)
        return events


def in_order(files: Iterable[Sequence[str]]) -> Iterator[str]:
    """The events of several files by their time; each file keeps its own order."""
    stamped: list[tuple[str, int, int, str]] = []
    for number, events in enumerate(files):
        last = ""
        for place, event in enumerate(events):
            last = max(last, _time_of(event) or last)
            stamped.append((last, number, place, event))
    for _, _, _, event in sorted(stamped, key=lambda one: one[:3]):
        yield event


def _time_of(event: str) -> str:
    if found := _STAMP.match(event):
        return found.group()
    if event.startswith("{"):
        try:
            return str(json.loads(event).get("time", ""))
        except ValueError:
            return ""
    return ""


def _files(folder: Path, names: Sequence[str]) -> list[Path]:
    wanted = [name.replace("/", "-") for name in names]
    return [
        path
        for path in sorted(folder.glob("*.log"))
        if not wanted or any(path.stem == name or path.stem.startswith(f"{name}-") for name in wanted)
    ]


def _print(events: Sequence[str]) -> None:
    if events:
        sys.stdout.write("".join(f"{event}\n" for event in events))
        sys.stdout.flush()
