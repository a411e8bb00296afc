from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from pointsman.access.budgets import Budget
from pointsman.access.caller import Caller
from pointsman.access.keys import Key
from pointsman.assembly.counts import MAX_BUDGETS, store_counts
from pointsman.edge.accounts import Accounts
from pointsman.pipeline.till import Till
from pointsman.telemetry.stored import BudgetCounts, StoreCounts

NOW = 1_800_000_000.0


def caller(account: str, *budgets: Budget, alias: str | None = None) -> Caller:
    return Caller(name=account, id=f"hash-{account}", key=Key(account=account, key_alias=alias), budgets=budgets)


def budget(kind: Any, row_id: str, most: str = "2") -> Budget:
    return Budget(kind=kind, id=row_id, hard=Decimal(most))


def told(*callers: Caller, till: Till | None = None, is_down: bool = False) -> StoreCounts | None:
    class Keys:
        def __len__(self) -> int:
            return len(callers)

        def callers(self) -> Any:
            return iter(callers)

    accounts = Accounts()
    accounts.admin = cast("Any", SimpleNamespace(keys=Keys(), records=SimpleNamespace(is_down=is_down)))
    return store_counts(accounts, till or Till(now=lambda: NOW))


def test_where_there_is_no_store_nothing_is_told_and_one_that_is_away_is() -> None:
    till = Till(now=lambda: NOW)
    assert store_counts(Accounts(), till) is None
    assert store_counts(Accounts(is_there=lambda: True), till) == StoreCounts(is_up=False)
    assert told() == StoreCounts(is_up=True)
    assert told(is_down=True) == StoreCounts(is_up=False)


async def test_what_is_left_is_told_of_keys_and_teams_that_have_spent_something() -> None:
    till = Till(now=lambda: NOW)
    own, team, users = budget("key", "a"), budget("team", "t"), budget("user", "u")
    maker, unknown = budget("key", "maker"), budget("key", "b")
    for one in (own, team, users, maker):
        limit = one.limit(NOW)
        assert limit is not None
        await till.counters.seed(limit.key, 500_000_000)
    counts = told(caller("a", own, team, users, maker, alias="mine"), caller("b", unknown, team), till=till)
    assert counts is not None
    assert counts.keys == 2
    assert [one for one in counts.budgets if one.labels != ("hash-b", "")] == [
        BudgetCounts(labels=("hash-a", "mine"), left=1.5, most=2.0),
        BudgetCounts(labels=("t",), left=1.5, most=2.0, is_of_team=True),
    ]


async def test_so_many_budgets_are_told_and_no_more() -> None:
    till = Till(now=lambda: NOW)
    many = [budget("key", f"k{number}") for number in range(MAX_BUDGETS + 5)]
    for one in many:
        limit = one.limit(NOW)
        assert limit is not None
        await till.counters.seed(limit.key, 1)
    counts = told(*(caller(one.id, one) for one in many), till=till)
    assert counts is not None
    assert len(counts.budgets) == MAX_BUDGETS
