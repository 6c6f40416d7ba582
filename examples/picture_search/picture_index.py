"""An exact index of pictures, searched by words, by a picture, or by both."""

from __future__ import annotations

import numpy as np
from docarray import DocList
from pictures import IMAGE_DIMENSIONS, TEXT_DIMENSIONS, Found, Match, Picture

from jina import Executor, requests


class PictureIndex(Executor):
    """Keeps both vectors of each picture; ranks by the weighted sum of their cosine similarities to the query's."""

    def __init__(self, text_weight: float = 0.6, **kwargs) -> None:
        """`text_weight` in [0, 1] is what the words count in queries that have an image too."""
        super().__init__(**kwargs)
        self.text_weight = text_weight
        self.pictures: list[tuple[str, str]] = []
        self.texts = np.empty((0, TEXT_DIMENSIONS), dtype=np.float32)
        self.images = np.empty((0, IMAGE_DIMENSIONS), dtype=np.float32)

    @requests(on="/index")
    def index(self, docs: DocList[Picture], **kwargs) -> DocList[Picture]:
        """Add pictures that have both vectors. The answer has their ids and names."""
        for doc in docs:
            if doc.embedding is None or doc.image_embedding is None:
                raise ValueError(f"picture {doc.id}: it needs both text and image")
        self.texts = np.vstack([self.texts, *(doc.embedding for doc in docs)])
        self.images = np.vstack([self.images, *(doc.image_embedding for doc in docs)])
        self.pictures += [(doc.id, doc.text) for doc in docs]
        return DocList[Picture](Picture(id=doc.id, text=doc.text) for doc in docs)

    @requests(on="/search")
    def search(self, docs: DocList[Picture], parameters: dict, **kwargs) -> DocList[Found]:
        """The `limit` (10) best pictures of each query."""
        if not self.pictures:
            raise ValueError("there are no pictures yet: send some to /index")
        limit = int(parameters.get("limit", 10))
        answers = DocList[Found]()
        for query, scores in zip(docs, self._scores(docs), strict=True):
            best = np.argsort(-scores, kind="stable")[:limit]
            matches = [Match(id=self.pictures[i][0], text=self.pictures[i][1], score=float(scores[i])) for i in best]
            answers.append(Found(id=query.id, matches=DocList[Match](matches)))
        return answers

    def _scores(self, queries: DocList[Picture]) -> np.ndarray:
        """What each picture is worth for each query: (queries, pictures) float32."""
        # What all pictures have in common tells none of them from the others.
        centre = self.images.mean(axis=0)
        texts = np.zeros((len(queries), TEXT_DIMENSIONS), dtype=np.float32)
        images = np.zeros((len(queries), IMAGE_DIMENSIONS), dtype=np.float32)
        for i, query in enumerate(queries):
            has_text, has_image = query.embedding is not None, query.image_embedding is not None
            if not has_text and not has_image:
                raise ValueError(f"query {query.id}: it has neither text nor image")
            weight = self.text_weight if has_text and has_image else float(has_text)
            if has_text:
                texts[i] = weight * np.asarray(query.embedding)
            if has_image:
                images[i] = (1 - weight) * _unit(np.asarray(query.image_embedding) - centre)
        return texts @ self.texts.T + images @ _unit(self.images - centre).T


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
