"""How much is done for one request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pointsman.mcp.settings import UseLimits
from pointsman.pipeline.mcp_use.offers import Done, Wanted
from pointsman.pipeline.mcp_use.results import cut

NOT_CALLED: Final = "Error: not called, because this request may call no more tools; answer with what there is"
TOO_MUCH: Final = "Error: left out, because the tools of this request have answered too much; answer with what there is"


class Allowance:
    """What is left of it. Times are of ``clock``, in seconds."""

    def __init__(self, limits: UseLimits, deadline: float, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._end = min(clock() + limits.seconds, deadline)
        self._bytes = limits.total_bytes
        self.rounds = 0
        """Begun so far."""
        self.calls = 0
        """Made so far."""

    @property
    def seconds(self) -> float:
        """That tools may still take."""
        return max(0.0, self._end - self._clock())

    def begin(self) -> bool:
        """A round begins; whether it is the last one, after which nothing may be called."""
        self.rounds += 1
        limits = self._limits
        return self.rounds >= limits.rounds or self.calls >= limits.calls or not self._bytes or not self.seconds

    def share(self, wanted: Sequence[Wanted], *, is_last: bool) -> tuple[list[Wanted], list[Done]]:
        """Of these calls those that may be made, and the others, as if they had been answered."""
        may = 0 if is_last else max(0, self._limits.calls - self.calls)
        self.calls += min(may, len(wanted))
        refused = [Done(wanted=one, text=NOT_CALLED, is_error=True) for one in wanted[may:]]
        return list(wanted[:may]), refused

    def cut(self, done: Sequence[Done]) -> list[Done]:
        """The answers, as far as there is room for them."""
        return [msgspec.structs.replace(one, text=self._fit(one.text)) for one in done]

    def _fit(self, text: str) -> str:
        if not self._bytes:
            return TOO_MUCH
        text = cut(text, min(self._limits.result_bytes, self._bytes))
        self._bytes = max(0, self._bytes - len(text.encode(errors="replace")))
        return text
