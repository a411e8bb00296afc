"""What is told on a scrape of keys and budgets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pointsman.access.budgets import NANOS, Budget
from pointsman.access.caller import Caller
from pointsman.edge.accounts import Accounts
from pointsman.pipeline.till import Till
from pointsman.telemetry.stored import BudgetCounts, StoreCounts

MAX_LOOKED = 1000
"""Keys that are looked at; they are in no order."""
MAX_BUDGETS = 200
"""Budgets that are told: each is a series of its own."""


def store_counts(accounts: Accounts, till: Till) -> StoreCounts | None:
    """``None``: nobody has made a key, and no database is named."""
    admin, state = accounts.admin, accounts.state
    if admin is None:
        return None if state == "Not connected" else StoreCounts(is_up=False)
    spending = till.spending
    return StoreCounts(
        is_up=state == "connected",
        keys=len(admin.keys),
        waiting=0 if spending is None else spending.waiting,
        folded=0 if spending is None else spending.folded,
        lost=0 if spending is None else spending.lost,
        contents_dropped=0 if spending is None else spending.contents_dropped,
        budgets=tuple(islice(_budgets(admin.keys.callers(), till), MAX_BUDGETS)),
    )


def _budgets(callers: Iterator[Caller], till: Till) -> Iterator[BudgetCounts]:
    """Of keys and teams, as far as it is known here what is left."""
    seen: set[tuple[str, ...]] = set()
    for caller in islice(callers, MAX_LOOKED):
        for budget in caller.budgets:
            labels = _labels(caller, budget)
            limit = budget.limit(till.now()) if labels and labels not in seen else None
            left = None if limit is None else till.counters.remaining(limit)
            if limit is not None and left is not None:
                seen.add(labels)
                most = limit.ceiling / NANOS
                yield BudgetCounts(labels=labels, left=left / NANOS, most=most, is_of_team=budget.kind == "team")


def _labels(caller: Caller, budget: Budget) -> tuple[str, ...]:
    if budget.kind == "team":
        return (budget.id,)
    if budget.kind == "key" and budget.id == caller.account and caller.key is not None:
        return caller.id, caller.key.key_alias or ""
    return ()
