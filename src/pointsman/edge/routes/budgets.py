"""Budgets that several keys, users, teams or organizations refer to: each of them has as much for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.access.keys import FILLED, BudgetRow, Key, Name, Organization, Team, User
from pointsman.edge.admin import INTERNAL, Admin, Body, Held, Query, admin_of, asks, changed, new, stored, view
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import InvalidRequest
from pointsman.pipeline.reconciling import Drift, Holders, reconcile
from pointsman.store.base import usd

WHAT = "Budget"
NOT_ITS = tuple(set(BudgetRow.__struct_fields__) - INTERNAL - set(FILLED))
"""Terms that a budget does not have."""
NEW = Body(asks(BudgetRow, *NOT_ITS, budget_id=Name), BudgetRow)
UPDATE = Body(asks(BudgetRow, *NOT_ITS, budget_id=Name), BudgetRow, needs=("budget_id",))
INFO = Body(msgspec.defstruct("Budgets", [("budgets", tuple[Name, ...] | None, None)], frozen=True), needs=("budgets",))
RECONCILE = Body(
    msgspec.defstruct("Reconcile", [("table", Holders | None, None), ("after", Name | None, None)], frozen=True),
    needs=("table",),
)
DELETE = Body(msgspec.defstruct("BudgetNamed", [("id", Name | None, None)], frozen=True), needs=("id",))


async def create(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /budget/new``."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await NEW.read(exchange)
    row_id = given.pop("budget_id", None) or admin.make_id()
    row = new(BudgetRow, given, **admin.made(caller))
    if await admin.get(BudgetRow, row_id) is not None:
        raise InvalidRequest("That budget_id is taken: choose another one", param="budget_id")

    async def write() -> None:
        await admin.write(caller, "budget.new", row_id, [Held(row_id, row, 0).change(row)], None, row)

    await admin.again(write)
    json_reply(exchange, _told(row_id, row, admin))


async def update(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /budget/update``: what is named is changed, all else stays."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await UPDATE.read(exchange)
    row_id = given.pop("budget_id")

    async def write() -> BudgetRow:
        before = await admin.need(BudgetRow, row_id, WHAT)
        after = changed(before.row, given, **admin.changed(caller))
        await admin.write(caller, "budget.update", row_id, [before.change(after)], before.row, after)
        return after

    json_reply(exchange, _told(row_id, await admin.again(write), admin))


async def info(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /budget/info``: those that are named and there."""
    admin = await admin_of(serving)
    ids = (await INFO.read(exchange))["budgets"]
    found = [await admin.get(BudgetRow, row_id) for row_id in dict.fromkeys(ids)]
    json_reply(exchange, [_told(one.id, one.row, admin) for one in found if one is not None])


async def list_budgets(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /budget/list``."""
    admin, query = await admin_of(serving), Query(exchange)
    found, _ = await admin.page(BudgetRow, {}, query.page(100))
    json_reply(exchange, [_told(one.id, one.row, admin) for one in found])


async def delete(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /budget/delete``: one that nobody refers to: without it they would have no limits."""
    admin, caller = await admin_of(serving), exchange.caller
    row_id = (await DELETE.read(exchange))["id"]

    async def write() -> BudgetRow:
        before = await admin.need(BudgetRow, row_id, WHAT)
        for kind in (Key, User, Team, Organization):
            if await admin.find(kind, {"budget_id": row_id}, limit=1):
                raise InvalidRequest("Keys, users, teams or organizations refer to it: change them first", param="id")
        await admin.write(caller, "budget.delete", row_id, [before.change(None)], before.row)
        return before.row

    json_reply(exchange, _told(row_id, await admin.again(write), admin))


def _told(row_id: str, row: BudgetRow, admin: Admin) -> dict[str, Any]:
    told = view(row, admin.now())
    return {"budget_id": row_id, **{name: told[name] for name in told if name not in NOT_ITS}}


async def set_counters(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /budget/reconcile``: what is counted of the budgets of the next holders is set to what the ledger says."""
    admin = await admin_of(serving)
    asked = await RECONCILE.read(exchange)
    assert admin.till is not None
    done = await stored(reconcile(admin.till, admin.records, asked["table"], asked.get("after")))
    drifts = [_drift(one) for one in done.drifts]
    if drifts:
        await admin.write(exchange.caller, "budget.reconcile", asked["table"], (), after={"drifts": drifts})
    json_reply(exchange, {"checked": done.checked, "drifts": drifts, "after": done.after})


def _drift(one: Drift) -> dict[str, Any]:
    counted, spent = usd(one.counted), usd(one.spent)
    return {"kind": one.kind, "id": one.id, "model": one.model, "counted": counted, "spent": spent}
