from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from pointsman.access.budgets import Budget
from pointsman.pipeline.spending import Spending
from pointsman.pipeline.till import Till

Desk = Any


async def test_a_budget_is_made_changed_shown_and_deleted(desk: Desk) -> None:
    made = await desk.post("/budget/new", {"max_budget": 5, "budget_duration": "1d", "rpm_limit": 2})
    name = made["budget_id"]
    assert (made["max_budget"], made["rpm_limit"]) == (5, 2)
    assert "models" not in made
    assert (await desk.post("/budget/update", {"budget_id": name, "max_budget": 6}))["rpm_limit"] == 2
    assert [one["max_budget"] for one in await desk.post("/budget/info", {"budgets": [name, "nobody"]})] == [6]
    assert [one["budget_id"] for one in await desk.get("/budget/list")] == [name]
    assert (await desk.post("/budget/delete", {"id": name}))["budget_id"] == name
    assert await desk.get("/budget/list") == []


async def test_each_key_that_refers_to_a_budget_has_as_much_for_itself_as_it_says_now(desk: Desk) -> None:
    await desk.post("/budget/new", {"budget_id": "b", "max_budget": 5})
    keys = [await desk.key(budget_id="b"), await desk.key(budget_id="b", rpm_limit=1)]
    await desk.post("/budget/update", {"budget_id": "b", "max_budget": 7, "rpm_limit": 9})
    found = [await desk.keys.find([key.encode()]) for key in keys]
    assert [(one.budgets[0].id, one.budgets[0].hard) for one in found] == [(desk.id(key), 7) for key in keys]
    assert [one.limits.requests[0].ceiling for one in found] == [9, 1]


async def test_a_budget_that_somebody_refers_to_stays(desk: Desk) -> None:
    await desk.post("/budget/new", {"budget_id": "b", "max_budget": 5})
    await desk.post("/team/new", {"team_id": "t", "budget_id": "b"})
    assert (await desk.call("POST", "/budget/delete", {"id": "b"})).status == 400
    await desk.post("/team/update", {"team_id": "t", "budget_id": None})
    await desk.post("/budget/delete", {"id": "b"})


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("/budget/new", {"budget_id": "b"}, 400),
        ("/budget/new", {"max_budget": -1}, 400),
        ("/budget/new", {"models": ["m"]}, 400),
        ("/budget/new", {"blocked": True}, 400),
        ("/budget/update", {"max_budget": 1}, 400),
        ("/budget/update", {"budget_id": "nobody"}, 404),
        ("/budget/delete", {"id": "nobody"}, 404),
    ],
)
async def test_what_makes_no_sense_changes_nothing(desk: Desk, path: str, asked: Any, status: int) -> None:
    await desk.post("/budget/new", {"budget_id": "b"})
    before = dict(desk.records.tables["budgets"])
    assert (await desk.call("POST", path, asked)).status == status
    assert desk.records.tables["budgets"] == before


@pytest.mark.requirement("budgets.reconcile")
async def test_counters_that_were_moved_are_in_the_audit_log(desk: Desk) -> None:
    till = Till(now=desk.now)
    till.open_ledger(desk.records, cast("Spending", NothingWaits()))
    desk.admin = replace(desk.admin, till=till)
    await desk.key(max_budget=5, key_alias="k")
    (row,) = desk.records.tables["keys"].values()
    before = len(desk.records.log)
    assert (await desk.post("/budget/reconcile", {"table": "keys"}))["drifts"] == []
    assert len(desk.records.log) == before
    limit = Budget(kind="key", id=row.doc["account"], hard=Decimal(5)).limit(desk.now())
    assert limit is not None
    await till.counters.seed(limit.key, 7)
    assert (await desk.post("/budget/reconcile", {"table": "keys"}))["checked"] == 1
    (written,) = desk.records.log[before:]
    assert (written.who, written.what, written.target) == ("master", "budget.reconcile", "keys")
    assert written.after["drifts"][0]["id"] == row.doc["account"]


class NothingWaits:
    """A writer of a ledger in which all is written."""

    async def flush(self) -> bool:
        return True

    async def close(self) -> None:
        """Nothing is open."""
