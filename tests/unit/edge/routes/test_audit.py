from __future__ import annotations

from typing import Any

import pytest

from pointsman.store.base import AuditFault

Desk = Any


async def test_changes_are_told_the_latest_first_and_by_what_is_asked_for(desk: Desk) -> None:
    for name in ("a", "b"):
        await desk.post("/budget/new", {"budget_id": name})
    await desk.post("/budget/update", {"budget_id": "a", "max_budget": 1})
    told = (await desk.get("/audit"))["audit_logs"]
    assert [(one["id"], one["action"], one["object_id"], one["changed_by"]) for one in told] == [
        (3, "budget.update", "a", "master"),
        (2, "budget.new", "b", "master"),
        (1, "budget.new", "a", "master"),
    ]
    assert (
        told[0]["table_name"],
        "max_budget" in told[0]["before_value"],
        told[0]["updated_values"]["max_budget"],
    ) == (
        "budget",
        False,
        "1",
    )
    assert [one["id"] for one in (await desk.get("/audit", "object_id=a"))["audit_logs"]] == [3, 1]
    assert [one["id"] for one in (await desk.get("/audit", "before=3&page_size=1"))["audit_logs"]] == [2]


async def test_whether_the_log_is_whole_can_be_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await desk.get("/audit/verify"))["is_whole"] is True

    async def verify() -> AuditFault:
        return AuditFault(7, "a row was changed")

    monkeypatch.setattr(desk.records, "verify_audit", verify)
    assert await desk.get("/audit/verify") == {"is_whole": False, "id": 7, "why": "a row was changed"}
