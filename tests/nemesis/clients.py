"""Clients that write and read all the time, try again under the same request id, and note what they were told."""

import json
import random
import threading
import time

from jina.errors import JinaError
from jina.replication import admin
from jina.replication.agent_client import NUMBER, READ
from tests.nemesis.connection import Connection, Refused, Unanswered
from tests.nemesis.sessions import SessionClient

KEYS = 3
"""Registers in use at a time; there are new ones every second, so that no history of one gets long."""


class Clients:
    """All of them, from `with` to its end; those whose last request is open then go on with it for `last` seconds.

    What several of them write into one history is told apart by their `prefix`.
    """

    def __init__(
        self, port, sockets, history, seed, *, host="127.0.0.1", askers=6, writers=3, sessions=3, readers=5, large=0.02,
        repeated=0.1, last=20.0, prefix="",
    ):  # fmt: skip
        self.history, self.errors, self.wrong = history, {}, []
        self.written, self.longest_gap, self._latest = 0, 0.0, time.monotonic()
        self._port, self._host, self._seed, self._last = port, host, seed, last
        self._large, self._repeated = large, repeated
        self._lock = threading.Lock()
        self._ended, self._until = threading.Event(), time.monotonic() + 3600
        self._sockets = sockets  # () -> those of the agents that are there
        names = [
            *((f"{prefix}a{n}", self._ask) for n in range(askers)),
            *((f"{prefix}w{n}", self._write) for n in range(writers)),
            *((f"{prefix}r{n}", self._read) for n in range(readers)),
        ]
        self._threads = [
            *(threading.Thread(target=self._work, args=pair, name=pair[0]) for pair in names),
            *(threading.Thread(target=self._work_in_sessions, args=(f"{prefix}s{n}",)) for n in range(sessions)),
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._until = time.monotonic() + self._last
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self, name, act):
        rng, connection, number = random.Random(f"{self._seed} {name}"), Connection(self._port, self._host), 0
        known, again = {}, []
        while not self._ended.is_set():
            number += 1
            act(name, number, rng, connection, known, again)
            self._ended.wait(rng.uniform(0.0, 0.02))
        connection.close()

    def _work_in_sessions(self, name):
        rng = random.Random(f"{self._seed} {name}")
        client = SessionClient(name, self._seed, self._port, rng, self.wrong.append, self._note)
        number = 0
        while not self._ended.is_set():
            number += 1
            kind, key, value, text = self._choose(name, number, rng, {})
            operation = client.begin(f"/{kind}", text)
            reply = self._until_answered(name, kind, key, value, lambda operation=operation: client.ask(operation))
            if reply is not None:
                client.answered(operation, reply)
            self._ended.wait(rng.uniform(0.0, 0.02) if rng.random() < 0.97 else rng.uniform(1.0, 4.0))
            if rng.random() < 2 * self._repeated:
                client.look_back()
        client.close()

    # --- one operation ------------------------------------------------------------------------------------

    def _write(self, name, number, rng, connection, known, again):
        kind, key, value, text = self._choose(name, number, rng, known)
        request_id = f"{self._seed}-{name}-{number}"
        reply = self._until_answered(
            name, kind, key, value, lambda: connection.ask(f"/{kind}", text, request_id, "eventual")
        )
        if reply is not None and rng.random() < self._repeated:
            # As if the answer had been lost: what comes again must be told the same.
            again.append((time.monotonic() + rng.uniform(0.0, 2.0), f"/{kind}", text, request_id, reply))
        while again and again[0][0] < time.monotonic():
            _, endpoint, text, request_id, before = again.pop(0)
            self._repeat(connection, endpoint, text, request_id, before)

    def _choose(self, name, number, rng, known):
        """What to write: kind, key, value, and how it is told."""
        kind, key = rng.choice(["append"] * 3 + ["set", "swap"]), self._key(rng)
        if kind == "append":
            key = f"{name}-{number}"
            more = " " + "x" * rng.randrange(300_000, 4_000_000) if rng.random() < self._large else ""
            return kind, key, None, key + more
        value = f"{name}-{number}" if kind == "set" else [known.get(key), f"{name}-{number}"]
        return kind, key, value, json.dumps([key, value] if kind == "set" else [key, *value])

    def _read(self, name, number, rng, connection, known, again):
        kind = rng.choice(["read", "read", "get", "get", "glance"])
        key = self._key(rng) if kind == "get" else ""
        endpoint, consistency = "/get" if kind == "get" else "/read", "eventual" if kind == "glance" else "linearizable"
        request_id = f"{self._seed}-{name}-{number}"
        reply = self._until_answered(
            name, kind, key, None, lambda: connection.ask(endpoint, key, request_id, consistency), attempts=1
        )
        if kind == "get" and reply is not None:
            known[key] = reply

    def _ask(self, name, number, rng, connection, known, again):
        """Ask an agent directly how far a read has to wait there: gateways avoid replicas that are slow to answer."""
        op = self.history.begin(name, "bound", "", None, time.monotonic_ns())
        try:
            body = admin.ask(rng.choice(self._sockets()), READ, seconds=rng.uniform(0.05, 1.2))
        except (JinaError, ValueError) as error:
            self._note("bound", repr(error)[:120])
        else:
            op.result, op.returned = NUMBER.unpack(body)[0], time.monotonic_ns()
        self._ended.wait(rng.uniform(0.0, 0.15))

    def _key(self, rng):
        return f"{int(time.monotonic())}-{rng.randrange(KEYS)}"

    def _until_answered(self, name, kind, key, value, ask, attempts=10**6):
        op = self.history.begin(name, kind, key, value, time.monotonic_ns())
        for attempt in range(attempts):
            try:
                answer = ask()
            except Refused as error:
                self.wrong.append(f"{kind} {key} of {name}: refused as too late: {error}")
                break
            except Unanswered as error:
                self._note(kind, error)
                if time.monotonic() > self._until:
                    break
                time.sleep(min(0.02 * 2**attempt, 0.3))
            else:
                op.result, op.returned = answer, time.monotonic_ns()
                self._answered(kind)
                return answer
        return None

    def _repeat(self, connection, endpoint, text, request_id, before):
        try:
            reply = connection.ask(endpoint, text, request_id, "eventual")
        except Unanswered as error:
            self._note("repeated", error)
        else:
            if reply != before:
                self.wrong.append(f"{request_id} was answered {before}, and when it came again {reply}")

    def _answered(self, kind):
        with self._lock:
            if kind in {"append", "set", "swap"}:
                now = time.monotonic()
                self.written += 1
                self.longest_gap = max(self.longest_gap, now - self._latest)
                self._latest = now

    def _note(self, kind, error):
        with self._lock:
            text = f"{kind}: {error}"
            self.errors[text] = self.errors.get(text, 0) + 1
