"""`jina client`, `status`, `ping`, `logs` and `console`: what asks a service that runs."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.config import ClientSpec
from jina.config.command_line import add_options, given
from jina.config.types import read_json
from jina.errors import BadClientInput, JinaError, NotSupportedError, UsageError, nearest

if TYPE_CHECKING:
    from jina.supervisor.status import ServiceStatus

_OWN_OPTIONS = ("on", "text", "inputs", "parameters", "target_executor", "request_size", "stream_doc", "show_progress")


def add_client(parser: argparse.ArgumentParser) -> None:
    """What to send, and the options of the client."""
    own = parser.add_argument_group("request")
    own.add_argument("--on", default="/", help="endpoint [default: /]")
    own.add_argument("--text", action="append", default=[], help="send a document with this text; may be repeated")
    own.add_argument(
        "--inputs", metavar="FILE", help="send the documents of this file, one JSON object a line; - is stdin"
    )
    own.add_argument("--parameters", metavar="JSON", default="{}", help="parameters of the request, as a JSON object")
    own.add_argument("--target-executor", default=None, help="regular expression of the Executors that get the request")
    own.add_argument("--request-size", type=int, default=100, help="documents in one request [default: 100]")
    own.add_argument("--stream-doc", action="store_true", help="for generators: print documents as they come")
    own.add_argument("--show-progress", action="store_true", help="show a progress bar on stderr")
    add_options(parser, ClientSpec)


def run_client(options: argparse.Namespace) -> int:
    """Send and print."""
    from jina.client import Client

    own = {name: getattr(options, name) for name in _OWN_OPTIONS}
    try:
        parameters = read_json(own["parameters"])
    except ValueError as error:
        raise UsageError(f"--parameters: not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise UsageError("--parameters: must be a JSON object, such as '{\"limit\": 3}'")
    with Client(**given(options)) as client:
        if own["stream_doc"]:
            for document in _documents(own):
                for item in client.stream_doc(own["on"], inputs=document, parameters=parameters):
                    print(_document_line(item), flush=True)
            return 0
        found = client.post(
            own["on"],
            _documents(own) if own["text"] or own["inputs"] else None,
            parameters=parameters,
            target_executor=own["target_executor"],
            request_size=own["request_size"],
            results_in_order=True,
            show_progress=own["show_progress"],
        )
        for document in found:
            print(_document_line(document))
    return 0


def _document_line(document: Any) -> str:
    """What is set of the document, as JSON."""
    fields = {
        name: value for name, value in json.loads(document.model_dump_json()).items() if value not in (None, {}, [])
    }
    return json.dumps(fields, ensure_ascii=False)


def _documents(own: dict[str, Any]) -> Iterator[Any]:
    from jina.documents import Document

    for text in own["text"]:
        yield Document(text=text)
    if own["inputs"] is None:
        return
    try:
        source = sys.stdin if own["inputs"] == "-" else open(own["inputs"], encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"--inputs: {error.strerror}: {own['inputs']}") from error
    with source:
        for number, line in enumerate(source, 1):
            if line.strip():
                yield _document(own["inputs"], number, line)


def _document(file: str, number: int, line: str) -> Any:
    from jina.documents import Document

    try:
        fields = read_json(line)
    except ValueError as error:
        raise BadClientInput(f"{file}:{number}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadClientInput(f"{file}:{number}: a document is a JSON object, this is {type(fields).__name__}")
    return Document(**fields)


def add_status(parser: argparse.ArgumentParser) -> None:
    """Which ones, and in which form."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="names of Flows and Deployments [default: all], or addresses such as grpc://host:51000",
    )
    parser.add_argument("--api-key", default="", help="API key to send to an address, which then tells its version")
    parser.add_argument("--json", action="store_true", help="print a JSON array instead of text")
    parser.add_argument("--watch", action="store_true", help="ask again each second, until q or Ctrl+C")


def run_status(options: argparse.Namespace) -> int:
    """Ask and print; 0 if all of them are ready, 1 if one is not or there is none."""
    if options.watch:
        return _watch_status(options)
    code, text, complaint = _status(options)
    if text:
        print(text)
    if complaint:
        print(complaint, file=sys.stderr)
    return code


def _watch_status(options: argparse.Namespace) -> int:
    """Show it again each second: in one place on a terminal, else one after another."""
    from jina.cli import live

    if sys.stdout.isatty() and not options.json:
        from rich.text import Text

        def frame(_columns: int, _lines: int) -> Text:
            _, text, complaint = _status(options)
            return Text("\n".join(filter(None, (text, complaint))), no_wrap=True, overflow="ellipsis")

        live.show(frame)
        return 0
    while True:
        _, text, complaint = _status(options)
        print("\n".join(filter(None, (text, "" if options.json else complaint))), flush=True)
        time.sleep(live.EVERY)


def _status(options: argparse.Namespace) -> tuple[int, str, str]:
    """The exit code, what is printed, and what is wrong about it."""
    addresses = [name for name in options.names if "://" in name]
    if addresses:
        if len(addresses) < len(options.names):
            raise UsageError("status: give names, or addresses, not both")
        return _status_elsewhere(addresses, options)
    if sys.platform != "linux":
        raise NotSupportedError(
            "jina status finds the services of a machine on Linux only",
            help="ask by address: jina status grpc://localhost:51000",
        )
    import msgspec

    from jina.supervisor.status import services

    found = services()
    if options.names:
        found = [one for one in found if one.name in options.names]
    missing = set(options.names) - {one.name for one in found}
    text = msgspec.json.encode(found).decode() if options.json else "\n".join(map(str, found))
    if missing or not found:
        return 1, text, f"no service {', '.join(sorted(missing)) or 'of yours'} runs on this machine"
    return 0 if all(one.state == "ready" for one in found) else 1, text, ""


def _status_elsewhere(addresses: list[str], options: argparse.Namespace) -> tuple[int, str, str]:
    """The same of services by their addresses."""
    import dataclasses

    from jina.client.remote_status import status_at

    found = [status_at(address, key=options.api_key) for address in addresses]
    text = json.dumps([dataclasses.asdict(one) for one in found]) if options.json else "\n".join(map(str, found))
    return 0 if all(one.state == "ready" for one in found) else 1, text, ""


TARGETS = ("executor", "deployment", "flow", "gateway")


def add_ping(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, how often, how long to wait."""
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[executor|deployment|flow|gateway] HOST",
        help="such as executor grpc://127.0.0.1:8080",
    )
    parser.add_argument(
        "--timeout", type=float, default=3000, help="milliseconds to wait for each answer [default: 3000]"
    )
    parser.add_argument("--attempts", type=int, default=1, help="number of attempts, one second apart [default: 1]")
    parser.add_argument("--api-key", default=None, help="API key to send, where the service asks for one")
    parser.add_argument(
        "--min-successful-attempts", type=int, default=1, help="answers needed for exit code 0 [default: 1]"
    )


def run_ping(options: argparse.Namespace) -> int:
    """Ask; 0 if enough answers came, 1 otherwise."""
    *target, host = _of_probes(options)
    if len(target) > 1 or (target and target[0] not in TARGETS):
        raise UsageError(f"ping: {' '.join(target)!r} is not one of {', '.join(TARGETS)}")
    if options.attempts < 1 or options.timeout <= 0:
        raise UsageError("ping: --attempts must be at least 1 and --timeout above 0")
    answered = 0
    for attempt in range(1, options.attempts + 1):
        started = time.monotonic()
        if failure := _ask(host, options.timeout / 1000, options.api_key):
            print(f"{host}: no answer ({attempt}/{options.attempts}): {failure}", file=sys.stderr)
        else:
            answered += 1
            took = (time.monotonic() - started) * 1000
            print(f"{host}: ready in {took:.1f} ms ({attempt}/{options.attempts})", file=sys.stderr)
        if answered >= options.min_successful_attempts:
            return 0
        if attempt < options.attempts:
            time.sleep(1)
    return 1


def _of_probes(options: argparse.Namespace) -> list[str]:
    """The words of `jina ping`; probes in files that Jina 3 wrote give the timeout inside one of them."""
    words = [part for word in options.words for part in word.split()]
    if "--timeout" not in words:
        return words
    at = words.index("--timeout")
    try:
        options.timeout = float(words[at + 1])
    except (IndexError, ValueError):
        raise UsageError("ping: --timeout: no number of milliseconds follows") from None
    rest = [word for word in words[:at] if word != "-"] + words[at + 2 :]
    if not rest:
        raise UsageError("ping: there is no HOST")
    return rest


def _ask(host: str, timeout: float, key: str | None) -> str:
    """Empty if the service is ready, else why not."""
    from jina.client import Client

    try:
        with Client(host=host if "://" in host else f"grpc://{host}", api_key=key) as client:
            return "" if client.is_flow_ready(timeout=timeout) else "not ready"
    except JinaError as error:
        return error.message


_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")
_LOOK = 0.1
"""Seconds between two looks at files that are followed."""


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Which folder and processes, how much, whether to wait for more."""
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        help="what the service was given as log_dir, or the name of one that runs on this machine [default: the only "
        "one that writes files; several are listed]",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only of these processes, such as encoder/rep-0 or encoder"
    )
    parser.add_argument("--lines", type=int, default=100, help="how many of the last lines to print [default: 100]")
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what is written from now on")


def run_logs(options: argparse.Namespace) -> int:
    """Print; with --follow until interrupted."""
    if options.lines < 0:
        raise UsageError("logs: --lines must not be negative")
    folder = _offered() if options.folder is None else _folder_of(options.folder)
    if folder is None:
        return 0
    tails = {path: Tail(path) for path in _log_files(folder, options.names)}
    if options.names and not tails and not options.follow:
        known = [path.stem for path in _log_files(folder, [])]
        near = nearest(options.names[0].replace("/", "-"), known)
        raise UsageError(
            f"logs: {options.names[0]!r} wrote nothing into {folder}",
            help=f"did you mean {near!r}?" if near else f"there are {', '.join(known) or 'no logs'}",
        )
    events = list(in_order(tail.read() for tail in tails.values()))
    _print_events(events[-options.lines :] if options.lines else [])
    while options.follow:
        time.sleep(_LOOK)
        for path in _log_files(folder, options.names):
            if path not in tails:
                tails[path] = Tail(path)
        _print_events(list(in_order(tail.read() for tail in tails.values())))
    return 0


def _folder_of(word: str) -> Path:
    """The folder of that name, or the one of the service of that name."""
    if Path(word).is_dir():
        return Path(word)
    named = [one for one in _logging_services() if one.name == word]
    for one in named:
        if one.log_dir:
            return Path(one.log_dir)
    if named:
        raise UsageError(f"logs: {word!r} writes no files", help="start it with --log-dir FOLDER")
    raise UsageError(f"logs: there is no folder {word!r}", help="start the service with --log-dir FOLDER")


def _offered() -> Path | None:
    """The folder of the services that run here, where it is but one; prints what there is, where there are several."""
    running = _logging_services()
    writing = [one for one in running if one.log_dir]
    if len({one.log_dir for one in writing}) == 1:
        return Path(writing[0].log_dir)
    if not writing:
        silent = f": {', '.join(one.name for one in running)}" if running else ""
        raise UsageError(
            f"logs: no service of this machine writes files{silent}",
            help="start it with --log-dir FOLDER, then: jina logs FOLDER",
        )
    for one in running:
        command = f"jina logs {shlex.quote(_called(one, writing))}" if one.log_dir else "writes no files (--log-dir)"
        print(f"{one.name}: {command}")
        if one.log_dir:
            print(f"  processes: {' '.join(process.name for process in one.processes)}")
    print("\njina logs FOLDER NAME prints one process, -f goes on with what is written")
    return None


def _called(service: ServiceStatus, writing: Sequence[ServiceStatus]) -> str:
    """By what `jina logs` finds its files: its name, unless another one has it too."""
    same = [one for one in writing if one.name == service.name]
    return service.name if len(same) == 1 and not Path(service.name).is_dir() else service.log_dir


def _logging_services() -> list[ServiceStatus]:
    if sys.platform != "linux":
        return []
    from jina.supervisor.status import services

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


def _log_files(folder: Path, names: Sequence[str]) -> list[Path]:
    wanted = [name.replace("/", "-") for name in names]
    return [
        path
        for path in sorted(folder.glob("*.log"))
        if not wanted or any(path.stem == name or path.stem.startswith(f"{name}-") for name in wanted)
    ]


def _print_events(events: Sequence[str]) -> None:
    if events:
        sys.stdout.write("".join(f"{event}\n" for event in events))
        sys.stdout.flush()


def add_console(parser: argparse.ArgumentParser) -> None:
    """Where it is served."""
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 [default: a free one]")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run_console(options: argparse.Namespace) -> int:
    """Print the address, which has the key, and serve until interrupted."""
    import asyncio

    if sys.platform != "linux":
        raise NotSupportedError(
            "jina console finds the services of a machine on Linux only",
            help="open /console of a service that speaks HTTP",
        )
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port: {options.port} is not a port, 0 to 65535")
    asyncio.run(_serve_console(options.port, in_browser=options.open))
    return 0


async def _serve_console(port: int, *, in_browser: bool) -> None:
    import asyncio
    import signal
    import webbrowser

    from jina.console.local import LocalServer
    from jina.supervisor.observing import ServicesHere

    server, stopped = LocalServer(ServicesHere(), port), asyncio.Event()
    await server.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(server.address, flush=True)
    if in_browser:
        await asyncio.to_thread(webbrowser.open, server.address)
    await stopped.wait()
    await server.stop()
