"""How long to wait before a server is asked again, and after what not at all."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 0.5
MOST_SECONDS: Final = 60.0


class Backoff:
    """Failures, one after the other: the more of them, the longer the pause. ``now`` is any clock in seconds."""

    def __init__(self) -> None:
        self.failures = 0
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """To wait before the next try."""
        return min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(max(self.failures - 1, 0), 10))

    def begin(self, now: float) -> None:
        """A try begins."""
        self._since = now

    def end(self) -> None:
        """It ended as it should."""
        self.failures = 0

    def fail(self, now: float) -> None:
        """It failed; what has worked for long before that counts as a success."""
        self.failures = 1 if now - self._since > MOST_SECONDS else self.failures + 1


def is_final(status: int) -> bool:
    """Whether a refusal with this status will not change with time."""
    return 400 <= status < 500 and status not in (401, 403, 408, 429)
