"""Writes in sessions, as raw HTTP with numbers of their own: repeated at once, later, much later, and too late.

Each attempt has another request id, so that nothing but the number tells that it is the same request.
"""

import itertools
import threading

from tests.nemesis.connection import Connection, Refused, Unanswered

GROUP = "nemesis"
MOST = 40
"""Numbers that a client holds on to, so that it may ask for their answers again."""


class Operation:
    """A write with a number in a session, and what was answered."""

    def __init__(self, opened, number, endpoint, text):
        self.opened, self.number, self.endpoint, self.text = opened, number, endpoint, text
        self.answer = None


class SessionClient:
    """One client and the sessions that it opens one after another. `wrong` and `note` take what is found."""

    def __init__(self, name, seed, port, rng, wrong, note):
        self._client, self._seed, self._rng, self._wrong, self._note = f"{name}-{seed}", seed, rng, wrong, note
        self._connection, self._second = Connection(port), Connection(port)
        self._attempts = itertools.count()
        self._opened, self._number = 0, 0
        self._held, self._past, self._released = {}, [], []

    def close(self):
        self._connection.close()
        self._second.close()

    def begin(self, endpoint, text):
        """The next write; the first of a session opens it."""
        if self._opened == 0 or self._rng.random() < 0.02:
            self._past = [operation for operation in self._held.values() if operation.answer is not None]
            self._opened, self._number, self._held, self._released = 0, 0, {}, []
            return Operation(0, next(self._attempts), endpoint, text)
        self._number += 1
        operation = self._held[self._number] = Operation(self._opened, self._number, endpoint, text)
        return operation

    def ask(self, operation):
        """One attempt; raises `Unanswered`. Some are made twice at the same time."""
        if operation.opened and self._rng.random() < 0.1:
            answers = []
            other = threading.Thread(
                target=lambda: answers.append(self._attempt(self._second, operation, suppress=True))
            )
            other.start()
            try:
                reply = self._attempt(self._connection, operation)
            finally:
                other.join()
            if answers[0] not in (None, reply):
                self._wrong(f"{self._name(operation)} was answered {reply}, and at the same time {answers[0]}")
            return reply
        return self._attempt(self._connection, operation)

    def answered(self, operation, result):
        """Note the answer; drop some numbers now and then."""
        operation.answer = result
        if operation.opened == 0:
            self._opened = int(self._connection.beside["jina-session"].rpartition("=")[2])
            return
        if len(self._held) > MOST or self._rng.random() < 0.02:
            for number in sorted(self._held)[: self._rng.randrange(1, len(self._held) + 1)]:
                if self._held[number].answer is not None:
                    self._released = [*self._released[-20:], self._held.pop(number)]

    def look_back(self):
        """Ask again for something that was answered before: it has to be answered the same."""
        kind = self._rng.choice(["held", "held", "held", "past", "released"])
        operations = {"held": list(self._held.values()), "past": self._past, "released": self._released}[kind]
        operations = [operation for operation in operations if operation.answer is not None]
        if not operations:
            return
        operation = self._rng.choice(operations)
        try:
            reply = self._attempt(self._connection, operation, lowest=0 if kind == "past" else None)
        except Refused as error:
            if kind != "released":
                self._wrong(
                    f"{self._name(operation)} was answered {operation.answer}, and when it came again refused: {error}"
                )
        except Unanswered as error:
            self._note("repeated", error)
        else:
            if reply != operation.answer:
                self._wrong(f"{self._name(operation)} was answered {operation.answer}, and when it came again {reply}")

    def _attempt(self, connection, operation, *, lowest=None, suppress=False):
        if operation.opened:
            request_id = f"{self._client}-{next(self._attempts)}"
            lowest = min(self._held, default=operation.number) if lowest is None else lowest
            session = f"{self._client}/{operation.number}/{min(lowest, operation.number)}, {GROUP}={operation.opened}"
        else:  # what opens a session has no number yet: here it is the id that tells
            request_id, session = f"{self._client}-opens-{operation.number}", f"{self._client}/0/0, {GROUP}=0"
        try:
            return connection.ask(operation.endpoint, operation.text, request_id, "eventual", {"jina-session": session})
        except Unanswered:
            if suppress:
                return None
            raise

    def _name(self, operation):
        return f"{self._client}/{operation.opened} {operation.number}"
