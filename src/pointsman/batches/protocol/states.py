"""How a batch goes from state to state, and what it needs next.

::

    validating ──▶ in_progress ──▶ finalizing ──▶ completed | expired
        │   │            │
        │   └────────────┴──▶ cancelling ──▶ cancelled
        └──▶ failed

What nothing else brings to its end has failed in the end, wherever it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from pointsman.store.work import BatchRow, Ending, State

Step: TypeAlias = Literal["validate", "poll", "close", "finalize"]

TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    "validating": frozenset({"in_progress", "cancelling", "failed"}),
    "in_progress": frozenset({"finalizing", "cancelling", "failed"}),
    "finalizing": frozenset({"completed", "expired", "failed"}),
    "cancelling": frozenset({"cancelled", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "expired": frozenset(),
    "cancelled": frozenset(),
}
"""Where a batch can go from where it is."""
ENDED: Final = frozenset(state for state, following in TRANSITIONS.items() if not following)


def step(row: BatchRow) -> Step | None:
    """What whoever has leased a batch is to do; ``None``: nothing, it has ended.

    ``poll`` asks the provider that runs it, whatever has happened to it here. ``close`` says that no more is done, so
    that what there is can be written.
    """
    if row.state in ENDED:
        return None
    if row.state == "validating":
        return "validate"
    if row.ending:
        return "finalize"
    return "poll" if row.executor == "provider" else "close"


def ending(row: BatchRow) -> Ending:
    """What becomes of a batch that is closed before all of its lines are done."""
    return "cancelled" if row.state == "cancelling" else "expired"
