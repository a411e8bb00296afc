"""A model group that is published as an agent of version 1.0.

A message is answered with a message, a streamed one with a task, which goes on whether anybody listens or not. The
model is asked as the caller would ask it, and has no memory: it is told of earlier tasks only those that a message
refers to. Tasks are remembered in this process, as many as there is room for; of others is known what the ledger knows,
which is told of each end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec

from pointsman.a2a.base import Passed
from pointsman.a2a.protocol.faults import (
    INVALID_PARAMS,
    TASK_NOT_CANCELABLE,
    TASK_NOT_FOUND,
    UNSUPPORTED_OPERATION,
    refusal,
)
from pointsman.a2a.protocol.operations import Operation, State, Version, state_name, state_of
from pointsman.a2a.published.asked import turn_of
from pointsman.a2a.published.memory import Memory
from pointsman.a2a.published.runs import Run, Said, encoded, usage_of
from pointsman.a2a.settings import AgentSettings
from pointsman.a2a.tasks import after, timestamp
from pointsman.access.caller import Caller
from pointsman.errors import GatewayError, Overloaded, UpstreamBroken
from pointsman.store.tasks import TaskRow
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.usage import Usage

MAX_TURNS: Final = 1_000
MAX_BYTES: Final = 20_000_000
"""Of what was said before, in a conversation that goes on."""
LOST_SECONDS: Final = 3_600.0
"""After which a task that some process has begun, and told nothing more of, does not go on."""
TOO_LONG: Final = "The answer is longer than it may be"
LATEST: Final[Version] = "1.0"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is asked."""

    caller: Caller
    model: str
    messages: list[dict[str, Any]]
    """As OpenAI's chats have them."""
    deadline: float
    """In ``loop.time()``."""


class Ledger(Protocol):
    """What is known of tasks in all processes."""

    async def find(self, agent: str, id: str) -> TaskRow | None: ...  # noqa: A002  as the protocol has it
    def tell(self, task: TaskRow) -> None: ...


class AskModel(Protocol):
    """Has a model answer."""

    async def __call__(self, question: Question, on_text: Callable[[str], None]) -> Usage | None:
        """``on_text`` is told each piece of the answer; gives what was used, as far as that is known.

        :raises GatewayError: it cannot be asked, or has not answered to the end
        """


class PublishedModel:
    """See :class:`~pointsman.a2a.base.Agent`."""

    def __init__(
        self,
        settings: AgentSettings,
        ask: AskModel,
        ledger: Ledger,
        memory: Memory,
        tasks: Tasks,
        *,
        unique: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        """``memory`` lasts longer than this, which is for settings that may change; ``now`` is seconds since 1970."""
        self._settings = settings
        self._ask_model = ask
        self._ledger = ledger
        self._memory = memory
        self._tasks = tasks
        self._unique = unique
        self._now = now

    async def version(self, wished: Version) -> Version:  # noqa: ARG002  it has one only
        """See :class:`~pointsman.a2a.base.Agent`."""
        return LATEST

    async def ask(self, operation: Operation, version: Version, params: bytes, passed: Passed) -> bytes:  # noqa: ARG002
        """See :class:`~pointsman.a2a.base.Agent`."""
        found, size = _read(params), len(params)
        if operation is Operation.SEND:
            return encoded({"message": await self._answer(found, size, passed)})
        if operation is Operation.GET:
            return encoded(await self._get(found))
        if operation is Operation.CANCEL:
            return encoded(await self._cancel(found))
        raise refusal(UNSUPPORTED_OPERATION)

    async def stream(
        self,
        operation: Operation,
        version: Version,  # noqa: ARG002  as above
        params: bytes,
        passed: Passed,
    ) -> AsyncGenerator[bytes, None]:
        """See :class:`~pointsman.a2a.base.Agent`."""
        found, size = _read(params), len(params)
        if operation is Operation.STREAM:
            run = self._begin(found, size, passed)
            try:
                await run.begun()
            except asyncio.CancelledError:
                # Nobody has heard of it.
                run.stop()
                self._memory.forget(run)
                raise
            if run.failure is not None and not run.text:
                self._memory.forget(run)
                raise run.failure
        else:
            run = self._running(found)
        try:
            async for event in run.events(from_start=operation is Operation.STREAM):
                yield encoded(event)
        finally:
            if passed.ends_with_stream:
                run.stop()

    async def close(self) -> None:
        """What goes on, does so in the memory."""

    # -- messages -------------------------------------------------------------------------------------------------

    async def _answer(self, params: Mapping[str, Any], size: int, passed: Passed) -> dict[str, Any]:
        run = self._run(params, size)
        usage = await self._ask_model(self._question(run, passed.caller, passed.deadline), run.add)
        if run.is_too_long:
            raise UpstreamBroken(TOO_LONG)
        answer = {"messageId": run.id, "contextId": run.context, "role": "ROLE_AGENT", "parts": [{"text": run.text}]}
        metadata = usage_of(usage)
        return answer | ({"metadata": metadata} if metadata else {})

    def _begin(self, params: Mapping[str, Any], size: int, passed: Passed) -> Run:
        """:raises Overloaded: there are too many already"""
        run = self._run(params, size)
        self._memory.add(run)
        deadline = asyncio.get_running_loop().time() + min(self._settings.stream.total_seconds, LOST_SECONDS)
        question = self._question(run, passed.caller, deadline)
        try:
            run.task = self._tasks.start(self._make(run, question), "have a model answer as an agent")
        except Overloaded:
            self._memory.forget(run)
            raise
        return run

    async def _make(self, run: Run, question: Question) -> None:
        try:
            run.usage = await self._ask_model(question, run.add)
        except GatewayError as error:
            run.failure = error
            run.end("failed", error.message)
        else:
            if run.is_too_long:
                run.end("failed", TOO_LONG)
            else:
                run.end("completed")
        finally:
            run.end("failed", "The gateway could not go on")
            await self._tell(run)

    async def _tell(self, run: Run) -> None:
        """There may be nobody left who listens and could do so."""
        with suppress(Overloaded):
            row = await self._ledger.find(self._settings.id, run.id)
            if row is not None and not row.is_over:
                self._ledger.tell(after(row, run.state, "", self._now(), is_over=True))

    def _run(self, params: Mapping[str, Any], size: int) -> Run:
        """What is to become of a message, of so many bytes."""
        message = params.get("message")
        if not isinstance(message, dict):
            raise refusal(INVALID_PARAMS, "'message' is missing")
        if message.get("taskId"):
            raise refusal(
                UNSUPPORTED_OPERATION, "A task of this agent takes no more messages: refer to it in a new one"
            )
        context = message.get("contextId") or self._unique()
        run = Run(self._unique(), context, message, self._now, self._settings.max_result_bytes)
        # The message is kept as it came, too.
        asked = Said(turn_of(message), 2 * size)
        run.turns = (*self._before(message.get("referenceTaskIds") or ()), asked)
        return run

    def _before(self, references: Iterable[str]) -> Iterable[Said]:
        """What was said in other tasks, each turn once.

        :raises RpcError: that is not known, or too much
        """
        said: dict[Said, None] = {}
        for reference in dict.fromkeys(references):
            run = self._memory.get(reference)
            if run is None:
                raise refusal(
                    INVALID_PARAMS, "What was said in a task that the message refers to is not known any more"
                )
            said |= dict.fromkeys(run.turns)
            if run.answer is not None:
                said[run.answer] = None
            if len(said) > MAX_TURNS or sum(one.size for one in said) > MAX_BYTES:
                raise refusal(INVALID_PARAMS, "The tasks that the message refers to are too long a conversation")
        return said

    def _question(self, run: Run, caller: Caller, deadline: float) -> Question:
        return Question(
            caller=caller, model=self._settings.model, messages=[one.turn for one in run.turns], deadline=deadline
        )

    # -- tasks ----------------------------------------------------------------------------------------------------

    async def _get(self, params: Mapping[str, Any]) -> dict[str, Any]:
        run = self._memory.get(_id(params))
        if run is not None:
            return run.snapshot(has_history=params.get("historyLength") != 0)
        row = await self._ledger.find(self._settings.id, _id(params))
        if row is None:
            raise refusal(TASK_NOT_FOUND)
        state: State = state_of(row.state)
        if not row.is_over and row.last_at + LOST_SECONDS < self._now():
            state = "failed"
        status = {"state": state_name(state, LATEST), "timestamp": timestamp(row.changed_at)}
        return {"id": row.id, "contextId": row.context, "status": status}

    async def _cancel(self, params: Mapping[str, Any]) -> dict[str, Any]:
        run = self._memory.get(_id(params))
        if run is None or run.is_over:
            raise refusal(TASK_NOT_CANCELABLE)
        run.stop()
        return run.snapshot()

    def _running(self, params: Mapping[str, Any]) -> Run:
        run = self._memory.get(_id(params))
        if run is None or run.is_over:
            raise refusal(UNSUPPORTED_OPERATION, "The task is over, or goes on in another process")
        return run


def _read(params: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(params, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise refusal(INVALID_PARAMS) from error


def _id(params: Mapping[str, Any]) -> str:
    found = params.get("id")
    return found if isinstance(found, str) else ""
