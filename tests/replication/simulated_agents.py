"""Consensus agents without consensus: one log in memory, and agents that bring it to workers as the real ones do.

They speak the real frames; what they answer and when follows `consensus/peer.go`, `applier.go`, `send.go` and
`restore.go`. What may go wrong between them goes wrong here by chance.
"""

import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jina.replication import agent_client

from .model import require
from .simulated_group import LATE, SOON

_LIMIT = 100_000
"""Bytes of an operation above which it is refused."""


@dataclass
class Snapshot:
    """Of a worker, up to an entry."""

    index: int
    files: dict


class Worker:
    """A connection of one."""

    def __init__(self, wire, number):
        self.wire, self.number = wire, number
        self.reader = agent_client.Reader()
        self.gone = self.ready = self.told_ready = False
        self.can_snapshot = False
        self.applied = self.sent = self.log_size = 0
        self.asked = 0
        self.answers = {}
        self.busy = False

    def tell(self, kind, body=b"", ident=0):
        self.wire.tell(agent_client.frame_head(kind, ident, len(body)) + body)


class Agent:
    """One replica's."""

    def __init__(self, group, number):
        self.group, self.number = group, number
        self.path = f"/nowhere/agent-{number}"
        self.known = 0
        """How far it knows that the log is committed."""
        self.base = self.trimmed = 0
        """Nothing up to these entries is applied from the log any more: a snapshot came, or the log begins later."""
        self.snapshots = []
        self.wanted = False
        self.resumes = {0: {0}}
        self.cut_off = self.silent = 0.0
        self.life = self.workers = 0
        self.worker = None
        self.connections = []
        self.listen()

    # --- its own life -------------------------------------------------------------------------------------

    def listen(self):
        self.group.loop.servers[self.path] = self.accept

    def accept(self, wire):
        self.workers += 1
        worker = Worker(wire, self.workers)
        self.connections.append(worker)
        wire.join(
            self.group.chance,
            lambda data: self.received(worker, data),
            lambda: self.detach(worker),
            lambda: self.silent,
        )

    def later(self, seconds, function, *arguments):
        """As what an agent does by and by: it ends with the agent, and waits while that is stopped."""
        life = self.life

        def due():
            if life != self.life:
                return
            if self.silent > self.group.loop.time():
                self.group.loop.call_at(self.silent, due)
            else:
                function(*arguments)

        self.group.loop.call_later(seconds, due)

    def soon(self, function, *arguments):
        self.later(self.group.chance.choice(SOON), function, *arguments)

    def break_off(self):
        """All connections are lost."""
        for worker in list(self.connections):
            worker.wire.lose()

    def die(self, seconds):
        """It is down for a while; log and snapshots stay, what it knows of commits does not."""
        self.group.note("agent dies", self.number)
        self.life += 1
        self.group.loop.servers[self.path] = None
        self.break_off()
        self.known = self.base
        self.wanted = False
        self.group.loop.call_later(seconds, self._begin, self.life)

    def _begin(self, life):
        if life == self.life:
            self.listen()
            self.learn(len(self.group.log), 0.01)

    def learn(self, index, seconds):
        """It hears that the log is committed up to an entry."""
        self.later(max(seconds, self.cut_off - self.group.loop.time()), self._learned, index)

    def _learned(self, index):
        if self.cut_off > self.group.loop.time():
            self.learn(index, 0.0)
            return
        self.known = max(self.known, index)
        self._pump()

    def install(self):
        """The log of a replica that was away begins too late for it: it gets another one's snapshot."""
        newest = max(
            (one for agent in self.group.agents for one in agent.snapshots), key=lambda one: one.index, default=None
        )
        if newest is not None and newest.index > self.known:
            self.group.note("install", self.number, newest.index)
            self._keep(newest)
            self.known = self.base = self.trimmed = newest.index
            self._pump()

    # --- what a worker says -------------------------------------------------------------------------------

    def received(self, worker, data):
        for frame in worker.reader.feed(data):
            self._take(worker, frame)

    def _take(self, worker, frame):
        if frame.kind == agent_client.HELLO:
            self._welcome(worker, msgspec.json.decode(frame.body))
        elif frame.kind == agent_client.APPLIED:
            self._acknowledged(worker, [number for (number,) in agent_client.NUMBER.iter_unpack(frame.body)])
        elif frame.kind == agent_client.DONE:
            if (done := worker.answers.pop(frame.id, None)) is not None:
                done(msgspec.json.decode(frame.body)["error"])
        elif frame.kind == agent_client.PING:
            self.soon(worker.tell, agent_client.OK, b"", frame.id)
        elif frame.kind == agent_client.STATUS:
            self.soon(worker.tell, agent_client.OK, msgspec.json.encode({"term": self.group.term}), frame.id)
        elif frame.kind == agent_client.READ:
            self._read(worker, frame.id)
        else:
            require(frame.kind == agent_client.WRITE, "a worker says", frame.kind)
            self._write(worker, frame.id, bytes(frame.body))

    def _fail(self, worker, ident, code, seconds):
        body = msgspec.json.encode({"code": code, "text": code})
        self.later(seconds, worker.tell, agent_client.ERROR, body, ident)
        if self.group.unlucky():
            self.later(seconds + 0.1, worker.tell, agent_client.ERROR, body, ident)

    def _read(self, worker, ident):
        group, chance = self.group, self.group.chance
        if not group.leads(self) or group.unlucky():
            self._fail(worker, ident, chance.choice(("unavailable", "unknown")), chance.choice(LATE))
            return
        if chance.random() < 0.1:
            group.append(None)  # the barrier of a new term
        self.soon(worker.tell, agent_client.OK, agent_client.NUMBER.pack(len(group.log)), ident)

    def _write(self, worker, ident, payload):
        group, chance = self.group, self.group.chance
        if len(payload) > _LIMIT:
            self._fail(worker, ident, "refused", 0.0)
        elif not group.leads(self):
            self._fail(worker, ident, chance.choice(("unavailable", "unknown")), chance.choice((*SOON, *LATE)))
        elif group.unlucky():
            what = chance.choice(("unavailable", "lost", "unknown", "late", "not here", "twice"))
            group.note("trouble", self.number, what)
            if what in {"late", "unknown", "not here", "twice"}:
                self._append(payload, chance.choice(LATE if what == "late" else SOON))
            if what == "twice":
                self._append(payload, chance.choice(LATE))
            else:
                # It is in the log of a majority and not in this one, or that is unknown.
                code = "unavailable" if what in {"unavailable", "not here"} else "unknown"
                self._fail(worker, ident, code, chance.choice(LATE))
        else:
            self._append(payload, chance.choice(SOON))

    def _append(self, payload, seconds):
        """It is on its way to the leader, also when this agent is gone."""
        self.group.loop.call_later(seconds, self.group.append, payload)

    # --- the applier --------------------------------------------------------------------------------------

    def _welcome(self, worker, hello):
        """A fresh worker waits until the log here covers what was acknowledged, and is restored."""
        if worker.gone:
            return
        applied, log_size = hello["applied"], len(self.group.log)
        if not applied and (not self.group.leads(self) or self.known < log_size):
            self.later(0.05, self._welcome, worker, hello)
            return
        require(hello["resume"] in self.resumes.get(applied, {0}), "a worker that has applied", applied, "says", hello)
        if self.worker is not None and self.worker.number > worker.number:
            worker.wire.lose()
            return
        if self.worker is not None:
            self.worker.wire.lose()
        self.worker, worker.can_snapshot = worker, hello["can_snapshot"]
        if not applied and self.snapshots:
            self._restore(worker, self.snapshots[-1])
        else:
            self._attached(worker, applied)

    def _attached(self, worker, index):
        worker.applied = worker.sent = index
        worker.ready = True
        self._stand(worker)
        self._pump()

    def _stand(self, worker):
        if worker.gone:
            return
        if not self.group.leads(self):
            self.later(0.05, self._stand, worker)
            return
        worker.log_size = len(self.group.log)
        self._look_ready(worker)

    def _look_ready(self, worker):
        if worker.log_size and worker.applied >= worker.log_size and not worker.told_ready:
            worker.told_ready = True
            worker.tell(agent_client.READY, agent_client.NUMBER.pack(worker.log_size))

    def detach(self, worker):
        worker.gone = True
        self.connections.remove(worker)
        if self.worker is worker:
            self.worker = None
        worker.answers.clear()

    def reset(self, reason="a snapshot overtook it"):
        """The worker is to start over."""
        if (worker := self.worker) is not None:
            self.group.note("reset", self.number, reason)
            worker.tell(agent_client.RESET, msgspec.json.encode({"reason": reason}))
            self.later(0.1, worker.wire.lose)
            worker.ready = False

    def tell_removed(self, *, removed=False):
        """The group has removed this replica, or added it again."""
        if self.worker is not None:
            self.worker.tell(agent_client.REMOVED, msgspec.json.encode({"removed": removed}))

    def _acknowledged(self, worker, numbers):
        index, *result = numbers
        for place, chain in zip(result[::2], result[1::2], strict=True):
            self.group.model.chain(place, chain)
        require(index <= max(worker.sent, worker.applied), "entry", index, "is applied, and was not sent")
        worker.applied = max(worker.applied, index)
        self._look_ready(worker)
        self._pump()

    def _pump(self):
        worker = self.worker
        if worker is not None and worker.ready and not worker.busy:
            worker.busy = True
            self.soon(self._work, worker)

    def _work(self, worker):
        """Ask for a snapshot that is due, or send some entries; several batches may be on their way."""
        worker.busy = False
        if worker.gone or not worker.ready:
            return
        if worker.sent < max(self.base, self.trimmed):
            self.reset()
        elif self.wanted and worker.can_snapshot and worker.sent:
            self.wanted = False
            self._ask_snapshot(worker)
            self._pump()
        elif worker.sent < self.known:
            self._send(worker)
            self._pump()

    def _send(self, worker):
        chance = self.group.chance
        upto = min(self.known, worker.sent + chance.choice((1, 3, 100)))
        body, count = b"", 0
        for index in range(worker.sent + 1, upto + 1):
            payload = self.group.log[index - 1]
            if payload is not None:
                body += struct.pack("<QQI", index, self.group.term, len(payload)) + payload
                count += 1
        resume = upto + 1 - chance.choice((0, 0, 1))
        self.resumes.setdefault(upto, {0}).add(resume)
        worker.tell(agent_client.APPLY, struct.pack("<QQI", upto, resume, count) + body)
        worker.sent = upto

    # --- snapshots ----------------------------------------------------------------------------------------

    def want_snapshot(self):
        self.wanted = True
        self._pump()

    def _keep(self, snapshot):
        """The newest two, the newest at the end."""
        self.snapshots = sorted((*self.snapshots, snapshot), key=lambda one: one.index)[-2:]

    def _ask(self, worker, kind, folder, index, done):
        worker.asked += 1
        worker.answers[worker.asked] = done
        worker.tell(kind, msgspec.json.encode({"dir": folder, "index": index}), worker.asked)

    def _ask_snapshot(self, worker):
        folder, index = tempfile.mkdtemp(dir=self.group.folder), worker.sent

        def done(error):
            self.group.note("snapshot", self.number, index, error)
            if not error:
                root = Path(folder)
                files = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
                self._keep(Snapshot(index, files))
                self.trimmed = max(self.trimmed, index - self.group.chance.choice((0, 5)))

        self._ask(worker, agent_client.SNAPSHOT, folder, index, done)

    def _restore(self, worker, snapshot):
        folder = tempfile.mkdtemp(dir=self.group.folder)
        damaged = self.group.chance.choice(sorted(snapshot.files)) if self.group.unlucky() else None
        for name, data in snapshot.files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data[:-1] + bytes((data[-1] ^ 1,)) if name == damaged else data)

        def done(error):
            self.group.note("restored", self.number, snapshot.index, damaged, bool(error))
            if error:
                self.reset(f"the snapshot could not be restored: {error}")
            else:
                require(damaged is None, damaged, "of a snapshot is damaged, which was not noticed")
                self._attached(worker, snapshot.index)

        self._ask(worker, agent_client.RESTORE, folder, snapshot.index, done)
