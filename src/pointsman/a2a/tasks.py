"""Whose tasks and contexts there are.

A task or a context belongs to whoever was answered with it first, and that is safe in the store before the answer goes
out; many answers are made safe together. How a task is may be written a moment later, and only the last of what has
changed meanwhile. Whatever happened lately is known without the store. While it is away, what is new waits in memory,
and what is not known there cannot be told: it is never taken to be nobody's.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from pointsman.access.caller import Caller
from pointsman.errors import Overloaded
from pointsman.store.base import Refused, StoreDown
from pointsman.store.cleaning import is_clean
from pointsman.store.tasks import ContextRow, Key, Others, TaskQuery, TaskRecords, TaskRow
from pointsman.telemetry.tasks import Tasks

MAX_KNOWN: Final = 50_000
"""Of tasks, and of contexts, that are known without the store."""
MAX_WAITING: Final = 20_000
"""Of either that wait to be written."""
MAX_ID: Final = 512
"""Characters of the id of a task or a context."""
MOMENT: Final = 0.25
"""Seconds that the state of a task may wait to be written."""
PAUSE: Final = 1.0
"""Seconds before a store that is away is written to again."""
PATIENCE: Final = 5.0
"""Seconds that an answer waits to be safe."""
SEEN_EVERY: Final = 3_600.0
"""Seconds after which it is written again that a context is in use."""
DAY: Final = 86_400.0
LONG: Final = 10
"""Times as long as a task that is over, one is remembered that is not, and a context."""
NOBODY: Final = Others(frozenset(), frozenset())
log = logging.getLogger(__name__)
Place = tuple[float, str]
"""When a task has changed, and its id."""
_PLACE: Final[msgspec.json.Decoder[Place]] = msgspec.json.Decoder(Place)
R = TypeVar("R", TaskRow, ContextRow)
T = TypeVar("T")


def owner_of(caller: Caller, rule: Literal["key", "user", "team"]) -> str:
    """Who has what a caller begins; where there is no user or team, his key."""
    if rule == "user" and caller.user_id:
        return f"user:{caller.user_id}"
    if rule == "team" and caller.team_id:
        return f"team:{caller.team_id}"
    return caller.name


def seconds_of(timestamp: str) -> float | None:
    """Seconds since 1970 of a timestamp as it stands in a task; ``None``: it is none."""
    try:
        found = datetime.fromisoformat(timestamp)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def timestamp(seconds: float) -> str:
    """The same the other way."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def token_of(row: TaskRow) -> str:
    """Where a list goes on after a task."""
    return urlsafe_b64encode(msgspec.json.encode((row.changed_at, row.id))).decode()


def place_of(token: str) -> Place:
    """The same the other way.

    :raises ValueError: it is none
    """
    try:
        return _PLACE.decode(urlsafe_b64decode(token))
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError("it was not given out here") from error


def is_id(text: str) -> bool:
    """Whether it can be the id of a task or a context here."""
    return 0 < len(text) <= MAX_ID and is_clean(text)


class Noted(NamedTuple):
    """Whether what was noted is of whom it says."""

    has_task: bool = True
    has_context: bool = True


class TaskLedger:
    """Its methods belong to the event loop. Raises :class:`Overloaded` where only the store knows, and it is away."""

    def __init__(self, rows: Callable[[], Awaitable[TaskRecords]], tasks: Tasks) -> None:
        """``rows`` gives the store, and raises :class:`Overloaded` while it is away; writing goes on in ``tasks``."""
        self._rows = rows
        self._tasks = tasks
        self._known: OrderedDict[Key, TaskRow] = OrderedDict()
        self._contexts: OrderedDict[Key, ContextRow] = OrderedDict()
        self._waiting: dict[Key, TaskRow] = {}
        self._waiting_contexts: dict[Key, ContextRow] = {}
        self._writing: dict[Key, TaskRow] = {}
        self._writing_contexts: dict[Key, ContextRow] = {}
        self._waiters: list[asyncio.Future[Others | None]] = []
        self._flight: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_told = False

    # -- what is known ----------------------------------------------------------------------------------------------

    async def find(self, agent: str, id: str) -> TaskRow | None:  # noqa: A002  as the protocol has it
        """A task, whoever has it."""
        return await self._find(self._known, self._here, (agent, id), lambda rows: rows.get(agent, id))

    async def context(self, agent: str, id: str) -> ContextRow | None:  # noqa: A002  the same
        """A context, whoever has it."""
        return await self._find(self._contexts, self._context_here, (agent, id), lambda rows: rows.context(agent, id))

    async def page(self, query: TaskQuery, after: Place | None, limit: int) -> list[TaskRow]:
        """Tasks, the one that has changed last first, with all that was told here until now."""
        await self.flush()
        return await self._ask(lambda rows: rows.find(query, after=after, limit=limit))

    async def count(self, query: TaskQuery) -> int:
        """How many there are."""
        return await self._ask(lambda rows: rows.count(query))

    async def owned(self, agent: str, owner: str, ids: Collection[str]) -> set[str]:
        """Which of these tasks are that owner's."""
        here = {one: self._known[agent, one].owner for one in ids if (agent, one) in self._known}
        others = [one for one in ids if one not in here and is_id(one)]
        found = await self._ask(lambda rows: rows.owned(agent, owner, others)) if others else set()
        return found | {one for one, has in here.items() if has == owner}

    async def push(self, agent: str, task: str) -> dict[str, str]:
        """What clients want to be told of a task, by an id."""
        return await self._ask(lambda rows: rows.push(agent, task))

    # -- what is told -----------------------------------------------------------------------------------------------

    def check_room(self) -> None:
        """:raises Overloaded: so much waits to be written that nothing new should be begun"""
        if len(self._waiting) >= MAX_WAITING:
            raise _away()

    async def note(self, task: TaskRow | None, context: ContextRow | None) -> Noted:
        """Have them be safe; what is known already does not wait."""
        there = None if task is None else self._here(task.key)
        if task is not None and there is not None and there.owner != task.owner:
            return Noted(has_task=False)
        before = None if context is None else self._context_here(context.key)
        is_foreign = context is not None and before is not None and before.owner != context.owner
        if is_foreign:
            context = None
        is_new = False
        if task is not None:
            is_new = task.key not in self._known
            self.tell(task)
        if context is not None:
            is_new = is_new or context.key not in self._contexts
            if before is None or before.last_at + SEEN_EVERY < context.last_at or before.replica != context.replica:
                _put(self._waiting_contexts, context)
        if not is_new:
            self._later(MOMENT)
            return Noted(has_context=not is_foreign)
        others = await self._safe()
        if others is None:
            # Until it is written it may turn out to be somebody else's.
            return Noted(has_context=not is_foreign)
        has_task = task is None or task.key not in others.tasks
        if task is not None and has_task:
            _keep(self._known, self._waiting.get(task.key, task))
        has_context = context is None or context.key not in others.contexts
        if context is not None and has_context:
            _keep(self._contexts, context)
        return Noted(has_task=has_task, has_context=has_context and not is_foreign)

    def tell(self, task: TaskRow) -> None:
        """It has changed; written soon."""
        if task.key in self._known:
            self._known[task.key] = task
        _put(self._waiting, task)
        self._later(MOMENT)

    async def set_push(self, agent: str, task: str, id: str, doc: str | None) -> None:  # noqa: A002  as above
        """Put another text there; ``None``: none."""
        await self._ask(lambda rows: rows.set_push(agent, task, id, doc))

    async def flush(self) -> None:
        """Write what waits; where that fails it waits on."""
        if self._waiting or self._waiting_contexts or self._flight is not None:
            await self._safe()

    async def tidy(self, days: int, now: float) -> None:
        """Forget tasks that were over so many days ago."""
        try:
            over, rest = now - days * DAY, now - LONG * days * DAY
            count = await (await self._rows()).sweep_tasks(over_before=over, before=rest)
        except (StoreDown, Overloaded) as error:
            log.warning("old tasks were not deleted: %s", error)
        else:
            if count:
                log.info("%d old tasks were deleted", count)

    # -- writing ----------------------------------------------------------------------------------------------------

    async def _safe(self) -> Others | None:
        """Wait until all that was put is in the store; ``None``: that takes too long, or it is away."""
        waiter: asyncio.Future[Others | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._go()
        try:
            async with asyncio.timeout(PATIENCE):
                return await waiter
        except TimeoutError:
            return None

    def _later(self, seconds: float) -> None:
        if self._timer is None and self._flight is None and (self._waiting or self._waiting_contexts):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._go)

    def _go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flight is None:
            # Where the process ends nothing begins any more, and what waits is written by :meth:`flush` before.
            try:
                self._flight = self._tasks.start(self._write(), "write tasks of agents")
                self._flight.add_done_callback(self._land)
            except Overloaded:
                waiters, self._waiters = self._waiters, []
                _tell(waiters, None)

    def _land(self, _flight: asyncio.Task[None]) -> None:
        self._flight = None
        if self._waiters:
            self._go()
        else:
            self._later(PAUSE if self._is_told else MOMENT)

    async def _write(self) -> None:
        """All that waits, together; those who wait for it are told even where it fails."""
        waiters, self._waiters = self._waiters, []
        self._writing, self._waiting = self._waiting, {}
        self._writing_contexts, self._waiting_contexts = self._waiting_contexts, {}
        others: Others | None = None
        try:
            others = await self._store(list(self._writing.values()), list(self._writing_contexts.values()))
            self._is_told = False
        except (StoreDown, Overloaded) as error:
            self._put_back(error)
        finally:
            self._writing, self._writing_contexts = {}, {}
            _tell(waiters, others)

    async def _store(self, tasks: list[TaskRow], contexts: list[ContextRow]) -> Others:
        rows = await self._rows()
        try:
            return await rows.write(tasks, contexts)
        except Refused as error:
            if len(tasks) + len(contexts) <= 1:
                log.error("a task of an agent cannot be written: %s", error)  # noqa: TRY400 - said
                return NOBODY
        found = [await self._store([one], []) for one in tasks] + [await self._store([], [one]) for one in contexts]
        return Others(
            frozenset().union(*(one.tasks for one in found)), frozenset().union(*(one.contexts for one in found))
        )

    def _put_back(self, error: Exception) -> None:
        if not self._is_told:
            log.warning("tasks of agents wait to be written: %s", error)
        self._is_told = True
        # What has been told meanwhile is newer.
        self._waiting = {**self._writing, **self._waiting}
        self._waiting_contexts = {**self._writing_contexts, **self._waiting_contexts}

    def _here(self, key: Key) -> TaskRow | None:
        return self._known.get(key) or self._waiting.get(key) or self._writing.get(key)

    def _context_here(self, key: Key) -> ContextRow | None:
        return self._contexts.get(key) or self._waiting_contexts.get(key) or self._writing_contexts.get(key)

    async def _find(
        self,
        known: OrderedDict[Key, R],
        here: Callable[[Key], R | None],
        key: Key,
        ask: Callable[[TaskRecords], Awaitable[R | None]],
    ) -> R | None:
        if key in known or not is_id(key[1]):
            return known.get(key)
        try:
            found = await self._ask(ask)
        except Overloaded:
            waits = here(key)
            if waits is None:
                raise
            return waits
        waits = here(key)
        if waits is not None and (found is None or found.owner == waits.owner):
            # It is newer.
            return waits
        if found is not None:
            _keep(known, found)
        return found

    async def _ask(self, ask: Callable[[TaskRecords], Awaitable[T]]) -> T:
        try:
            return await ask(await self._rows())
        except StoreDown as error:
            raise _away(str(error)) from error


def after(row: TaskRow, state: str, at: str, now: float, *, is_over: bool) -> TaskRow:
    """The same task in another state since ``at``, or since now where that is no time."""
    # A clock that goes back would make the newer state look like the older one.
    changed = max(seconds_of(at) or now, row.changed_at)
    return replace(row, state=state, is_over=is_over, changed_at=changed, last_at=now)


def _tell(waiters: list[asyncio.Future[Others | None]], others: Others | None) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(others)


def _keep(known: OrderedDict[Key, R], row: R) -> None:
    known[row.key] = row
    known.move_to_end(row.key)
    while len(known) > MAX_KNOWN:
        known.popitem(last=False)


def _put(waiting: dict[Key, R], row: R) -> None:
    if row.key in waiting or len(waiting) < 2 * MAX_WAITING:
        waiting[row.key] = row


def _away(detail: str | None = None) -> Overloaded:
    return Overloaded(
        "What is known of tasks cannot be reached at the moment; try again",
        code="store_unavailable",
        retry_after=1,
        operator_detail=detail,
    )
