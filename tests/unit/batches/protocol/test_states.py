from __future__ import annotations

from typing import get_args

import pytest

from pointsman.batches.protocol.states import ENDED, TRANSITIONS, ending, step
from pointsman.store.work import BatchRow, Ending, State

ROW = BatchRow(
    id="b",
    owner="",
    key_id="",
    kind="openai",
    executor="lines",
    state="validating",
    ending="",
    is_paused=False,
    total=0,
    completed=0,
    failed=0,
    input_tokens=0,
    cached_tokens=0,
    output_tokens=0,
    reasoning_tokens=0,
    cost_nano_usd=0,
    created_at=1.0,
    expires_at=2.0,
    in_progress_at=None,
    finalizing_at=None,
    cancelling_at=None,
    ended_at=None,
    doc={},
    fence=1,
)


def row(**values: object) -> BatchRow:
    return BatchRow(**{name: getattr(ROW, name) for name in ROW.__struct_fields__} | values)


def test_each_state_has_its_place_and_those_at_the_end_are_the_endings() -> None:
    assert set(TRANSITIONS) == set(get_args(State))
    assert frozenset(get_args(Ending)) == ENDED
    assert {state for state, following in TRANSITIONS.items() if "failed" in following} == set(TRANSITIONS) - ENDED
    assert {state for following in TRANSITIONS.values() for state in following} | {"validating"} == set(TRANSITIONS)


@pytest.mark.parametrize(
    ("batch", "wanted"),
    [
        (row(), "validate"),
        (row(state="in_progress"), "close"),
        (row(state="cancelling"), "close"),
        (row(state="in_progress", executor="provider"), "poll"),
        (row(state="cancelling", executor="provider"), "poll"),
        (row(state="finalizing", ending="completed"), "finalize"),
        (row(state="finalizing", ending="expired", executor="provider"), "finalize"),
        (row(state="cancelling", ending="cancelled"), "finalize"),
        *((row(state=state, ending=state), None) for state in sorted(ENDED)),
    ],
)
def test_what_a_batch_needs_next(batch: BatchRow, wanted: str | None) -> None:
    assert step(batch) == wanted


def test_what_is_closed_early_was_cancelled_or_is_too_late() -> None:
    assert ending(row(state="cancelling")) == "cancelled"
    assert ending(row(state="in_progress")) == "expired"
