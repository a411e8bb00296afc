"""Three tools in the place of hundreds: one finds others by what is to be done, one shows them, and one calls them.

Found by Okapi BM25 over the words of names, descriptions and arguments; a word of the name counts more, and words are
compared without their endings.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

SEARCH: Final = "search_tools"
DESCRIBE: Final = "describe_tool"
CALL: Final = "call_tool"
DEFAULT_LIMIT: Final = 5
MAX_LIMIT: Final = 20
MAX_QUERY: Final = 1000
"""Characters of a question."""
MAX_SUMMARY: Final = 200
NAME_WEIGHT: Final = 3
K1: Final = 1.2
B: Final = 0.75
"""The customary constants: how soon more of the same word counts no more, and how much the length of a text does."""

TOOLS: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "name": SEARCH,
        "description": "Find tools by what is to be done. Gives names and summaries, the best first.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What is to be done, in a few words"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            },
            "required": ["query"],
        },
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": DESCRIBE,
        "description": "Show the whole definition of a tool, with the schema of its arguments.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": f"A name that {SEARCH} has given"}},
            "required": ["name"],
        },
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": CALL,
        "description": "Call a tool.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": f"A name that {SEARCH} has given"},
                "arguments": {"type": "object", "description": f"As {DESCRIBE} tells"},
            },
            "required": ["name"],
        },
    },
)
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
"""Words, without their endings, that say nothing of a tool."""


class Index:
    """Tools by their words."""

    def __init__(self, tools: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """``tools`` are raw ones, by the names that are to be found."""
        self._names: list[str] = []
        self._lengths: list[int] = []
        self._postings: dict[str, list[tuple[int, int]]] = {}
        for name, tool in tools:
            counts = Counter(words_of(tool))
            counts.update(dict.fromkeys(words(name), NAME_WEIGHT))
            for word, count in counts.items():
                self._postings.setdefault(word, []).append((len(self._names), count))
            self._names.append(name)
            self._lengths.append(sum(counts.values()))
        self._mean = sum(self._lengths) / max(1, len(self._lengths)) or 1.0

    def search(self, query: str, limit: int = DEFAULT_LIMIT) -> list[str]:
        """The names of what fits best; those that fit equally in the order in which they were given."""
        scores: dict[int, float] = {}
        for word in set(words(query[:MAX_QUERY])):
            postings = self._postings.get(word, ())
            weight = math.log(1 + (len(self._names) - len(postings) + 0.5) / (len(postings) + 0.5))
            for at, count in postings:
                length = K1 * (1 - B + B * self._lengths[at] / self._mean)
                scores[at] = scores.get(at, 0.0) + weight * count * (K1 + 1) / (count + length)
        best = sorted(scores, key=lambda at: (-scores[at], at))
        return [self._names[at] for at in best[: max(0, min(limit, MAX_LIMIT))]]


def words(text: str) -> list[str]:
    """The words of a text or a name, without their endings."""
    found = (_stem(one.lower()) for one in _WORD.findall(text))
    return [one for one in found if one not in _EMPTY]


def words_of(tool: Mapping[str, Any]) -> list[str]:
    """Those of all that a tool says of itself."""
    texts = [tool.get("title"), tool.get("description")]
    schema = tool.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, about in properties.items() if isinstance(properties, Mapping) else ():
        texts += [name, about.get("description") if isinstance(about, Mapping) else None]
    return [word for text in texts if isinstance(text, str) for word in words(text)]


def summary(name: str, tool: Mapping[str, Any]) -> dict[str, str]:
    """What is told of a tool that was found."""
    about = tool.get("description")
    first = about.strip().partition("\n")[0][:MAX_SUMMARY] if isinstance(about, str) else ""
    return {"name": name, "description": first}


def _stem(word: str) -> str:
    if not word.endswith("ss"):
        ending = next((one for one in _ENDINGS if word.endswith(one) and len(word) - len(one) >= _SHORTEST), "")
        word = word[: len(word) - len(ending)]
    return word[:-1] if word.endswith("e") and len(word) > _SHORTEST else word
