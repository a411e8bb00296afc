"""Setting what is counted of budgets to what the ledger says.

The ledger is the truth: each event in it has an id and counts once. What a process that died had not written down, or a
Redis that was lost had counted, makes the two differ.

Theory of operation: counters run ahead of the ledger, and the ledger runs ahead of them by the attempts of calls that
have not ended. So the counter is read, then all processes write down what they have spent, then the ledger is read, and
then the counter again. What was counted before has to be in the ledger, and what is in the ledger has to be counted by
then, or be reserved or lent. Only what lies beyond these two differs, and the counter is moved by it: what is reserved
stays so, and what is spent meanwhile counts. Nothing is taken off a counter where somebody may have spent what the
ledger lacks: a worker has died, or events are lost.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from pointsman.access.budgets import Budget, Kind
from pointsman.access.caller import budgets_of
from pointsman.access.keys import BudgetRow, Key, Organization, T, Team, Terms, User, from_doc
from pointsman.access.limits import Limit
from pointsman.pipeline.till import Till
from pointsman.store.base import Records, Row

PAGE: Final = 200
Holders = Literal["keys", "users", "teams", "organizations"]
HOLDERS: Final[dict[Holders, tuple[Kind, type[Terms]]]] = {
    "keys": ("key", Key),
    "users": ("user", User),
    "teams": ("team", Team),
    "organizations": ("organization", Organization),
}


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A budget whose counter did not say what the ledger does; in nano-dollars."""

    kind: Kind
    id: str
    model: str | None = None
    counted: int
    """Without what is reserved."""
    spent: int


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one page of holders."""

    checked: int
    """Budgets that somebody has counted; the others are counted from the ledger when they are first used."""
    drifts: list[Drift]
    after: str | None
    """Where the next page begins; ``None``: this was the last one."""


class _Looked(msgspec.Struct, frozen=True):
    """A budget, and what was counted before all wrote down what they had spent."""

    budget: Budget
    limit: Limit
    counted: int


async def reconcile(till: Till, records: Records, table: Holders, after: str | None, limit: int = PAGE) -> Reconciled:
    """Set the counters of the next holders in ``table``.

    :raises StoreDown: the ledger is away, or whoever counts
    """
    kind, row_type = HOLDERS[table]
    rows = await records.find(table, after=None if after is None else (after,), limit=limit)
    looked = []
    for row in rows:
        for budget in await _budgets(records, row, kind, row_type):
            counter = budget.limit(till.now())
            counted = None if counter is None else await till.counters.counted(counter)
            if counter is not None and counted is not None:
                looked.append(_Looked(budget, counter, counted.spent))
    # Most are equal as they are, and nobody has to be asked to write anything.
    differing = [one for one in looked if await _spent(till, records, one.budget) != one.counted]
    drifts: list[Drift] = []
    if differing:
        is_whole = await till.gather()
        found = [await _set(till, records, one, is_whole=is_whole) for one in differing]
        drifts = [drift for drift in found if drift is not None]
    return Reconciled(checked=len(looked), drifts=drifts, after=rows[-1].id if len(rows) == limit else None)


async def _budgets(records: Records, row: Row, kind: Kind, row_type: type[T]) -> tuple[Budget, ...]:
    terms = from_doc(row.doc, row_type)
    shared = None if terms.budget_id is None else await records.get("budgets", terms.budget_id)
    holder = terms.account if isinstance(terms, Key) else row.id
    return budgets_of(kind, holder, terms, None if shared is None else from_doc(shared.doc, BudgetRow))


async def _spent(till: Till, records: Records, budget: Budget) -> int:
    return await till.spent(records, budget, budget.window(till.now()).begins)


async def _set(till: Till, records: Records, looked: _Looked, *, is_whole: bool) -> Drift | None:
    """With ``is_whole``, all that was spent when it was looked at is in the ledger."""
    budget = looked.budget
    spent = await _spent(till, records, budget)
    now = await till.counters.counted(looked.limit)
    if now is None or budget.limit(till.now()) != looked.limit:
        return None
    if spent > now.spent + now.held:
        counted, by = now.spent, spent - now.spent
    elif spent < looked.counted and is_whole:
        counted, by = looked.counted, spent - looked.counted
    else:
        return None
    till.counters.adjust(looked.limit.key, by)
    return Drift(kind=budget.kind, id=budget.id, model=budget.model, counted=counted, spent=spent)
