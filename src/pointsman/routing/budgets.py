"""How much more than was asked for a group may send upstream."""

from __future__ import annotations

from pointsman.routing.windows import Window

SECONDS = 10.0
ALWAYS = 3


class ExtraAttempts:
    """Bounds further attempts to a share of the requests of the last ten seconds, with three always allowed."""

    __slots__ = ("_extra", "_requests", "_share", "always", "request")

    def __init__(self, share: float, *, always: int = ALWAYS) -> None:
        self._share = share
        self.always = always
        self._requests = Window(SECONDS)
        self._extra = Window(SECONDS)
        self.request = self._requests.add
        """Count a request at a time."""

    def is_open(self, now: float) -> bool:
        """Whether one more attempt is within the bound."""
        return self._extra.total(now) + 1 <= max(self.always, self._share * self._requests.total(now))

    def spend(self, now: float) -> None:
        """Count a further attempt."""
        self._extra.add(now)
