"""What is asked of a provider that runs whole batches, one step at a time.

Each step gives what is to be written down before the next one. A provider is asked to begin a batch under a mark, by
which what it has begun is found again after a crash, so that it begins none a second time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Protocol

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.base import Got, Progress
from pointsman.errors import UpstreamError

POLL_SECONDS: Final = 30.0
FAILED_SECONDS: Final = 60.0
"""Until a provider is asked again that has not answered."""


class Order(NamedTuple):
    """A batch that a provider is to run."""

    mark: str
    """The gateway's id of it."""
    model: str
    """The public name."""
    endpoint: str
    headers: Mapping[str, str]
    """With which each line is to be run, in small letters."""
    total: int
    """How many requests it has."""
    fence: int
    """Of the lease under which it is asked."""
    may_wait: bool
    """Whether there is time for the provider to begin."""
    now: Callable[[], float]
    """Seconds since 1970."""
    is_mine: Callable[[], bool]
    """Whether the lease is kept."""
    requests: Callable[[], AsyncGenerator[list[tuple[int, LineRequest]]]]
    """Reads its requests with the numbers of their lines, some at a time; raises
    :class:`~pointsman.errors.CallerError` where that cannot be done."""
    request: Callable[[int], Awaitable[LineRequest | None]]
    """The request of one line, by its number; ``None``: there is none."""


class Step(NamedTuple):
    """How far it is after a step."""

    progress: Progress
    seconds: float = POLL_SECONDS
    """Until the next one."""
    refusal: UpstreamError | None = None
    """The provider has said no, and has begun nothing."""


class State(NamedTuple):
    """A batch as it is there."""

    is_over: bool
    results: tuple[str, ...] = ()
    """What has its results, in the provider's names."""
    problem: str = ""
    """Why there are lines that it has not run, as far as it says so."""


class Remote(Protocol):
    """All methods that wait raise :class:`~pointsman.errors.UpstreamError`."""

    def takes(self, endpoint: str, headers: Mapping[str, str]) -> bool:
        """Whether there are batches of such requests, and those headers would hold for each."""

    async def find(self, order: Order, progress: Progress) -> Progress:
        """With the batch that somebody has had begun who could not write it down any more.

        Where that is still in doubt, the progress says so, and nobody is to ask again.
        """

    async def begin(self, order: Order, progress: Progress) -> Step | None:
        """Go on to a batch that is begun, which is not in doubt; ``None``: that is of no use any more.

        :raises CallerError: the lines are none for a provider
        """

    async def state(self, batch: str) -> State:
        """A batch, as it is."""

    async def cancel(self, batch: str) -> None:
        """Have no more of a batch begun; its results are there some minutes later."""

    def results(self, order: Order, state: State) -> AsyncGenerator[Got]:
        """What came of its lines, of those that were run."""
