from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.store import ledger
from pointsman.store.base import AMOUNTS, GROUPS, Refused, SpendEvent
from pointsman.store.ledger import DAY, HOUR, Kept, Piece, pieces

ALL = Kept(0.0, 0.0)

TIMES = st.one_of(
    st.floats(0, 5 * DAY),
    st.integers(0, 5 * 24).map(lambda hour: float(hour * HOUR)),
    st.integers(0, 5 * DAY).map(float),
)


@given(TIMES, TIMES, st.sampled_from([(DAY, HOUR, 0), (HOUR, 0), (DAY, 0), (0,)]))
def test_pieces_cover_a_stretch_of_time_once_and_in_order(start: float, end: float, spans: tuple[int, ...]) -> None:
    found = pieces(start, end, spans)
    borders = [border for piece in found for border in (piece.start, piece.end)]
    assert borders == sorted(borders)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    if start < end:
        assert (borders[0], borders[-1]) == (start, end)
    else:
        assert found == []


@given(TIMES, TIMES)
def test_events_are_asked_for_only_at_the_two_ends_and_each_time_of_an_hour_at_most(start: float, end: float) -> None:
    singles = [piece for piece in pieces(start, end) if not piece.span]
    assert len(singles) <= 2
    assert all(piece.end - piece.start <= HOUR for piece in singles)


@given(TIMES, TIMES)
def test_sums_are_asked_for_from_border_to_border(start: float, end: float) -> None:
    for piece in pieces(start, end):
        if piece.span:
            assert piece.start % piece.span == piece.end % piece.span == 0
    assert sum(piece.end - piece.start for piece in pieces(start, end) if piece.span == HOUR) < 2 * DAY


def test_a_question_of_a_budget_takes_an_end_hours_and_days() -> None:
    since = 3 * DAY - 2.5 * HOUR
    assert pieces(since, ledger.END) == [
        Piece(0, since, 3 * DAY - 2 * HOUR),
        Piece(HOUR, 3 * DAY - 2 * HOUR, 3 * DAY),
        Piece(DAY, 3 * DAY, ledger.END),
    ]


def test_what_is_added_to_the_sums_is_in_one_order_whatever_order_events_come_in() -> None:
    events = [
        SpendEvent(id=str(number), at=number * 1000.0, key_id=f"k{number % 3}", cost_nano_usd=number)
        for number in range(40)
    ]
    rows = [ledger.row_of(event) for event in events]
    added = ledger.summed(rows)
    assert ledger.summed(reversed(rows)) == added
    for span in (HOUR, DAY):
        assert sum(row["cost_nano_usd"] for row in added if row["span"] == span) == sum(range(40))
    assert set(added[0]) == {"span", "start", *GROUPS, *AMOUNTS}


def test_an_event_is_stored_as_any_database_can_hold_it() -> None:
    event = SpendEvent(id="a\0b", at=2.0 * HOUR + 5, key_id="\ud800é", input_tokens=2**70, cost_nano_usd=-(2**70))
    row = dict(zip(ledger.COLUMNS, ledger.row_of(event), strict=True))
    assert (row["id"], row["key_id"], row["status"]) == ("ab", "?é", "success")
    assert (row["input_tokens"], row["cost_nano_usd"], row["requests"]) == (ledger.LARGEST, -ledger.LARGEST, 1)
    assert (row["at"], row["hour"]) == (2.0 * HOUR + 5, 2 * HOUR)


def test_an_event_is_what_it_was_when_it_is_read() -> None:
    event = SpendEvent(
        at=5.0,
        id="e",
        key_id="k",
        model="m",
        status="RateLimitError",
        failures=1,
        operation="chat",
        deployment="d",
        attempt=2,
        ended_at=6.5,
        is_cached=True,
        tags=("a", "b"),
        metadata={"x": 1},
    )
    row = dict(zip(ledger.COLUMNS, ledger.row_of(event), strict=True))
    assert ledger.event_of(cast("Any", SimpleNamespace(**row))) == event
    # As it once was written.
    row["more"] = (
        '{"operation":"chat","deployment":"d","upstream_model":"","attempt":2,"ended_at":6.5,"is_cached":true,'
        '"tags":["a","b"],"metadata":{"x":1}}'
    )
    assert ledger.event_of(cast("Any", SimpleNamespace(**row))) == event


@pytest.mark.parametrize("name", ["at", "more", "request_id", "1; DROP TABLE spend"])
def test_spend_is_grouped_by_known_columns_only(name: str) -> None:
    with pytest.raises(KeyError):
        ledger.summing([name], 0, 1, None, ALL)
    with pytest.raises(KeyError):
        ledger.summing([], 0, 1, {name: "x"}, ALL)


@pytest.mark.parametrize("at", [float("nan"), float("-inf"), -0.1, 253_402_300_800.0])
def test_an_event_that_began_at_no_time_is_refused(at: float) -> None:
    with pytest.raises(Refused):
        ledger.days_of([SpendEvent(id="e", at=at)])


def test_days_are_counted_since_1970() -> None:
    assert ledger.days_of([SpendEvent(id="e", at=at) for at in (DAY * 3.5, 0.0, DAY * 3.0)]) == [0, 3]


@pytest.mark.parametrize(
    ("moment", "is_in_hours", "unit"),
    [
        (9.0 * DAY, True, 1),
        (8.1 * DAY, False, 1),
        (7.9 * DAY, True, HOUR),
        (7.9 * DAY, False, DAY),
        (3.9 * DAY, True, DAY),
    ],
)
def test_the_smallest_unit_of_a_moment_is_what_is_still_there(moment: float, unit: int, *, is_in_hours: bool) -> None:
    kept = Kept(8.7 * DAY, 4.2 * DAY)
    assert kept.unit(moment, is_in_hours=is_in_hours) == unit
    assert Kept(None, None).unit(moment, is_in_hours=is_in_hours) == DAY
