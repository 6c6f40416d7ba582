"""Workers of a simulated group: real `Replica`s, one after another, each with a state machine of its own."""

import asyncio
import contextlib
from pathlib import Path

from jina.codec.messages import Reply
from jina.codec.payloads import BytesPayload
from jina.errors import BadRequest, Unavailable
from jina.plan.plans import ConsensusPlan
from jina.replication import snapshots
from jina.replication.dedup import Sessions
from jina.replication.log_entries import outcome_of_error, outcome_of_reply
from jina.replication.replica import Replica

from .model import fails, require, state_hash

GROUP = "texts"


class Lost(Exception):
    """The outcome of a call is unknown."""


class Machine:
    """An Executor that keeps lines; the model is told all that it does."""

    can_snapshot = True

    def __init__(self, group, troubled):
        self._group, self._troubled = group, troubled
        self.lines = []
        self.replica = None
        self.held = []
        """Writes that wait for others, to be proposed together."""

    async def _moment(self):
        if self._group.chance.random() < 0.3:
            await asyncio.sleep(self._group.chance.choice((0.0, 0.001, 0.05)))

    def _apply(self, request):
        text = request.parameters["text"]
        self._group.model.applies(self.lines, text, request.clock_and_seed)
        self.lines.append(text)
        if fails(text):
            outcome = outcome_of_error(BadRequest(f"{text} at {len(self.lines) - 1}"))
        else:
            outcome = outcome_of_reply(Reply(BytesPayload(b""), {"position": len(self.lines) - 1}), request)
        return outcome._replace(compared=outcome.compared + state_hash(self.lines))

    async def execute(self, requests):
        """The outcomes of some of them."""
        events = []
        if self._troubled() and self._troubled():
            raise OSError("the Executor cannot be reached")
        for request in requests[: self._group.chance.randint(1, len(requests))]:
            await self._moment()
            place = self._group.model.places[len(self.lines)]
            events.append(self._apply(request))
            require(self.replica.log_index_of(request) == place, "a method is told another entry than its own")
        await self._moment()
        return events

    async def execute_together(self, requests):
        await self._moment()
        return [self._apply(request) for request in requests]

    async def snapshot(self, folder, index, window):
        self._group.model.holds(self.lines, index)
        state = snapshots.prepare(folder, self)
        await self._moment()
        if self._troubled():
            raise OSError("no room for a snapshot")
        for name, lines in (("first", self.lines[:2]), ("rest", self.lines[2:])):
            (Path(state) / name).write_text("\n".join((name, *lines)))
        snapshots.seal(folder, index, window)

    async def restore(self, folder):
        state, index, window = snapshots.check(folder)
        await self._moment()
        if self._troubled():
            raise OSError("the snapshot cannot be read just now")
        self.lines = [line for name in ("first", "rest") for line in (Path(state) / name).read_text().split("\n")[1:]]
        self._group.model.holds(self.lines, index)
        return index, window


class Place:
    """Where one incarnation of a worker follows another."""

    def __init__(self, group, agent):
        self._group, self.agent = group, agent
        plan = {"replica": agent.number, "peers": ["x"] * len(group.agents), "socket": agent.path}
        self._plan = ConsensusPlan(group=GROUP, **plan)
        self._end = None
        self._calls = {}
        self.replica = self.machine = None
        """Of the incarnation that serves."""

    def kill(self, why="killed"):
        """As the end of its process."""
        if self._end is not None and not self._end.done():
            self._group.note("worker ends", self.agent.number, why)
            self._end.set_result(why)

    async def live(self):
        """Start a worker whenever the last one has ended."""
        while True:
            self._end = asyncio.get_running_loop().create_future()
            machine = Machine(self._group, self._group.unlucky)
            machine.replica = replica = Replica(self._plan, f"it/{self.agent.number}", machine, self.kill)
            replica._dedup.sessions = Sessions(most=self._group.sessions)
            try:
                await self._serve(replica, machine)
            finally:
                self.replica = self.machine = None
                for call in list(self._calls):
                    call.cancel()
                await replica.stop()
            await asyncio.sleep(self._group.chance.choice((0.01, 0.2)))

    async def _serve(self, replica, machine):
        starting = asyncio.ensure_future(replica.start())
        try:
            await asyncio.wait({starting, self._end}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return
            if error := starting.exception():
                self._group.note("start fails", self.agent.number, type(error).__name__)
                return
            self._group.note("serves", self.agent.number, replica._applied_index.applied)
            self.replica, self.machine = replica, machine
            await self._end
        finally:
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await starting

    async def call(self, function, seconds=None):
        """What `function(replica, machine)` gives; raises `Lost` when the worker ends or the caller waits no more."""
        if self.replica is None:
            raise Unavailable("it does not serve")
        call = asyncio.ensure_future(function(self.replica, self.machine))
        self._calls[call] = None
        try:
            await asyncio.wait({call}, timeout=seconds)
            if not call.done():
                call.cancel()
                await asyncio.wait({call})
            if call.cancelled():
                raise Lost
            return call.result()
        finally:
            call.cancel()
            self._calls.pop(call)
