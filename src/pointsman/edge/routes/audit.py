"""Who has changed what: every change of an admin, in the order in which they were made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pointsman.edge.admin import MAX_PAGE, Query, admin_of, stored
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.store.base import Audited

FILTERS = {"changed_by": "who", "action": "what", "object_id": "target"}
"""What is asked for, and the column of the log."""


async def list_changes(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /audit``: the latest first; ``before`` is the ``id`` of the last one of the page before."""
    admin, query = await admin_of(serving), Query(exchange)
    where = {column: given for name, column in FILTERS.items() if (given := query.text(name)) is not None}
    found = await stored(admin.records.audits(where, before=query.number("before"), limit=query.page(MAX_PAGE).size))
    json_reply(exchange, {"audit_logs": [_told(one) for one in found], "page_size": len(found)})


async def verify(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /audit/verify``: whether anything was taken out of the log, or changed in it."""
    admin = await admin_of(serving)
    fault = await stored(admin.records.verify_audit())
    json_reply(
        exchange,
        {"is_whole": fault is None, "id": None if fault is None else fault.seq, "why": fault and fault.why},
    )


def _told(one: Audited) -> dict[str, Any]:
    table, _, action = one.what.partition(".")
    return {
        "id": one.seq,
        "updated_at": datetime.fromtimestamp(one.at, UTC),
        "changed_by": one.who,
        "action": one.what,
        "table_name": table,
        "verb": action,
        "object_id": one.target,
        "before_value": one.before,
        "updated_values": one.after,
        "hash": one.hash,
    }
