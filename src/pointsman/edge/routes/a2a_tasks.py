"""Tasks of agents, as the gateway knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.a2a.protocol.operations import State, state_of
from pointsman.a2a.tasks import Place, owner_of, place_of, timestamp, token_of
from pointsman.access.policy import sees_all
from pointsman.edge.a2a import a2a_of, opened
from pointsman.edge.admin import Query
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import InvalidRequest
from pointsman.store.tasks import TaskQuery, TaskRow

PAGE = 50
MAX_PAGE = 100


async def list_tasks(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /a2a/tasks``: the caller's own, or all to whoever may see all; the one that has changed last first."""
    registry, ledger = await opened(serving), await a2a_of(serving).ledger()
    given, caller = Query(exchange), exchange.caller
    is_whole = sees_all(caller)
    query = TaskQuery(
        agent=given.text("agent_id"),
        owner=given.text("owner") if is_whole else owner_of(caller, registry.settings.task_owner),
        context=given.text("context_id"),
        state=_state(given),
    )
    size = given.number("limit", MAX_PAGE) or PAGE
    rows = await ledger.page(query, _place(given), size + 1)
    told: dict[str, Any] = {"tasks": [_told(row, is_whole=is_whole) for row in rows[:size]]}
    json_reply(exchange, told | {"next_cursor": token_of(rows[size - 1])} if len(rows) > size else told)


def _state(given: Query) -> State | None:
    text = given.text("state")
    if text is None:
        return None
    state = state_of(text)
    if state == "unknown":
        raise InvalidRequest(f"{text[:100]!r} is no state of a task, such as working", param="state")
    return state


def _place(given: Query) -> Place | None:
    cursor = given.text("cursor")
    try:
        return None if cursor is None else place_of(cursor)
    except ValueError as error:
        raise InvalidRequest(f"cursor: {error}", param="cursor") from error


def _told(row: TaskRow, *, is_whole: bool) -> dict[str, Any]:
    told = {
        "agent_id": row.agent,
        "task_id": row.id,
        "context_id": row.context,
        "state": row.state,
        "protocol_version": row.version,
        "created_at": timestamp(row.first_at),
        "updated_at": timestamp(row.changed_at),
    }
    return told | {"owner": row.owner, "replica": row.replica} if is_whole else told
