"""Mistakes that are made on purpose in the code under test, each of which the simulation has to find."""

import asyncio
from contextlib import contextmanager
from unittest.mock import patch

from jina.replication.agent_client import AgentLink
from jina.replication.dedup import DedupTable, DedupWindow, Sessions
from jina.replication.replica import Reads, Replica, Writes

from .simulation import Fault


def always_new():
    """What was applied is applied again."""
    return patch.object(DedupWindow, "classify", lambda self, entry: "new")


def sessions_always_new():
    """The same in sessions."""
    classify = Sessions.classify

    def forgetful(self, entry):
        return "new" if classify(self, entry) == "known" else classify(self, entry)

    return patch.object(Sessions, "classify", forgetful)


def window_not_in_snapshots():
    """A snapshot lacks the ids of what was applied."""
    load = DedupWindow.load

    def without_ids(self, data):
        load(self, data)
        self._seen.clear()
        self._order.clear()
        self._answered.clear()

    return patch.object(DedupWindow, "load", without_ids)


def sessions_not_in_snapshots():
    """A snapshot lacks the sessions."""
    return patch.object(Sessions, "load", lambda self, data: None)


def chain_not_in_snapshots():
    """Replicas could not be compared any more."""
    load = DedupWindow.load

    def without_chain(self, data):
        load(self, data)
        self.chain = 0

    return patch.object(DedupWindow, "load", without_chain)


def reads_at_once():
    """A linearizable read waits for nothing."""
    return patch.object(Reads, "covered", lambda self: asyncio.sleep(0))


def sessions_read_at_once():
    """Nor does one of a session."""
    return patch.object(Replica, "seen", lambda self, request: asyncio.sleep(0))


def reached_before_applied():
    """Reads are let in when a batch begins."""
    apply = Replica._apply

    async def early(self, operations):
        if operations:
            self._applied_index.reach(operations[-1].log_index)
        return await apply(self, operations)

    return patch.object(Replica, "_apply", early)


def refusals_unheard():
    """What the agent refuses is not proposed again."""
    return patch.object(Writes, "_refused", lambda self, mark, write, error: None)


def loss_unheard():
    """The callers are not told when the connection breaks."""
    return patch.object(AgentLink, "fail", lambda self, text: None)


def hello_without_cursor():
    """A worker that comes back says that it has applied nothing."""
    write_json = AgentLink.write_json

    def forgetful(self, kind, value, ident=0):
        write_json(self, kind, value | {"applied": 0} if "applied" in value else value, ident)

    return patch.object(AgentLink, "write_json", forgetful)


def answers_of_another():
    """What came again is answered with its own place."""
    result = DedupTable.stored_reply

    def place_of_now(self, entry, seen):
        reply = result(self, entry, seen)
        if getattr(reply, "headers", None):
            reply.headers = self.headers(entry, self.log_index + 1)
        return reply

    return patch.object(DedupTable, "stored_reply", place_of_now)


def moments_of_replicas():
    """Each replica takes its own time."""
    clock_and_seed = DedupTable.clock_and_seed
    return patch.object(
        DedupTable, "clock_and_seed", lambda self, entry: (clock_and_seed(self, entry)[0] + id(self), entry.seed)
    )


def numbers_of_another_connection():
    """A write that ends has the agent's answer forgotten to whichever one has its number now."""
    refused = Writes._refused

    def remembered(self, mark, write, error):
        number = write.ident
        refused(self, mark, write, error)
        write.ident = number

    return patch.object(Writes, "_refused", remembered)


@contextmanager
def gathered_twice():
    """What was proposed together is applied though some of it was applied before."""
    classify = DedupTable.classify
    apply = Replica._apply_together

    async def all_new(self, operation, members):
        with patch.object(
            DedupTable, "judge", lambda memory, entry: "new" if memory is self._dedup else classify(memory, entry)
        ):
            return await apply(self, operation, members)

    with patch.object(Replica, "_apply_together", all_new):
        yield


_WRITERS = ("plain", "plain", "session")
_READERS = ("plain", "plain", "reader", "reader")
_SNAPSHOTS = ("snapshot", "kill")
_RECONNECTING = {
    "replicas": 1,
    "clients": ("session", "plain") * 4,
    "each": 12,
    "faults": tuple(Fault(kind, 0.4 * at, 0, 0.3) for at in range(8) for kind in ("flapping", "no leader")),
    "trouble": 0.1,
}

MISTAKES = {
    always_new: {},
    sessions_always_new: {"clients": ("session", "session")},
    window_not_in_snapshots: {"kinds": _SNAPSHOTS, "clients": ("plain", "plain"), "trouble": 0.4},
    sessions_not_in_snapshots: {"kinds": _SNAPSHOTS, "clients": ("session", "plain")},
    chain_not_in_snapshots: {"kinds": _SNAPSHOTS},
    reads_at_once: {"kinds": ("cut off", "kill"), "clients": _READERS, "replicas": 3},
    sessions_read_at_once: {"kinds": ("cut off",), "clients": _READERS, "replicas": 3},
    reached_before_applied: {"clients": _READERS, "replicas": 2},
    refusals_unheard: {"kinds": ("no leader",), "clients": _WRITERS},
    loss_unheard: {"kinds": ("flapping",), "clients": _WRITERS},
    numbers_of_another_connection: _RECONNECTING,
    hello_without_cursor: {"kinds": ("cut",), "clients": _WRITERS},
    answers_of_another: {},
    moments_of_replicas: {},
    gathered_twice: {"clients": ("gathering", "gathering")},
}
"""Mistake -> what of a plan is not left to chance, so that it is soon found."""
