from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.store.auditing import START, Chain, canonical, chained
from pointsman.store.base import Audit, Audited, AuditFault


def log(count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    previous = START
    for number in range(1, count + 1):
        entry = Audit(who="master", what="key.new", target=f"k{number}", after={"n": number})
        rows.append(chained(number, 1000.0 + number, entry, previous))
        previous = rows[-1]["hash"]
    return rows


def verdict(rows: list[dict[str, Any]]) -> AuditFault | None:
    chain = Chain()
    for row in rows:
        fault = chain.follow(msgspec.convert(row, Audited), row["before"], row["after"])
        if fault is not None:
            return fault
    return None


def test_rows_that_follow_each_other_are_whole() -> None:
    assert verdict(log(5)) is None


CHANGED = st.sampled_from(["at", "who", "what", "target", "before", "after", "previous", "hash"])


@given(st.integers(0, 4), CHANGED)
def test_a_change_of_any_value_is_found(place: int, name: str) -> None:
    rows = log(5)
    rows[place][name] = rows[place][name] + 1 if name == "at" else rows[place][name] + "x"
    fault = verdict(rows)
    assert fault is not None
    assert fault.seq == place + 1


@given(st.integers(0, 3))
def test_a_row_that_was_taken_out_is_missed(place: int) -> None:
    rows = log(5)
    del rows[place]
    assert verdict(rows) == AuditFault(place + 1, "missing")


@given(st.integers(0, 3))
def test_rows_that_changed_places_are_found(place: int) -> None:
    rows = log(5)
    rows[place], rows[place + 1] = rows[place + 1], rows[place]
    rows[place]["seq"], rows[place + 1]["seq"] = rows[place + 1]["seq"], rows[place]["seq"]
    fault = verdict(rows)
    assert fault is not None
    assert fault.seq == place + 1


def test_who_and_what_cannot_be_shifted_into_each_other() -> None:
    one = chained(1, 1.0, Audit(who="ab", what="c", target=""), START)
    other = chained(1, 1.0, Audit(who="a", what="bc", target=""), START)
    assert one["hash"] != other["hash"]


@pytest.mark.parametrize(("value", "text"), [({"b": 1, "a": [None]}, '{"a":[null],"b":1}'), ("\ud800", '"?"')])
def test_a_value_has_one_text(value: Any, text: str) -> None:
    assert canonical(value) == text
