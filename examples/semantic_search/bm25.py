"""Okapi BM25, the baseline that the embeddings must beat (Robertson and Zaragoza, 2009)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict


def words(text: str) -> list[str]:
    """Lower-case words without a plural s."""
    return [w[:-1] if len(w) > 3 and w.endswith("s") else w for w in re.findall(r"[a-z0-9]+", text.lower())]


class BM25:
    """Ranks texts by word overlap."""

    def __init__(self, texts: list[str], k1: float = 1.5, b: float = 0.75) -> None:
        self.k1, self.b = k1, b
        counts = [Counter(words(text)) for text in texts]
        self.lengths = [sum(count.values()) for count in counts]
        self.mean = sum(self.lengths) / len(self.lengths)
        self.postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for i, count in enumerate(counts):
            for word, n in count.items():
                self.postings[word].append((i, n))

    def search(self, query: str, limit: int = 10) -> list[int]:
        """Positions of the best texts, best first."""
        scores: dict[int, float] = defaultdict(float)
        total = len(self.lengths)
        for word in words(query):
            found = self.postings.get(word, [])
            rarity = math.log(1 + (total - len(found) + 0.5) / (len(found) + 0.5))
            for i, n in found:
                norm = self.k1 * (1 - self.b + self.b * self.lengths[i] / self.mean)
                scores[i] += rarity * n * (self.k1 + 1) / (n + norm)
        return sorted(scores, key=lambda i: -scores[i])[:limit]
