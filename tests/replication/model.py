"""What the log of a simulated group means, and so what every replica must do and every client be told.

Texts are written, each one once; a replica's state is the list of those that it applied.
"""

import asyncio
import hashlib

from jina.replication.log_entries import read_entries


class Wrong(AssertionError):
    """A promise that was not kept."""


def require(kept, *result):
    """As `assert`, and it ends the run even where the exception is caught."""
    if not kept:
        error = Wrong(" ".join(map(str, result)))
        asyncio.get_running_loop().found(error)
        raise error


def fails(text):
    """Whether the method raises for a text; it is applied nevertheless."""
    return text.endswith("!")


class Model:
    """The one order of all texts, as the log has it so far, and what was told of it."""

    def __init__(self, sessions):
        self._most = sessions
        self.order = []
        """The texts that are to be applied, in order."""
        self.places = []
        """The entry of each."""
        self.moments = {}
        self.chains = {}
        self.answers = {}
        self.acknowledged = 0
        """How many texts everybody must see who asks from now on."""
        self._known = set()
        self._sessions = {}
        """(client, entry that opened it) -> lowest number, numbers above that were applied; in order of use."""
        self._resting = {}
        """The same -> lowest number."""

    def append(self, place, payload):
        """An operation has come into the log."""
        for entry, request in read_entries(payload):
            if self._is_new(place, entry):
                self.order.append(request.parameters["text"])
                self.places.append(place)

    def _is_new(self, place, entry):
        if not entry.opened:
            if entry.key in self._known:
                return False
            self._known.add(entry.key)
            if entry.client:
                self._use((entry.client, place), 0, set())
            return True
        name = (entry.client, entry.opened)
        if name not in self._sessions and name not in self._resting:
            return False
        floor, done = self._sessions[name] if name in self._sessions else (self._resting[name], set())
        if entry.sequence < floor or entry.sequence in done:
            return False
        floor = max(floor, entry.lowest)
        self._use(name, floor, {one for one in (*done, entry.sequence) if one >= floor})
        return True

    def _use(self, name, floor, done):
        self._sessions.pop(name, None)
        self._resting.pop(name, None)
        self._sessions[name] = (floor, done)
        if len(self._sessions) > self._most:
            name = next(iter(self._sessions))
            floor, done = self._sessions.pop(name)
            self._resting[name] = max((floor, *(one + 1 for one in done)))

    @property
    def forgets(self):
        """Whether sessions have had to rest."""
        return bool(self._resting)

    def count(self, index):
        """How many texts the log has up to an entry."""
        count = len(self.places)
        while count and self.places[count - 1] > index:
            count -= 1
        return count

    # --- what replicas do ---------------------------------------------------------------------------------

    def applies(self, lines, text, clock_and_seed):
        """A replica that has applied these lines is about to apply a text."""
        position = len(lines)
        require(text not in lines, text, "is applied twice")
        require(position < len(self.order), text, "is applied, which the log does not have")
        require(self.order[position] == text, text, "is applied where the log has", self.order[position])
        require(
            self.moments.setdefault(position, clock_and_seed) == clock_and_seed,
            text,
            "has another time or seed than elsewhere",
        )
        earlier = self.moments.get(position - 1, clock_and_seed)
        require(earlier[0] <= clock_and_seed[0], "the time goes back at", text)

    def holds(self, lines, index):
        """A state that goes up to an entry, such as that of a snapshot."""
        require(lines == self.order[: self.count(index)], "a state up to entry", index, "is", lines)

    def chain(self, index, value):
        """What a worker tells the agent."""
        known = self.chains.setdefault(index, value)
        require(known == value, "replicas differ at entry", index)

    # --- what clients are told ----------------------------------------------------------------------------

    def answered(self, text, place, answer, least):
        """A client was answered to a write that it began when there were `least` texts that everybody must see."""
        require(self.answers.setdefault(text, answer) == answer, text, "is answered", answer, "and", self.answers[text])
        require(text in self.order, text, "is acknowledged, and the log does not have it")
        position = self.order.index(text)
        require(position >= least, text, "is before one that was acknowledged earlier")
        if isinstance(answer, int):
            require(not fails(text), text, "did not fail")
            require(answer == position, text, "is answered place", answer, "and is at", position)
            require(place == self.places[position], text, "is said to be entry", place, "and is", self.places[position])
        else:
            require(fails(text), text, "failed:", answer)
        self.acknowledged = max(self.acknowledged, position + 1)

    def read(self, lines, least, what):
        """A client reads what must have at least so many texts."""
        require(lines == self.order[: len(lines)], what, "sees", lines)
        require(len(lines) >= least, what, "sees", len(lines), "lines of", least)

    def check_index(self, lines, place, what):
        """What a read saw is not beyond the entry that it is told to have seen the log up to."""
        require(len(lines) <= self.count(place), what, "saw", len(lines), "lines, and tells only of", self.count(place))


def state_hash(lines):
    """Of a replica's state."""
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).digest()
