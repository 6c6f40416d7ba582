"""Replicas come, go and are replaced, leaders change, while everything else goes wrong: one at a time, on a thread."""

import threading
import time
import traceback

from jina.errors import JinaError
from jina.replication.admin import administer

LEAST, MOST = 2, 5
PATIENCE = 120.0
"""Seconds after the last fault in which a change has to be made or refused."""


class Changes:
    """Those of one run. `tell` takes what was done; `mistakes` are errors that must not occur."""

    def __init__(self, nemesis, deployment, rng, tell):
        self.mistakes = []
        self._nemesis, self._deployment, self._rng, self._tell = nemesis, deployment, rng, tell
        self._threads = []

    def begin(self):
        """Begin one; only a leader is changed while replicas come or go, and not so often that they never do."""
        members = self._nemesis.members
        if any(thread.is_alive() for thread in self._threads):
            choices = ["transfer", "", "", ""]
        else:
            choices = ["transfer", "roll-out", *(["add"] * 3 if len(members) < MOST else [])]
            choices += ["remove", "remove-leader", "replace"] if len(members) > LEAST else []
        kind, chosen = self._rng.choice(choices), self._rng.choice(members)
        if not kind:
            return "goes on"
        if kind == "remove-leader":
            leader = self._nemesis.leader()
            chosen = chosen if leader is None else leader
        self._threads.append(threading.Thread(target=self._make, args=(kind, chosen)))
        self._threads[-1].start()
        return kind, "" if kind in {"add", "roll-out"} else chosen

    def finish(self):
        """Wait until all are made or refused."""
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.mistakes.append("a change of the group does not end")

    def _make(self, kind, chosen):
        try:
            self._tell(f"{kind} done: {self._act(kind, chosen)}")
        except JinaError as error:
            self._tell(f"{kind} refused: {error!r}"[:300])
        except Exception:
            self.mistakes.append(f"{kind} {chosen}: {traceback.format_exc()[-400:]}")

    def _act(self, kind, chosen):
        if kind == "transfer":
            administer(self._nemesis.sockets[0], "transfer", replica=chosen)
            return chosen
        if kind == "roll-out":
            return self._deployment.roll_out()
        if kind == "add":
            return self._deployment.add_replica()
        removed = self._deployment.remove_replica(chosen)
        return removed if kind != "replace" else (removed, self._deployment.add_replica())
