"""The tasks of a caller: from the agent where it can tell them, with those of others left out; else from the ledger.

From the ledger, those that were not over when they were heard of last are asked for first, for nobody may have listened
since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from pointsman.a2a.calls import Turn
from pointsman.a2a.ownership import Ownership
from pointsman.a2a.protocol import peeking, translation
from pointsman.a2a.protocol.faults import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    TASK_NOT_FOUND,
    UNSUPPORTED_OPERATION,
    refusal,
)
from pointsman.a2a.protocol.operations import Operation, State, Version, state_name, state_of
from pointsman.a2a.tasks import Place, TaskLedger, place_of, seconds_of, timestamp, token_of
from pointsman.errors import GatewayError
from pointsman.store.sealing import FORM, CannotUnseal, Sealer
from pointsman.store.tasks import TaskQuery, TaskRow
from pointsman.wire.jsonrpc import RpcError

Exchange = Callable[[Operation, bytes, Version, str], Awaitable[bytes]]
"""Asks the agent, with parameters and a result of that version, at that replica; empty: at any."""
PAGE: Final = 50
MAX_PAGE: Final = 100
AT_ONCE: Final = 8
"""Tasks that an agent is asked for at a time."""
MAX_FRESHENED: Final = 100
"""Tasks that were not over."""
MAX_PAGES: Final = 20
"""That an agent is asked for while all their tasks are of others."""
LATEST: Final[Version] = "1.0"
LACKING: Final = (METHOD_NOT_FOUND.code, UNSUPPORTED_OPERATION.code)
"""With what an agent refuses that has no lists."""


class Wish(msgspec.Struct, rename="camel"):
    """What is asked for, as version 1.0 has it."""

    context_id: str | None = None
    status: str | None = None
    page_size: int | None = None
    page_token: str | None = None
    history_length: int | None = None
    status_timestamp_after: str | None = None
    include_artifacts: bool | None = None


NAMES: Final = {one.encode_name: one.name for one in msgspec.structs.fields(Wish) if one.encode_name != one.name}
"""Of those members, in the protocol buffers of the protocol."""


class Lists:
    """Answers ``ListTasks``."""

    def __init__(self, ledger: TaskLedger, ownership: Ownership, sealer: Callable[[], Awaitable[Sealer]]) -> None:
        """``sealer`` is the same in all workers."""
        self._ledger = ledger
        self._ownership = ownership
        self._sealer = sealer

    async def answer(self, turn: Turn, exchange: Exchange) -> bytes:
        """The result, in the version of the client.

        :raises RpcError: the parameters are wrong, or nobody can tell
        """
        call, settings = turn.call, turn.settings
        params = _params(translation.params_bytes(Operation.LIST, call.params, call.version, LATEST))
        wish = _wish(params)
        query = _query(turn, wish)
        found = await self._of_agent(turn, exchange, params, wish, query)
        if found is None and "list" not in settings.adds:
            raise refusal(UNSUPPORTED_OPERATION)
        if found is None:
            found = await self._of_ledger(turn, exchange, wish, query)
        found["tasks"] = [_trimmed(task, wish) for task in found["tasks"]]
        return translation.result_bytes(Operation.LIST, msgspec.json.encode(found), LATEST, call.version)

    # -- the agent can tell ---------------------------------------------------------------------------------------

    async def _of_agent(
        self, turn: Turn, exchange: Exchange, params: Mapping[str, Any], wish: Wish, query: TaskQuery
    ) -> dict[str, Any] | None:
        """``None``: it cannot tell them, or each of its replicas knows only some; or the ledger has begun to."""
        is_ledgers = wish.page_token and not wish.page_token.startswith(FORM)
        if turn.version != LATEST or turn.settings.replicas or is_ledgers:
            return None
        await self._ledger.flush()
        size, tokens = wish.page_size or PAGE, _Tokens(await self._sealer(), turn)
        token = tokens.opened(wish.page_token)
        found: dict[str, Any] = {"tasks": [], "nextPageToken": "", "pageSize": size}
        # In which state they are the agent may know better.
        has_any = await self._ledger.count(replace(query, state=None, since=None)) > 0
        for _ in range(MAX_PAGES if has_any else 0):
            asked = {**params, "pageSize": size, "pageToken": token}
            try:
                told = _told(await exchange(Operation.LIST, msgspec.json.encode(asked), LATEST, ""))
            except RpcError as error:
                if error.code in LACKING:
                    return None
                raise
            tasks = told["tasks"]
            own = await self._ledger.owned(turn.call.agent, turn.owner, [_id(task) for task in tasks])
            found["tasks"] = [task for task in tasks if _id(task) in own]
            token = told["nextPageToken"]
            if found["tasks"] or not token:
                break
        try:
            found["nextPageToken"] = tokens.sealed(token)
        except CannotUnseal:
            return None
        found["totalSize"] = max(await self._ledger.count(query), len(found["tasks"]))
        return found

    # -- it cannot ------------------------------------------------------------------------------------------------

    async def _of_ledger(self, turn: Turn, exchange: Exchange, wish: Wish, query: TaskQuery) -> dict[str, Any]:
        size = wish.page_size or PAGE
        asking = _Asking(self._ledger, self._ownership, turn, exchange, wish.history_length)
        place = _place(wish.page_token)
        if place is None:
            # Those that go on may be in another state by now, and at another place.
            rest = replace(query, state=None, since=None, is_over=False)
            await asking.all(await self._ledger.page(rest, None, MAX_FRESHENED))
        rows = await self._ledger.page(query, place, size + 1)
        page, more = rows[:size], rows[size:]
        tasks = await asking.all(page)
        return {
            "tasks": tasks,
            "nextPageToken": token_of(page[-1]) if more else "",
            "pageSize": size,
            "totalSize": max(await self._ledger.count(query) - (len(page) - len(tasks)), len(tasks)),
        }


class _Tokens:
    """Where an agent goes on with a list, as only who has asked for that may say it.

    To others it would tell which tasks there are: with some agents it is the id of the next one.
    """

    def __init__(self, sealer: Sealer, turn: Turn) -> None:
        self._sealer = sealer
        self._context = f"a2a list {turn.call.agent} {turn.owner}"

    def sealed(self, token: str) -> str:
        """:raises CannotUnseal: the library for it is missing"""
        return self._sealer.seal(token, self._context) if token else ""

    def opened(self, token: str | None) -> str:
        """:raises RpcError: it was not given out to them here"""
        try:
            return self._sealer.unseal(token, self._context).reveal() if token else ""
        except CannotUnseal as error:
            raise refusal(INVALID_PARAMS, "pageToken: it was not given out here") from error


class _Asking:
    """Asks an agent for tasks, a few at a time and each of them once."""

    def __init__(
        self, ledger: TaskLedger, ownership: Ownership, turn: Turn, exchange: Exchange, history: int | None
    ) -> None:
        self._ledger = ledger
        self._ownership = ownership
        self._turn = turn
        self._exchange = exchange
        self._more = {} if history is None else {"historyLength": history}
        self._known: dict[str, dict[str, Any] | None] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def all(self, rows: Sequence[TaskRow]) -> list[dict[str, Any]]:
        """Those that there still are."""
        found = await asyncio.gather(*map(self._one, rows))
        return [one for one in found if one is not None]

    async def _one(self, row: TaskRow) -> dict[str, Any] | None:
        if row.id not in self._known:
            async with self._places:
                self._known[row.id] = await self._get(row)
        return self._known[row.id]

    async def _get(self, row: TaskRow) -> dict[str, Any] | None:
        try:
            asked = msgspec.json.encode({"id": row.id, **self._more})
            raw = await self._exchange(Operation.GET, asked, LATEST, row.replica)
            task = msgspec.json.decode(raw, type=dict[str, Any])
        except RpcError as error:
            # It may say so only while it starts: the task stays its owner's.
            return None if error.code == TASK_NOT_FOUND.code else _as_known(row)
        except (GatewayError, msgspec.MsgspecError):
            return _as_known(row)
        self._ownership.heard(row, peeking.told(raw))
        return task


def _params(data: bytes) -> dict[str, Any]:
    """With the names that JSON has for them; who goes by the protocol buffers may use theirs."""
    found: dict[str, Any] = msgspec.json.decode(data)
    for name, theirs in NAMES.items():
        if theirs in found:
            if name in found:
                raise refusal(INVALID_PARAMS, f"{name!r} is there twice")
            found[name] = found.pop(theirs)
    return found


def _wish(params: Mapping[str, Any]) -> Wish:
    try:
        wish = msgspec.convert(params, Wish, strict=False)
    except msgspec.ValidationError as error:
        raise refusal(INVALID_PARAMS, f"The parameters cannot be read: {error}"[:500]) from error
    if wish.page_size is not None and not 1 <= wish.page_size <= MAX_PAGE:
        raise refusal(INVALID_PARAMS, f"pageSize is between 1 and {MAX_PAGE}")
    if wish.history_length is not None and wish.history_length < 0:
        raise refusal(INVALID_PARAMS, "historyLength is not less than 0")
    return wish


def _query(turn: Turn, wish: Wish) -> TaskQuery:
    state: State | None = None
    if wish.status and wish.status != state_name("unknown", LATEST):
        state = state_of(wish.status)
        if state == "unknown":
            raise refusal(INVALID_PARAMS, "status is no state of a task")
    since = None
    if wish.status_timestamp_after:
        since = seconds_of(wish.status_timestamp_after)
        if since is None:
            raise refusal(INVALID_PARAMS, "statusTimestampAfter is no time such as 2023-10-27T10:00:00Z")
    context = wish.context_id or None
    return TaskQuery(agent=turn.call.agent, owner=turn.owner, context=context, state=state, since=since)


def _told(result: bytes) -> dict[str, Any]:
    """What an agent has told, in the form that it should have."""
    try:
        found = msgspec.json.decode(result, type=dict[str, Any])
    except msgspec.MsgspecError:
        found = {}
    tasks, token = found.get("tasks"), found.get("nextPageToken")
    return {
        "tasks": [one for one in tasks if isinstance(one, dict)] if isinstance(tasks, list) else [],
        "nextPageToken": token if isinstance(token, str) else "",
    }


def _id(task: Mapping[str, Any]) -> str:
    found = task.get("id")
    return found if isinstance(found, str) else ""


def _trimmed(task: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """Without what was not asked for."""
    found = with_history(task, wish.history_length)
    if not wish.include_artifacts:
        found.pop("artifacts", None)
    return found


def with_history(task: Mapping[str, Any], most: int | None) -> dict[str, Any]:
    """The same task with so many of its last messages; ``None``: with all of them."""
    found, history = dict(task), task.get("history")
    if most == 0:
        found.pop("history", None)
    elif most is not None and isinstance(history, list):
        found["history"] = history[-most:]
    return found


def _as_known(row: TaskRow) -> dict[str, Any]:
    """A task whose agent cannot be asked at the moment."""
    state = state_name(state_of(row.state), LATEST)
    found = {"id": row.id, "status": {"state": state, "timestamp": timestamp(row.changed_at)}}
    return {**found, "contextId": row.context} if row.context else found


def _place(token: str | None) -> Place | None:
    try:
        return place_of(token) if token else None
    except ValueError as error:
        raise refusal(INVALID_PARAMS, f"pageToken: {error}") from error
