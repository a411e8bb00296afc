"""Whose tasks a call is about, and whose those become that it begins. Somebody else's look like none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pointsman.a2a.calls import MESSAGES, Turn
from pointsman.a2a.protocol.faults import INVALID_PARAMS, TASK_NOT_FOUND, refusal
from pointsman.a2a.protocol.operations import TERMINAL
from pointsman.a2a.protocol.peeking import Told
from pointsman.a2a.tasks import TaskLedger, after, is_id, seconds_of
from pointsman.errors import UpstreamBroken
from pointsman.store.tasks import ContextRow, TaskRow

FOREIGN: Final = "The agent answered with a task or a context of somebody else"


class Ownership:
    """Asks the ledger, and tells it."""

    def __init__(self, ledger: TaskLedger, now: Callable[[], float]) -> None:
        """``now`` is seconds since 1970."""
        self._ledger = ledger
        self._now = now

    async def check(self, turn: Turn) -> None:
        """Find what a call is about.

        :raises RpcError: there is no such task, or somebody else has it
        :raises Overloaded: that cannot be known at the moment
        """
        asked, agent = turn.asked, turn.call.agent
        if asked.task:
            row = await self._ledger.find(agent, asked.task)
            if row is None or row.owner != turn.owner:
                raise refusal(TASK_NOT_FOUND)
            turn.task, turn.replica = row, row.replica
        if turn.call.operation in MESSAGES:
            self._ledger.check_room()
            await self._check_surroundings(turn)

    async def _check_surroundings(self, turn: Turn) -> None:
        asked, agent = turn.asked, turn.call.agent
        if asked.context and (turn.task is None or turn.task.context != asked.context):
            if not is_id(asked.context):
                raise refusal(INVALID_PARAMS, "The id of the context is too long")
            # A client may choose the id of a context itself: one that nobody has is well.
            context = await self._ledger.context(agent, asked.context)
            if context is not None and context.owner != turn.owner:
                raise refusal(TASK_NOT_FOUND)
            if context is not None and not turn.replica:
                turn.replica = context.replica
        if asked.references:
            wanted = set(asked.references)
            if await self._ledger.owned(agent, turn.owner, wanted) != wanted:
                raise refusal(TASK_NOT_FOUND)

    def is_news(self, turn: Turn, told: Told) -> bool:
        """Whether what an agent has told is to be written down."""
        task = turn.task
        if task is None or told.task != task.id:
            return told.task != "" or (told.context != "" and task is None)
        return told.state not in (None, task.state)

    async def note(self, turn: Turn, told: Told) -> None:
        """Write down what an agent has told; what is new is safe then.

        :raises UpstreamBroken: it is of somebody else, or cannot be
        """
        task = turn.task
        if task is not None and told.task == task.id:
            turn.task = self.heard(task, told)
            return
        context = told.context or turn.asked.context
        for one in (told.task, context):
            if one and not is_id(one):
                raise UpstreamBroken("The agent answered with an id that cannot be one")
        row = self._row(turn, told, context) if told.task else None
        kept = self._context(turn, context) if context and turn.call.operation in MESSAGES else None
        noted = await self._ledger.note(row, kept)
        # An agent that has all its callers in one context has said so itself; one that a caller has chosen is his or
        # not to be answered in.
        if not noted.has_task or (turn.asked.context and not noted.has_context and turn.task is None):
            raise UpstreamBroken(FOREIGN)
        if row is not None:
            turn.task = row

    def heard(self, task: TaskRow, told: Told) -> TaskRow:
        """The task as it is now; that is written soon."""
        if told.state is None or told.state == task.state:
            return task
        task = after(task, told.state, told.at, self._now(), is_over=told.state in TERMINAL)
        self._ledger.tell(task)
        return task

    def _row(self, turn: Turn, told: Told, context: str) -> TaskRow:
        now = self._now()
        return TaskRow(
            agent=turn.call.agent,
            id=told.task,
            owner=turn.owner,
            context=context,
            replica=turn.replica,
            version=turn.version,
            state=told.state or "",
            is_over=told.state in TERMINAL,
            changed_at=seconds_of(told.at) or now,
            first_at=now,
            last_at=now,
        )

    def _context(self, turn: Turn, context: str) -> ContextRow:
        return ContextRow(
            agent=turn.call.agent, id=context, owner=turn.owner, replica=turn.replica, last_at=self._now()
        )
