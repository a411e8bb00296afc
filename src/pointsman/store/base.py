"""Durable rows, as the rest of the gateway sees them.

A row of an admin table is an ``id`` and a document of plain JSON values. What rows are found by stands in the document
too: :data:`COLUMNS` names those members, which are kept as columns beside it. Money in the ledger is an integer of
nano-dollars: exact, summed by the database, and enough for 9 billion dollars in one number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec

from pointsman.store.files import FileRecords
from pointsman.store.tasks import TaskRecords
from pointsman.store.work import WorkRecords

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "keys": ("key_alias", "team_id", "user_id", "organization_id", "budget_id", "parent", "created_at"),
    "teams": ("team_alias", "organization_id", "budget_id", "created_at"),
    "users": ("user_email", "organization_id", "budget_id", "created_at"),
    "organizations": ("organization_alias", "budget_id", "created_at"),
    "budgets": ("created_at",),
    "credentials": ("created_at",),
    "mcp_servers": ("created_at",),
    "mcp_pins": ("created_at",),
    "mcp_tokens": ("server_id", "user_id", "created_at"),
    "mcp_clients": ("created_at",),
    "agents": ("created_at",),
}
"""The admin tables, and by which members of their documents rows are found and ordered; all are texts or missing."""
UNIQUE: Final[Mapping[str, str]] = {"keys": "key_alias"}
"""What no two rows of a table have in common, unless they have none."""
GROUPS: Final = ("key_id", "team_id", "user_id", "organization_id", "model", "provider")
"""What spend is summed up by. ``hour`` and ``day`` can be grouped by as well: seconds since 1970 of their beginning."""
HOURS_KEPT: Final = 100 * 86_400.0
"""Seconds that the sums of hours are kept. Those of days are kept for good."""
AMOUNTS: Final = ("requests", "failures", "input_tokens", "output_tokens", "cached_tokens", "cost_nano_usd")
"""Of events, and what is summed up."""
NANO: Final = 1_000_000_000


class StoreDown(Exception):
    """There was no answer in time. What was asked for may have been done or not."""


class Refused(StoreDown):
    """The database is well and will not take it; it would not the next time either."""


class Unusable(StoreDown):
    """It answers, and what it holds is not ours, or is damaged. Waiting does not help; the text says why."""


class Conflict(Exception):
    """Nothing was changed. ``what`` is ``version``, or the unique column whose value another row has."""

    def __init__(self, table: str, id: str, what: str) -> None:  # noqa: A002  as the column is called
        super().__init__(f"{table} {id}: {what}")
        self.table = table
        self.id = id
        self.what = what


class Row(msgspec.Struct, frozen=True):
    """A row of an admin table."""

    id: str
    doc: dict[str, Any]
    version: int
    """1, and one more with each change."""


class Change(msgspec.Struct, frozen=True):
    """Another document for a row."""

    table: str
    id: str
    doc: Mapping[str, Any] | None
    """``None``: the row goes."""
    version: int | None = None
    """Which the row has to be of; 0: there must be none; ``None``: whatever is there."""


Where = Mapping[str, "str | Sequence[str] | None"]
"""Values that columns have: one, none, or any of several."""


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, for the audit log. ``before`` and ``after`` are plain JSON values and hold no secret."""

    who: str
    what: str
    """Such as ``key.update``."""
    target: str
    """The id of what was changed."""
    before: Any = None
    after: Any = None


class Changes(msgspec.Struct, frozen=True):
    """What changed since a number that was asked with."""

    number: int
    """To ask with next time."""
    rows: frozenset[tuple[str, str]] | None
    """Tables and ids; ``None``: too many to tell, anything may have changed."""


class SpendEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One attempt in the ledger; several where ``requests`` is not 1, whose numbers are sums then.

    Those members come first that are columns of their own, in the order of :data:`GROUPS` and :data:`AMOUNTS`.
    """

    at: float
    """When it began, in seconds since 1970."""
    id: str
    """Of the event. The same id at the same ``at`` is counted once, however often it is appended."""
    key_id: str = ""
    team_id: str = ""
    user_id: str = ""
    organization_id: str = ""
    model: str = ""
    """The public name."""
    provider: str = ""
    request_id: str = ""
    end_user: str = ""
    session_id: str = ""
    status: str = "success"
    """``success``, or the kind of the failure."""
    requests: int = 1
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano_usd: int = 0
    operation: str = ""
    deployment: str = ""
    upstream_model: str = ""
    attempt: int = 1
    first_at: float | None = None
    """When output began."""
    ended_at: float | None = None
    is_cached: bool = False
    address: str = ""
    """Of the caller."""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = {}
    content: Mapping[str, Any] | None = None
    """Prompt and answer, where they are to be stored; the first thing to go when there is no room."""


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """What some events have cost together."""

    group: Mapping[str, Any]
    """Its value of each column that was grouped by."""
    requests: int
    failures: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_nano_usd: int


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit log."""

    seq: int
    at: float
    who: str
    what: str
    target: str
    before: Any
    after: Any
    previous: str
    hash: str


class AuditFault(msgspec.Struct, frozen=True):
    """Where the chain of the audit log is broken."""

    seq: int
    why: str


class Records(Protocol):
    """Durable rows. Each call has a deadline and raises :class:`StoreDown`."""

    @property
    def is_down(self) -> bool:
        """Whether it is not asked at the moment, but for a trial now and then."""

    @property
    def tasks(self) -> TaskRecords:
        """What is remembered of tasks of agents."""

    @property
    def work(self) -> WorkRecords:
        """The queue of batches."""

    @property
    def files(self) -> FileRecords:
        """Files that clients keep here."""

    async def open(self) -> None:
        """Bring the schema up to date, under a lock; to be called first, and again after it failed."""

    async def close(self) -> None: ...

    async def others(self) -> int:
        """How many other gateways are connected to it at the moment, as far as it tells."""

    async def get(self, table: str, id: str) -> Row | None: ...  # noqa: A002

    async def find(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: str = "id",
        after: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Rows by their columns; see :data:`Where`.

        ``order`` is ``id`` or a column that no row lacks, with ``-`` before it for the last ones first; ``after`` is
        that column's value and the ``id`` in the last row of the page before, or the ``id`` alone.
        """

    async def count(self, table: str, where: Where | None = None) -> int: ...

    async def change(self, changes: Sequence[Change], audit: Audit | None = None) -> None:
        """Make all the changes and write the audit row, or do nothing.

        :raises Conflict: a row is not there, is there already, or is of another version
        """

    async def changed_since(self, number: int) -> Changes | None:
        """What :meth:`change` has done since; ``None``: nothing. 0 is before everything."""

    async def wait_for_change(self, patience: float) -> None:
        """Come back when something may have changed, and after ``patience`` seconds at the latest."""

    async def append_spend(self, events: Sequence[SpendEvent]) -> None:
        """Add those events that are not there yet, and count them in the sums; all or nothing."""

    async def spend_by(
        self, group_by: Sequence[str], start: float, end: float, where: Where | None = None, limit: int = 100
    ) -> list[Spend]:
        """Sums of what began from ``start`` until before ``end``, the most expensive first.

        Exact where the events are still there; else whole hours, and whole days where keys or users are told apart.
        """

    async def spend_events(
        self,
        start: float,
        end: float,
        where: Where | None = None,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[SpendEvent]:
        """Events that began from ``start`` until before ``end``, the latest first, without their content.

        ``where`` has columns of :data:`GROUPS`, ``id``, ``request_id``, ``end_user``, ``session_id`` or ``status``;
        ``after`` is ``at`` and ``id`` of the last one of the page before.
        """

    async def spend_content(self, at: float, id: str) -> Mapping[str, Any] | None:  # noqa: A002
        """The prompt and answer that were stored with an event."""

    async def audits(self, where: Where | None = None, *, before: int | None = None, limit: int = 100) -> list[Audited]:
        """Rows of the audit log by ``who``, ``what`` and ``target``, the latest first; ``before`` is a number."""

    async def spent_since(self, scope: Mapping[str, str], since: float) -> Decimal:
        """Dollars spent since, by what has the columns of ``scope``, some of :data:`GROUPS`; as :meth:`spend_by`."""

    async def sweep(self, *, events_before: float, content_before: float | None = None) -> int:
        """Delete whole days of events and contents, and what nobody asks for any more; gives how many days went.

        Sums stay: those of hours for :data:`HOURS_KEPT`, those of days for good.
        """

    async def verify_audit(self) -> AuditFault | None:
        """Read the whole audit log; ``None``: the chain is whole."""


def nano_usd(dollars: Decimal) -> int:
    """Nano-dollars, rounded once."""
    return round(dollars * NANO)


def usd(nano: int) -> Decimal:
    """The exact dollars of an integer of nano-dollars."""
    return Decimal(nano).scaleb(-9)
