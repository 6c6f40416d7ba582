"""An Executor with continuous batching for the tests of Deployments and Flows."""

import os

from docarray import BaseDoc

from jina import Executor, Slot, continuous_batching, requests


class Text(BaseDoc):
    text: str = ""
    together: int = 0
    pid: int = 0


class Stepping(Executor):
    """Emits the words of a text, one in a step, or the number of the step for as long as its client reads."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left = []

    @requests(on="/words")
    @continuous_batching(slots=4)
    def step(self, slots: list[Slot[Text, Text]]) -> None:
        for slot in slots:
            if slot.state is None:
                words = slot.doc.text.split()
                slot.state = iter(words * slot.parameters.get("times", 1))
                slot.on_leave(self.left.append, words[0])
            word = next(slot.state, None)
            if word == "broken":
                slot.fail(ValueError("a broken word"))
            elif word is None:
                slot.finish()
            else:
                slot.emit(Text(text=word, together=len(slots), pid=os.getpid()))

    @requests(on="/left")
    def who_left(self, **kwargs) -> dict:
        return {"left": self.left}
