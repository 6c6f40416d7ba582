"""Log records of a service as they come, of which a viewer wants some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from jina.console.feed import event
from jina.errors import BadRequest, ConfigError
from jina.observe.logs import level_of
from jina.server.http import dumps

INTERVAL: Final = 1.0
"""Seconds between two questions."""
_BEAT: Final = 15
"""Questions without a record after which the viewer gets a sign of life."""


@dataclass(frozen=True)
class Wanted:
    """Which records: of some processes or Deployments, of a level at least, of one request, with a text in them."""

    service: str = ""
    processes: frozenset[str] = frozenset()
    level: int = 0
    request_id: str = ""
    text: str = ""

    @classmethod
    def of_query(cls, query: Iterable[tuple[str, str]]) -> Wanted:
        """Raises `BadRequest` for what has no meaning."""
        rows = list(query)
        last = dict(rows)
        if unknown := sorted(last.keys() - {"service", "process", "level", "request_id", "text"}):
            raise BadRequest(f"logs: no parameter {unknown[0]!r}; there are process, level, request_id and text")
        try:
            level = level_of(last["level"]) if last.get("level") else 0
        except ConfigError as error:
            raise BadRequest(f"logs: {error.message}") from None
        return cls(
            service=last.get("service", ""),
            processes=frozenset(value for name, value in rows if name == "process" and value),
            level=level,
            request_id=last.get("request_id", ""),
            text=last.get("text", "").casefold(),
        )

    def has(self, line: Mapping[str, Any]) -> bool:
        """Whether a record is one of them."""
        process = str(line.get("process", ""))
        if self.processes and not {process, process.partition("/")[0]} & self.processes:
            return False
        if self.level and int(line.get("number") or level_of(str(line["level"]))) < self.level:
            return False
        if self.request_id and line.get("request_id") != self.request_id:
            return False
        return not self.text or self.text in f"{line['message']}\n{line.get('exception', '')}".casefold()


class Lines:
    """The records for one viewer, on one loop: those that are kept, and then those that come."""

    def __init__(self, ask: Callable[[bytes], bytes], wanted: Wanted, interval: float = INTERVAL) -> None:
        self._ask = ask
        self._wanted = wanted
        self._interval = interval
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the stream."""
        self._stopped.set()

    async def messages(self) -> AsyncGenerator[bytes]:
        """Events, until `stop`."""
        last, silent = 0, 0
        yield b":\n\n"
        while not self._stopped.is_set():
            answer = msgspec.json.decode(await asyncio.to_thread(self._ask, dumps({"logs": last})))
            lost = answer.get("lost", 0)
            lines = [line for line in answer.get("logs", ()) if self._wanted.has(line)]
            data = event("dropped", {"count": lost}) if lost else b""
            data += b"".join(event("log", _shown(line)) for line in lines)
            more = bool(answer.get("logs")) and answer.get("last", 0) > last
            last = answer.get("last", last)
            silent = 0 if data else silent + 1
            if data:
                yield data
            elif silent >= _BEAT:
                silent = 0
                yield b":\n\n"
            if not more:
                try:
                    await asyncio.wait_for(self._stopped.wait(), self._interval)
                except TimeoutError:
                    continue


def _shown(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seq": line["seq"], "time": line["time"], "level": line["level"], "process": line.get("process", ""),
        "pid": line.get("pid", 0), "logger": line.get("logger", ""), "message": line["message"],
        "request_id": line.get("request_id", ""), "exception": line.get("exception", ""),
    }  # fmt: skip
