"""Where streamed responses have ended.

A stream has one id from its beginning on, that of its first round; its provider knows what came after by the id of the
last one. So a client that goes on from the first is taken to the last, as long as this process remembers.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 10_000


class Chains:
    """The ends of the responses that were streamed lately."""

    def __init__(self) -> None:
        self._ends: dict[str, str] = {}

    def note(self, first: str, last: str) -> None:
        """A response that has begun as ``first`` has ended as ``last``."""
        if first == last:
            return
        while len(self._ends) >= MOST:
            del self._ends[next(iter(self._ends))]
        self._ends[first] = last

    def end_of(self, response_id: str) -> str:
        """The id by which its provider knows all of a response."""
        return self._ends.get(response_id, response_id)
