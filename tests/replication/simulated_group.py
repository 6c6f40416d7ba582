"""What the agents of a simulated group share: one log, of which each of them learns in its time."""

from .model import Model

SOON = (0.0, 0.0002, 0.002, 0.02)
LATE = (0.0, 0.01, 0.3, 2.0)
"""Seconds that something takes."""


class Group:
    """The log, of which each agent learns in its time."""

    def __init__(self, loop, chance, folder, trouble, sessions):
        self.loop, self.chance, self.folder = loop, chance, folder
        self.trouble = trouble
        """How much of what is proposed and asked goes wrong."""
        self.log = []
        """Operations, and None for what is none."""
        self.term = 1
        self.model = Model(sessions)
        self.sessions = sessions
        self.trace = []
        self.without_leader = 0.0
        self.agents = []

    def note(self, *what):
        self.trace.append((round(self.loop.time() - 1000, 6), *what))

    def append(self, payload):
        """An entry is committed; the agents hear of it one after another."""
        self.log.append(payload)
        index = len(self.log)
        self.note("entry", index, payload and payload[-40:])
        if payload is not None:
            self.model.append(index, payload)
        for agent in self.agents:
            agent.learn(index, self.chance.choice(SOON))

    def elect(self, seconds):
        """There is no leader for a while, and then one with an entry of its own."""
        self.without_leader = self.loop.time() + seconds
        self.loop.call_later(seconds, self._elected)

    def _elected(self):
        self.term += 1
        self.append(None)

    def leads(self, agent):
        """Whether an agent reaches a leader."""
        return max(self.without_leader, agent.cut_off) <= self.loop.time()

    def unlucky(self):
        return self.chance.random() < self.trouble
