"""Mistakes that workers of the tests make on purpose, to see that they are found; JINA_NEMESIS_PLANTED names one.

Those of the agent are in `consensus/disk_faults.go`; see `PLANTED` and `PLANTED_IN_READS` for all.
"""

import contextvars
import functools
import os

from jina.codec.session_headers import with_index_of
from jina.replication import replica, snapshots
from jina.replication.dedup import DedupWindow, Sessions
from jina.worker import stateful

PLANTED = {
    "early-acknowledgement": "an agent that says that entries are on its disk before they are",
    "unverified-reads": "a leader that answers linearizable reads without asking whether it still leads",
    "lost-chunks": "a snapshot without the requests of which only a part is in the log",
    "forgotten-window": "a snapshot without the ids of the requests that were applied",
    "forgotten-sessions": "a snapshot without the sessions of clients",
    "surviving-window": "ids of applied requests that outlive the Executor that applied them",
    "surviving-workspace": "a workspace that a new incarnation of an Executor finds as the old one left it",
}
"""Name -> what it is."""
PLANTED_IN_READS = {
    "early-index": "a session read that tells how far the log was applied before its handler ran",
    "forgotten-shards": "an answer that tells of the log of its own shard alone",
}
"""Those that session reads over shards find; see `session_reads.py`."""
AGENTS = {"early-acknowledgement", "unverified-reads", "lost-chunks"}


def plant():
    """Make the mistake in this process."""
    name = os.environ.get("JINA_NEMESIS_PLANTED", "")
    if name and name not in AGENTS:
        globals()[f"_{name.replace('-', '_')}"]()


def _forgotten_window():
    whole = DedupWindow.to_bytes

    def without_ids(self):
        copy = DedupWindow()
        copy.load(whole(self))
        copy._seen.clear()
        copy._order.clear()
        copy._answered.clear()
        return whole(copy)

    DedupWindow.to_bytes = without_ids


def _forgotten_sessions():
    whole = Sessions.to_bytes
    Sessions.to_bytes = lambda self: whole(Sessions())


def _surviving_window():
    """As if it were kept by something that a worker's end does not end: here in a file."""
    prepare, settle = replica.Replica.__init__, DedupWindow.settle

    def remember(self, plan, *args, **kwargs):
        prepare(self, plan, *args, **kwargs)
        self._dedup.window.file = os.path.join(plan.directory, "window")
        if os.path.exists(self._dedup.window.file):
            with open(self._dedup.window.file, "rb") as file:
                self._dedup.window.load(file.read())
        self._dedup.window.load = lambda data: None

    def note(self, *args, **kwargs):
        settle(self, *args, **kwargs)
        with open(f"{self.file}.part", "wb") as file:
            file.write(self.to_bytes())
        os.replace(f"{self.file}.part", self.file)

    replica.Replica.__init__ = functools.wraps(prepare)(remember)
    DedupWindow.settle = note


def _surviving_workspace():
    def the_same(directory):
        folder = os.path.join(directory, "work", "the-same")
        os.makedirs(folder, exist_ok=True)
        return folder

    snapshots.fresh_workspace = the_same


def _early_index():
    """The index is told when the replica has caught up, before the handler runs."""
    caught_up = stateful.StatefulService._caught_up
    early = contextvars.ContextVar("early")

    async def noted(self, request, replica):
        wanted = await caught_up(self, request, replica)
        early.set(replica.index_headers)
        return wanted

    def adjusted(reply, request):
        return with_index_of(early.get(reply), request)

    stateful.StatefulService._caught_up = noted
    stateful.with_index_of = adjusted


def _forgotten_shards():
    stateful.with_index_of = lambda reply, request: dict(reply)
