"""Finds what fits some words best among what says of itself what it is for: tools, agents.

By Okapi BM25; a word of the name counts more, and words are compared without their endings.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

MAX_QUERY: Final = 1000
"""Characters of a question."""
NAME_WEIGHT: Final = 3
K1: Final = 1.2
B: Final = 0.75
"""The customary constants: how soon more of the same word counts no more, and how much the length of a text does."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_ENDINGS = ("ings", "ing", "ies", "ed", "es", "s", "y")
_SHORTEST = 3
_EMPTY: Final = frozenset(
    {
        *("a", "an", "and", "any", "are", "as", "at", "be", "by", "can", "do", "for", "from", "how", "i", "if", "in"),
        *("into", "is", "it", "its", "me", "my", "of", "on", "or", "that", "the", "their", "this", "to", "us"),
        *("want", "was", "what", "which", "will", "with", "you", "your"),
    }
)
"""Words, without their endings, that say nothing of what they are about."""


class Index:
    """What is to be found, by its words."""

    def __init__(self, entries: Iterable[tuple[str, Iterable[str] | Mapping[str, int]]]) -> None:
        """By the names that are to be found, the :func:`words` that are said of each beside those of its name.

        They may be counted already.
        """
        self._names: list[str] = []
        self._lengths: list[int] = []
        self._postings: dict[str, list[tuple[int, int]]] = {}
        for name, said in entries:
            counts = Counter(said)
            counts.update(dict.fromkeys(words(name), NAME_WEIGHT))
            for word, count in counts.items():
                self._postings.setdefault(word, []).append((len(self._names), count))
            self._names.append(name)
            self._lengths.append(sum(counts.values()))
        self._mean = sum(self._lengths) / max(1, len(self._lengths)) or 1.0

    def search(self, query: str, limit: int) -> list[str]:
        """The names of what fits best; those that fit equally in the order in which they were given."""
        scores: dict[int, float] = {}
        for word in set(words(query[:MAX_QUERY])):
            postings = self._postings.get(word, ())
            weight = math.log(1 + (len(self._names) - len(postings) + 0.5) / (len(postings) + 0.5))
            for at, count in postings:
                length = K1 * (1 - B + B * self._lengths[at] / self._mean)
                scores[at] = scores.get(at, 0.0) + weight * count * (K1 + 1) / (count + length)
        best = sorted(scores, key=lambda at: (-scores[at], at))
        return [self._names[at] for at in best[: max(0, limit)]]


def words(text: str) -> list[str]:
    """The words of a text or a name, without their endings."""
    found = (_stem(one.lower()) for one in _WORD.findall(text))
    return [one for one in found if one not in _EMPTY]


@lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    if not word.endswith("ss"):
        ending = next((one for one in _ENDINGS if word.endswith(one) and len(word) - len(one) >= _SHORTEST), "")
        word = word[: len(word) - len(ending)]
    return word[:-1] if word.endswith("e") and len(word) > _SHORTEST else word
