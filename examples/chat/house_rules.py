"""A search by meaning over a few sentences, as a tool of agents."""

from __future__ import annotations

import numpy as np
from docarray import DocList
from encoder import Encoder

from documents import Passage
from jina import requests

FACTS = (
    "The library opens at nine in the morning and closes at six in the evening.",
    "The cafeteria on the second floor serves soup and bread.",
    "Bicycles can be left in the yard behind the main building.",
    "The next concert of the choir is on the first of May.",
)


class HouseRules(Encoder):
    """What visitors of a house ask."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.vectors = self._vectors(FACTS)

    def _vectors(self, texts: tuple[str, ...]) -> np.ndarray:
        docs = self.encode(DocList[Passage](Passage(text=text) for text in texts))
        return np.stack([doc.embedding for doc in docs])

    @requests(on="/search_house_rules", safe=True)
    def search(self, question: str) -> str:
        """answer the question of a visitor"""
        return FACTS[int(np.argmax(self.vectors @ self._vectors((question,))[0]))]

    @requests(on="/send_mail")
    def send(self, address: str, text: str) -> str:
        """send a mail to somebody"""
        return f"{len(text)} letters would go to {address}"
