"""What is remembered of tasks of agents: whose they are, where they run and how they are; not what is said in them.

Agents number their tasks and contexts themselves, so that both are told apart by the agent and its id. Whoever was
first has them for good: what another one writes of them changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

Key = tuple[str, str]
"""Agent, and the id of a task or a context."""
MAX_ROWS: Final = 100_000
"""That are kept in memory, of each kind."""


class TaskRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task. Times are seconds since 1970."""

    agent: str
    id: str
    owner: str
    context: str = ""
    replica: str = ""
    """Address of the one that has begun it."""
    version: str = ""
    """Of the protocol in which it was begun with the agent."""
    state: str = ""
    is_over: bool = False
    """Whether the state is one that never changes."""
    changed_at: float
    """Of its state."""
    first_at: float
    last_at: float

    @property
    def key(self) -> Key:
        """What it is told apart by."""
        return self.agent, self.id


class ContextRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What several messages and tasks have in common."""

    agent: str
    id: str
    owner: str
    replica: str = ""
    last_at: float

    @property
    def key(self) -> Key:
        """What it is told apart by."""
        return self.agent, self.id


class Others(NamedTuple):
    """What was written and is somebody else's: there it stays as it is."""

    tasks: frozenset[Key]
    contexts: frozenset[Key]


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks are asked for; ``None``: all, whatever it is."""

    agent: str | None = None
    owner: str | None = None
    context: str | None = None
    state: str | None = None
    since: float | None = None
    """Those whose state has changed then or later."""
    is_over: bool | None = None


class TaskRecords(Protocol):
    """Durable rows of tasks. Each call has a deadline and raises :class:`~pointsman.store.base.StoreDown`."""

    async def get(self, agent: str, id: str) -> TaskRow | None: ...  # noqa: A002  as the column is called

    async def context(self, agent: str, id: str) -> ContextRow | None: ...  # noqa: A002

    async def write(self, tasks: Sequence[TaskRow], contexts: Sequence[ContextRow]) -> Others:
        """Write them all, or nothing; gives those that somebody else has.

        Of a task that is there, nothing is changed by what is older than its state.
        """

    async def find(self, query: TaskQuery, *, after: tuple[float, str] | None = None, limit: int = 50) -> list[TaskRow]:
        """Tasks, the one that has changed last first; ``after``: the time and the id of the last one before."""

    async def count(self, query: TaskQuery) -> int: ...

    async def owned(self, agent: str, owner: str, ids: Collection[str]) -> set[str]:
        """Which of these tasks are that owner's."""

    async def push(self, agent: str, task: str) -> dict[str, str]:
        """What clients want to be told of a task, by an id."""

    async def set_push(self, agent: str, task: str, id: str, doc: str | None) -> None:  # noqa: A002
        """Put another text there; ``None``: none."""

    async def sweep_tasks(self, *, over_before: float, before: float) -> int:
        """Delete tasks that are over and were heard of last before ``over_before``, and all others before ``before``.

        Gives how many tasks went.
        """


class MemoryTasks:
    """The same where nothing can be kept; who was heard of longest ago goes when there are too many."""

    def __init__(self, most: int = MAX_ROWS) -> None:
        self._most = most
        self._tasks: OrderedDict[Key, TaskRow] = OrderedDict()
        self._contexts: OrderedDict[Key, ContextRow] = OrderedDict()
        self._push: dict[Key, dict[str, str]] = {}

    async def get(self, agent: str, id: str) -> TaskRow | None:  # noqa: A002  the protocol's
        return self._tasks.get((agent, id))

    async def context(self, agent: str, id: str) -> ContextRow | None:  # noqa: A002  the protocol's
        return self._contexts.get((agent, id))

    async def write(self, tasks: Sequence[TaskRow], contexts: Sequence[ContextRow]) -> Others:
        for task in tasks:
            old = self._tasks.get(task.key)
            if old is None or (old.owner == task.owner and old.changed_at <= task.changed_at):
                self._tasks[task.key] = task if old is None else msgspec.structs.replace(task, first_at=old.first_at)
                self._tasks.move_to_end(task.key)
        for context in contexts:
            before = self._contexts.get(context.key)
            if before is None or before.owner == context.owner:
                self._contexts[context.key] = context
                self._contexts.move_to_end(context.key)
        others = Others(
            frozenset(row.key for row in tasks if self._tasks[row.key].owner != row.owner),
            frozenset(row.key for row in contexts if self._contexts[row.key].owner != row.owner),
        )
        while len(self._tasks) > self._most:
            self._push.pop(self._tasks.popitem(last=False)[0], None)
        while len(self._contexts) > self._most:
            self._contexts.popitem(last=False)
        return others

    async def find(self, query: TaskQuery, *, after: tuple[float, str] | None = None, limit: int = 50) -> list[TaskRow]:
        rows = sorted(self._asked(query), key=_place, reverse=True)
        return [row for row in rows if after is None or _place(row) < after][:limit]

    async def count(self, query: TaskQuery) -> int:
        return len(self._asked(query))

    async def owned(self, agent: str, owner: str, ids: Collection[str]) -> set[str]:
        return {one for one in ids if (row := self._tasks.get((agent, one))) is not None and row.owner == owner}

    async def push(self, agent: str, task: str) -> dict[str, str]:
        return dict(self._push.get((agent, task), {}))

    async def set_push(self, agent: str, task: str, id: str, doc: str | None) -> None:  # noqa: A002  the protocol's
        if (agent, task) not in self._tasks:
            return
        docs = self._push.setdefault((agent, task), {})
        if doc is None:
            docs.pop(id, None)
        else:
            docs[id] = doc

    async def sweep_tasks(self, *, over_before: float, before: float) -> int:
        old = [row.key for row in self._tasks.values() if row.last_at < (over_before if row.is_over else before)]
        for key in old:
            del self._tasks[key]
            self._push.pop(key, None)
        for key in [row.key for row in self._contexts.values() if row.last_at < before]:
            del self._contexts[key]
        return len(old)

    def _asked(self, query: TaskQuery) -> list[TaskRow]:
        return [row for row in self._tasks.values() if _fits(row, query)]


def _place(row: TaskRow) -> tuple[float, str]:
    return row.changed_at, row.id


def _fits(row: TaskRow, query: TaskQuery) -> bool:
    wanted: Iterable[tuple[object, object]] = (
        (row.agent, query.agent),
        (row.owner, query.owner),
        (row.context, query.context),
        (row.state, query.state),
        (row.is_over, query.is_over),
    )
    is_late = query.since is None or row.changed_at >= query.since
    return is_late and all(value is None or there == value for there, value in wanted)
