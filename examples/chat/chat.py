"""A language model as a service: conversations share each step of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from answering import MAX_TOKENS, answer
from smollm import SmolLM

from jina import Chat, Delta, Executor, Slot, continuous_batching, requests

SLOTS = 8
CHUNK = 48
"""Tokens of a prompt that are read in one step at most, so that a long one does not hold up the others."""


class Talking:
    """One conversation: what the model is to read next, and what it makes of the logits."""

    def __init__(self, chat: Chat, model: SmolLM) -> None:
        self._talk = answer(chat, model.vocabulary)
        self._pending: list[int] = []
        self.over = False
        self._ahead(None)
        self.too_long = len(self._pending) + (chat.max_tokens or MAX_TOKENS) > model.context

    def tokens(self) -> list[int]:
        """What goes into the next step."""
        taken, self._pending = self._pending[:CHUNK], self._pending[CHUNK:]
        return taken

    def read(self, logits: np.ndarray) -> Iterator[Delta]:
        """The pieces of the answer that come of the logits; none while the prompt is not read."""
        if not self._pending:
            yield from self._ahead(logits)

    def _ahead(self, logits: np.ndarray | None) -> list[Delta]:
        deltas: list[Delta] = []
        try:
            given = next(self._talk) if logits is None else self._talk.send(logits)
            while not isinstance(given, list):
                deltas.append(given)
                given = next(self._talk)
            self._pending = given
        except StopIteration:
            self.over = True
        return deltas


class SmolChat(Executor):
    """SmolLM2-135M-Instruct on the CPU."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.model = SmolLM(rows=SLOTS)
        self.together = 0

    @requests(on="/chat")
    @continuous_batching(slots=SLOTS)
    def step(self, slots: list[Slot[Chat, Delta]]) -> None:
        """Answer a conversation, by text or by the call of a tool."""
        for slot in slots:
            if slot.state is None:
                slot.on_leave(self.model.free, slot.index)
                slot.state = Talking(slot.doc, self.model)
                if slot.state.too_long:
                    slot.fail(ValueError(f"the conversation is longer than {self.model.context} tokens"))
        running = [slot for slot in slots if not slot.finished]
        if not running:
            return
        self.together = max(self.together, len(running))
        logits = self.model.forward([slot.index for slot in running], [slot.state.tokens() for slot in running])
        for slot, row in zip(running, logits, strict=True):
            for delta in slot.state.read(row):
                slot.emit(delta)
            if slot.state.over:
                slot.finish()

    @requests(on="/most_together", safe=True)
    def most_together(self) -> int:
        """The most conversations that were in one step of the model so far."""
        return self.together
