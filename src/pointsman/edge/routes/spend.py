"""What was spent, on what and by whom. A key sees its own; a team's admin sees the team's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any

from pointsman.access.caller import MASTER_ID, PUBLIC_ID, Caller
from pointsman.access.keys import Key, Team
from pointsman.access.policy import acts_for, sees_all
from pointsman.edge.admin import MAX_PAGE, Admin, Query, admin_of, seconds, stored
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import Forbidden, InvalidRequest
from pointsman.store.base import SpendEvent, usd

REPORT_DAYS = 30
FILTERS = {"api_key": "key_id", "user_id": "user_id", "team_id": "team_id", "request_id": "request_id"}
"""What is asked for, and the column of the ledger."""
GROUPS = {
    "team": ("team_id", "teams", "team_name"),
    "user": ("user_id", "users", "user_id"),
    "api_key": ("key_id", "api_keys", "api_key"),
    "organization": ("organization_id", "organizations", "organization_id"),
    "model": ("model", "models", "model"),
    "provider": ("provider", "providers", "provider"),
}
"""``group_by``: the column of the ledger, and LiteLLM's names of the list and of each entry's member."""
NAMES = {MASTER_ID: MASTER_ID, PUBLIC_ID: PUBLIC_ID}
"""Of what spends without a row of a key."""
DAY = 86_400


async def logs(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /spend/logs``: rows, the latest first; with ``summarize=true`` sums of each day."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    start, end = _span(admin, query)
    where = await _where(admin, caller, query)
    if query.flag("summarize"):
        days = await admin.spend_of(where, ("day", "model"), start, end)
        json_reply(exchange, _by_day(days))
        return
    after = _after(query.text("after"))
    page = query.page(MAX_PAGE)
    found = await stored(admin.records.spend_events(start, end, where, after=after, limit=page.size))
    json_reply(exchange, [_row(one) for one in found])


async def report(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /global/spend/report``: what each team, user, key, model or provider has spent, day by day."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    start, end = _span(admin, query)
    group = query.text("group_by") or "team"
    if group not in GROUPS:
        raise InvalidRequest(f"'group_by' must be one of {', '.join(GROUPS)}", param="group_by")
    column, many, one = GROUPS[group]
    columns = tuple(dict.fromkeys(("day", column, "model", "key_id")))
    found = await admin.spend_of(await _where(admin, caller, query), columns, start, end)
    told = _grouped(found, column, many, one)
    if group == "team":
        names = await _team_names(admin, {row["team_id"] for row in found})
        for entry in (entry for day in told for entry in day[many]):
            entry |= {"team_id": entry[one], one: names.get(entry[one], entry[one])}
    json_reply(exchange, told)


async def total(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /global/spend``: what everybody has spent."""
    admin, query = await admin_of(serving), Query(exchange)
    start, end = _span(admin, query, since=0.0)
    found = await admin.spend_of({}, (), start, end)
    json_reply(exchange, {"spend": found[0]["spend"] if found else 0, "max_budget": 0})


async def by_key(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /spend/keys``: the keys that have spent most."""
    admin, query = await admin_of(serving), Query(exchange)
    start, end = _span(admin, query, since=0.0)
    found = await admin.spend_of({}, ("key_id",), start, end, limit=query.page(MAX_PAGE).size)
    rows = []
    for one in found:
        key = await admin.get(Key, one["key_id"])
        rows.append(
            {
                "token": one["key_id"],
                "key_name": key.row.key_name if key is not None else NAMES.get(one["key_id"]),
                "key_alias": key and key.row.key_alias,
                **{name: value for name, value in one.items() if name != "key_id"},
            }
        )
    json_reply(exchange, rows)


async def by_user(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /spend/users``: the users who have spent most."""
    admin, query = await admin_of(serving), Query(exchange)
    start, end = _span(admin, query, since=0.0)
    user = query.text("user_id")
    where = {} if user is None else {"user_id": user}
    json_reply(exchange, await admin.spend_of(where, ("user_id",), start, end, limit=query.page(MAX_PAGE).size))


def _span(admin: Admin, query: Query, since: float | None = None) -> tuple[float, float]:
    """The days that are asked for, the last one included."""
    now = admin.stamp()
    today = datetime(now.year, now.month, now.day, tzinfo=UTC)
    default = today - timedelta(days=REPORT_DAYS) if since is None else datetime.fromtimestamp(since, UTC)
    start = query.day("start_date", default)
    end = query.day("end_date", today)
    if (end.hour, end.minute, end.second) == (0, 0, 0) and end.year < MAXYEAR:
        end += timedelta(days=1)
    if end <= start:
        raise InvalidRequest("'end_date' must not lie before 'start_date'", param="end_date")
    return seconds(start), seconds(end)


async def _where(admin: Admin, caller: Caller, query: Query) -> dict[str, str]:
    """Columns that are asked for, within what the caller may see."""
    where = {column: given for name, column in FILTERS.items() if (given := query.text(name)) is not None}
    asked = where.get("key_id")
    if asked is not None:
        where["key_id"] = await _account(admin, asked)
    if sees_all(caller):
        return where
    if caller.role == "team_admin" and caller.team_id is not None:
        return where | {"team_id": caller.team_id}
    user_id = acts_for(caller)
    if where.get("key_id") == caller.account or (user_id is None and asked is None):
        return where | {"key_id": caller.account}
    if user_id is None:
        raise Forbidden("This key sees its own spend only")
    return where | {"user_id": user_id}


async def _account(admin: Admin, asked: str) -> str:
    """What the spend of a key is booked under, by the key itself or by its hash."""
    ids = [asked[:200]]
    if asked.startswith("sk-"):
        ids = [row_id for row_id, _ in admin.pepper.ids(asked.encode())]
    for row_id in ids:
        found = await admin.get(Key, row_id)
        if found is not None:
            return found.row.account
    return ids[0]


def _after(given: str | None) -> tuple[float, str] | None:
    """The last row of the page before, as ``startTime,id`` of that."""
    if given is None:
        return None
    at, comma, row_id = given.partition(",")
    try:
        return (float(at), row_id) if comma else None
    except ValueError:
        raise InvalidRequest("'after' is what the last row told", param="after") from None


def _row(event: SpendEvent) -> dict[str, Any]:
    """As LiteLLM tells it."""
    return {
        "request_id": event.request_id,
        "call_type": event.operation,
        "api_key": event.key_id,
        "spend": usd(event.cost_nano_usd),
        "total_tokens": event.input_tokens + event.output_tokens,
        "prompt_tokens": event.input_tokens,
        "completion_tokens": event.output_tokens,
        "startTime": _moment(event.at),
        "endTime": _moment(event.ended_at),
        "completionStartTime": _moment(event.first_at),
        "model": event.upstream_model,
        "model_id": event.deployment,
        "model_group": event.model,
        "custom_llm_provider": event.provider,
        "user": event.user_id,
        "team_id": event.team_id,
        "organization_id": event.organization_id,
        "end_user": event.end_user,
        "metadata": event.metadata,
        "cache_hit": str(event.is_cached),
        "request_tags": event.tags,
        "session_id": event.session_id,
        "requester_ip_address": event.address,
        "status": event.status,
        "attempt": event.attempt,
        "after": f"{event.at!r},{event.id}",
    }


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _by_day(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    days: dict[int, dict[str, Any]] = {}
    for one in found:
        day = days.setdefault(one["day"], {"startTime": _date(one["day"]), "spend": 0, "models": {}})
        day["spend"] += one["spend"]
        day["models"][one["model"]] = one["spend"]
    return [days[day] for day in sorted(days)]


def _grouped(found: list[dict[str, Any]], column: str, many: str, name: str) -> list[dict[str, Any]]:
    days: dict[int, dict[str, dict[str, Any]]] = {}
    for row in found:
        entries = days.setdefault(row["day"], {})
        entry = entries.setdefault(row[column], {name: row[column], "total_spend": 0, "metadata": []})
        entry["total_spend"] += row["spend"]
        told = ("model", "spend", "total_tokens", "prompt_tokens", "completion_tokens", "api_requests")
        entry["metadata"].append({"api_key": row["key_id"], **{member: row[member] for member in told}})
    return [
        {"group_by_day": _date(day), many: sorted(days[day].values(), key=lambda one: -one["total_spend"])}
        for day in sorted(days)
    ]


def _date(day: float) -> str:
    return datetime.fromtimestamp(day, UTC).date().isoformat()


async def _team_names(admin: Admin, ids: Iterable[str]) -> dict[str, str]:
    """What teams are called."""
    found = [await admin.get(Team, row_id) for row_id in ids]
    return {one.id: one.row.team_alias or one.id for one in found if one is not None}
