"""The durable queue of batches: what is to be done, who does it at the moment, and what came out.

A *batch* has *lines*. Both are *leased*: whoever takes one may work on it for some seconds, and goes on by renewing.
When that time is over, anybody may take it. Each taking has a number of its own, the *fence*, one more than the one
before; what is written with an older one is refused, so that who was believed dead cannot write after his successor.

Lines are run while their batch is ``in_progress``. What else a batch needs (it is to be validated, its files are to be
written, a provider is to be asked) is a *step*, of which one is done at a time. Once a batch has an *ending*, its lines
do not change any more. All times are the store's own, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

State: TypeAlias = Literal[
    "validating", "in_progress", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled"
]
Ending: TypeAlias = Literal["completed", "failed", "expired", "cancelled"]
Executor: TypeAlias = Literal["lines", "provider"]
"""Who runs the lines: this gateway one by one, or a provider the whole batch."""
LEASE_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 600.0
"""That a batch which was cancelled, or whose time is over, waits for the lines which somebody works on."""


PAGE_BYTES: Final = 2 << 20
"""Of results, after which no more lines are read at once."""


class LineLease(NamedTuple):
    """The right to finish a line."""

    batch: str
    number: int
    fence: int


class BatchLease(NamedTuple):
    """The right to do a step of a batch."""

    batch: str
    fence: int


class NewBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be done."""

    id: str
    owner: str
    """Who may see it."""
    key_id: str = ""
    """Whose lines these are; nothing is the master key."""
    kind: str = "openai"
    """The API that it was made with."""
    seconds: float = 86_400.0
    """That there is time for it."""
    total: int = 0
    """Lines, where that is known before they are counted."""
    doc: Mapping[str, Any] = {}
    """Plain JSON values."""


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """A batch."""

    id: str
    owner: str
    key_id: str
    kind: str
    executor: Executor
    state: State
    ending: Ending | Literal[""]
    """What it is or will be; nothing while its lines may change."""
    is_paused: bool
    total: int
    """Lines; the exact number once it is validated."""
    completed: int
    failed: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    created_at: float
    expires_at: float
    in_progress_at: float | None
    finalizing_at: float | None
    cancelling_at: float | None
    ended_at: float | None
    doc: dict[str, Any]
    fence: int

    @property
    def lease(self) -> BatchLease:
        """For whoever has taken it."""
        return BatchLease(self.id, self.fence)


class BatchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which batches are asked for; ``None``: whatever there is."""

    owner: str | None = None
    kind: str | None = None


class NewLine(msgspec.Struct, frozen=True, gc=False):
    """A line of an input file."""

    number: int
    """From 1."""
    custom_id: str
    offset: int
    """Bytes before it in the file."""
    length: int
    """Bytes."""


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """A line to be run."""

    lease: LineLease
    custom_id: str
    offset: int
    length: int
    lapses: int
    """How often somebody who had it was not heard of again."""


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came out of a line."""

    lease: LineLease
    status: int
    """As of HTTP."""
    body: bytes
    request_id: str = ""
    is_failed: bool = False
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0


class LineRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line as it is."""

    number: int
    custom_id: str
    offset: int
    length: int
    state: Literal["queued", "leased", "done"]
    status: int
    """This and the rest is of lines that are done."""
    is_failed: bool
    request_id: str
    body: bytes


class Backlog(msgspec.Struct, frozen=True):
    """What is still to be done."""

    batches: int
    """That have not ended, validated or not."""
    lines: int
    """Of those that are validated."""
    oldest_at: float | None
    """When the oldest one was made."""


class WorkRecords(Protocol):
    """The queue. Each call has a deadline and raises :class:`~pointsman.store.base.StoreDown`.

    ``holder`` is a text that one start of one process has to itself.
    """

    # For clients

    async def create(self, batch: NewBatch) -> BatchRow:
        """Add a batch, to be validated.

        :raises Refused: its id is taken, or cannot be stored
        """

    async def get(self, id: str) -> BatchRow | None: ...  # noqa: A002  as the column is called

    async def find(
        self,
        query: BatchQuery,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 20,
        is_ascending: bool = False,
    ) -> list[BatchRow]:
        """Batches, the last one first, or the first one if ``is_ascending``.

        ``after``: when the last one of the page before was made, and its id.
        """

    async def count_open(self, owner: str) -> int:
        """How many batches of an owner have not ended."""

    async def count_made(self, owner: str, since: float) -> int:
        """How many batches of an owner that are still told of were made after then."""

    async def cancel(self, id: str) -> BatchRow | None:  # noqa: A002
        """No more lines of it are begun; gives it as it is then. What is over or nearly so goes on as before."""

    async def pause(self, id: str, *, is_paused: bool) -> BatchRow | None:  # noqa: A002
        """Begin no more lines of it, or do so again. Its time goes on."""

    async def delete(self, id: str) -> bool:  # noqa: A002
        """Forget a batch that has ended; gives whether it was there and has."""

    # Steps of a batch

    async def take(self, holder: str, seconds: float = LEASE_SECONDS) -> BatchRow | None:
        """Lease a batch that needs a step."""

    async def hold(self, lease: BatchLease, seconds: float = LEASE_SECONDS) -> bool:
        """Go on with a step; ``False``: it is somebody else's."""

    async def add_lines(self, lease: BatchLease, lines: Sequence[NewLine]) -> bool:
        """Add those that are not there yet, while it is validated; ``False``: it is not any more."""

    async def validated(
        self, lease: BatchLease, doc: Mapping[str, Any] | None = None, executor: Executor = "lines"
    ) -> bool:
        """Its lines are all there: let them be run, and give the lease up."""

    async def fill(self, lease: BatchLease, results: Sequence[Result]) -> bool:
        """Write results that a provider has given, whoever has the lines; those that are there stay.

        The last one ends the batch, as with :meth:`finish`. ``False``: the step is somebody else's.
        """

    async def close(self, lease: BatchLease, ending: Ending, doc: Mapping[str, Any] | None = None) -> BatchRow | None:
        """Its lines do not change any more; the lease stays. ``None``: it is somebody else's.

        What has an ending keeps it.
        """

    async def end(
        self, lease: BatchLease, doc: Mapping[str, Any] | None = None, state: Ending | None = None
    ) -> BatchRow | None:
        """It is over, in the state of its ending or in this one. ``None``: it is somebody else's."""

    async def leave(
        self,
        lease: BatchLease,
        seconds: float = 0.0,
        doc: Mapping[str, Any] | None = None,
        executor: Executor | None = None,
    ) -> bool:
        """Give a lease up; nobody takes the batch before so many seconds. ``False``: it is somebody else's."""

    # Lines

    async def claim(
        self,
        holder: str,
        limit: int,
        seconds: float = LEASE_SECONDS,
        without: Collection[str] = (),
        only: str = "",
    ) -> list[Claimed]:
        """Lease lines that can be run now, at most so many, all of one batch; of another one the next time.

        None of the batches in ``without``, and where ``only`` is one, of no other. Most of them are lines that nobody
        has begun, in their order, and the others those that were given back or lost and have been ready for longest:
        neither hold the others up for long.
        """

    async def renew(self, holder: str, leases: Collection[LineLease], seconds: float = LEASE_SECONDS) -> set[LineLease]:
        """Go on with lines; gives those that are not to be gone on with."""

    async def finish(self, results: Sequence[Result]) -> set[LineLease]:
        """Write results and count them, all or nothing; gives those that are refused.

        What is written a second time is counted once. The last line of a batch makes it ``finalizing``.
        """

    async def give_back(
        self, leases: Collection[LineLease], seconds: float = 0.0, lapses: Mapping[LineLease, int] = {}
    ) -> None:
        """Let anybody take them, after so many seconds.

        ``lapses``: how often some of them count as lapsed from now on.
        """

    async def release(self, holder: str) -> None:
        """Let anybody take all that it has, lines and steps."""

    async def lines(self, batch: str, *, after: int = 0, limit: int = 64) -> list[LineRow]:
        """Lines in the order of their numbers, from the one after ``after``; nothing is after the last one.

        Fewer than ``limit`` where they are large: the one with which :data:`PAGE_BYTES` are there is the last one.
        """

    # Watching and cleaning

    async def backlog(self) -> Backlog: ...

    async def wait(self, patience: float) -> None:
        """Come back when there may be something to do, and after ``patience`` seconds at the latest."""

    async def clear(self, batch: str) -> int:
        """Delete the lines of a batch that has ended; gives how many."""

    async def sweep(self, ended_before: float) -> int:
        """Do so for all, and delete the batches that ended before; gives how many of these."""
