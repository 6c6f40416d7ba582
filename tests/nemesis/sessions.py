"""Writes in sessions, as raw HTTP with numbers of their own: repeated at once, later, much later, and too late.

Each attempt has another request id, so that nothing but the number tells that it is the same request.
"""

import itertools
import threading

from tests.nemesis.connection import Connection, Refused, Unanswered

GROUP = "nemesis"
MOST = 40
"""Numbers that a client holds on to, so that it may ask for their answers again."""


class Wish:
    """A write with a number in a session, and what was answered."""

    def __init__(self, opened, number, endpoint, text):
        self.opened, self.number, self.endpoint, self.text = opened, number, endpoint, text
        self.told = None


class SessionClient:
    """One client and the sessions that it opens one after another. `wrong` and `note` take what is found."""

    def __init__(self, name, seed, port, dice, wrong, note):
        self._client, self._seed, self._dice, self._wrong, self._note = f"{name}-{seed}", seed, dice, wrong, note
        self._connection, self._second = Connection(port), Connection(port)
        self._attempts = itertools.count()
        self._opened, self._number = 0, 0
        self._held, self._past, self._released = {}, [], []

    def close(self):
        self._connection.close()
        self._second.close()

    def begin(self, endpoint, text):
        """The next write; the first of a session opens it."""
        if self._opened == 0 or self._dice.random() < 0.02:
            self._past = [wish for wish in self._held.values() if wish.told is not None]
            self._opened, self._number, self._held, self._released = 0, 0, {}, []
            return Wish(0, next(self._attempts), endpoint, text)
        self._number += 1
        wish = self._held[self._number] = Wish(self._opened, self._number, endpoint, text)
        return wish

    def ask(self, wish):
        """One attempt; raises `Unanswered`. Some are made twice at the same time."""
        if wish.opened and self._dice.random() < 0.1:
            answers = []
            other = threading.Thread(target=lambda: answers.append(self._attempt(self._second, wish, suppress=True)))
            other.start()
            try:
                told = self._attempt(self._connection, wish)
            finally:
                other.join()
            if answers[0] not in (None, told):
                self._wrong(f"{self._name(wish)} was answered {told}, and at the same time {answers[0]}")
            return told
        return self._attempt(self._connection, wish)

    def answered(self, wish, told):
        """Note the answer; let go of some numbers now and then."""
        wish.told = told
        if wish.opened == 0:
            self._opened = int(self._connection.beside["jina-session"].rpartition("=")[2])
            return
        if len(self._held) > MOST or self._dice.random() < 0.02:
            for number in sorted(self._held)[: self._dice.randrange(1, len(self._held) + 1)]:
                if self._held[number].told is not None:
                    self._released = [*self._released[-20:], self._held.pop(number)]

    def look_back(self):
        """Ask again for something that was answered before: it has to be answered the same."""
        kind = self._dice.choice(["held", "held", "held", "past", "released"])
        wishes = {"held": list(self._held.values()), "past": self._past, "released": self._released}[kind]
        wishes = [wish for wish in wishes if wish.told is not None]
        if not wishes:
            return
        wish = self._dice.choice(wishes)
        try:
            told = self._attempt(self._connection, wish, lowest=0 if kind == "past" else None)
        except Refused as error:
            if kind != "released":
                self._wrong(f"{self._name(wish)} was answered {wish.told}, and when it came again refused: {error}")
        except Unanswered as error:
            self._note("repeated", error)
        else:
            if told != wish.told:
                self._wrong(f"{self._name(wish)} was answered {wish.told}, and when it came again {told}")

    def _attempt(self, connection, wish, *, lowest=None, suppress=False):
        if wish.opened:
            request_id = f"{self._client}-{next(self._attempts)}"
            lowest = min(self._held, default=wish.number) if lowest is None else lowest
            turn = f"{self._client}/{wish.number}/{min(lowest, wish.number)}, {GROUP}={wish.opened}"
        else:  # what opens a session has no number yet: here it is the id that tells
            request_id, turn = f"{self._client}-opens-{wish.number}", f"{self._client}/0/0, {GROUP}=0"
        try:
            return connection.ask(wish.endpoint, wish.text, request_id, "eventual", {"jina-session": turn})
        except Unanswered:
            if suppress:
                return None
            raise

    def _name(self, wish):
        return f"{self._client}/{wish.opened} {wish.number}"
