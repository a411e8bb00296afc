from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from records import MemoryRecords

from pointsman.access.budgets import Budget
from pointsman.access.limits import Charge, Grant
from pointsman.pipeline.reconciling import Drift, reconcile
from pointsman.pipeline.till import Till
from pointsman.store.base import Change, SpendEvent

NOW = 1_800_000_000.0


def event(number: int, key: str, nanos: int, **more: Any) -> SpendEvent:
    return SpendEvent(id=f"e{number}", at=NOW - 60, key_id=key, cost_nano_usd=nanos, **more)


@pytest.fixture
def till() -> Till:
    return Till(now=lambda: NOW)


@pytest.fixture
async def records() -> MemoryRecords:
    made = MemoryRecords()
    await made.change(
        [
            Change("budgets", "b", {"max_budget": "3"}),
            Change("keys", "k1", {"account": "a1", "max_budget": "2"}),
            Change("keys", "k2", {"account": "a2", "budget_id": "b"}),
            Change("keys", "k3", {"account": "a3"}),
            Change("teams", "t", {"max_budget": "9", "model_max_budget": {"m": {"budget_limit": "4"}}}),
        ]
    )
    await made.append_spend([event(1, "a1", 500, team_id="t", model="m"), event(2, "a2", 700, team_id="t", model="n")])
    return made


def left(till: Till, kind: Any, row_id: str, most: str) -> int | None:
    limit = Budget(kind=kind, id=row_id, hard=Decimal(most)).limit(NOW)
    assert limit is not None
    return till.counters.remaining(limit)


@pytest.mark.requirement("budgets.reconcile")
async def test_what_is_counted_becomes_what_the_ledger_says_page_by_page(till: Till, records: MemoryRecords) -> None:
    limit = Budget(kind="key", id="a1", hard=Decimal(2)).limit(NOW)
    assert limit is not None
    await till.counters.seed(limit.key, 123)
    running = till.counters.reserve_now((Charge(limit, 50),))
    assert isinstance(running, Grant)
    first = await reconcile(till, records, "keys", None, limit=2)
    # Of a2 nobody has counted anything.
    assert (first.checked, first.after) == (1, "k2")
    assert first.drifts == [Drift(kind="key", id="a1", counted=123, spent=500)]
    assert (left(till, "key", "a1", "2"), left(till, "key", "a2", "3")) == (2_000_000_000 - 550, None)
    rest = await reconcile(till, records, "keys", first.after, limit=2)
    assert (rest.checked, rest.drifts, rest.after) == (0, [], None)
    again = await reconcile(till, records, "keys", None)
    assert (again.checked, again.drifts) == (1, [])
    till.counters.settle(running, {})
    too_much = await reconcile(till, records, "keys", None)
    assert too_much.drifts == [Drift(kind="key", id="a1", counted=550, spent=500)]
    assert left(till, "key", "a1", "2") == 2_000_000_000 - 500


@pytest.mark.requirement("budgets.reconcile")
async def test_what_runs_and_what_others_have_not_written_yet_is_no_difference(
    till: Till, records: MemoryRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = Budget(kind="key", id="a1", hard=Decimal(2)).limit(NOW)
    assert limit is not None
    await till.counters.seed(limit.key, 500)
    running = till.counters.reserve_now((Charge(limit, 50),))
    assert isinstance(running, Grant)
    # An attempt of it has ended.
    await records.append_spend([event(3, "a1", 40)])
    assert not (await reconcile(till, records, "keys", None)).drifts
    till.counters.settle(running, {limit.key: 90})
    is_whole = False

    async def gather() -> bool:
        if is_whole:
            await records.append_spend([event(4, "a1", 50)])
            # And this one has come since.
            till.counters.adjust(limit.key, 5)
        return is_whole

    monkeypatch.setattr(till.counters, "gather", gather)
    assert not (await reconcile(till, records, "keys", None)).drifts
    assert left(till, "key", "a1", "2") == 2_000_000_000 - 590
    is_whole = True
    assert not (await reconcile(till, records, "keys", None)).drifts
    assert left(till, "key", "a1", "2") == 2_000_000_000 - 595


@pytest.mark.requirement("budgets.reconcile")
async def test_budgets_for_one_model_are_set_by_what_that_has_cost(till: Till, records: MemoryRecords) -> None:
    budgets = [Budget(kind="team", id="t", hard=Decimal(9)), Budget(kind="team", id="t", hard=Decimal(4), model="m")]
    for limit in [budget.limit(NOW) for budget in budgets]:
        assert limit is not None
        await till.counters.seed(limit.key, 1)
    done = await reconcile(till, records, "teams", None)
    assert {(one.model, one.spent) for one in done.drifts} == {(None, 1200), ("m", 500)}
