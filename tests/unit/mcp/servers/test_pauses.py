from __future__ import annotations

import pytest

from pointsman.mcp.servers import pauses
from pointsman.mcp.servers.pauses import Backoff, is_final


@pytest.fixture(autouse=True)
def half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.5)


def test_pauses_grow_up_to_a_minute() -> None:
    backoff = Backoff()
    found = []
    for _ in range(12):
        found.append(backoff.seconds)
        backoff.begin(0.0)
        backoff.fail(1.0)
    assert found == [0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0]


def test_what_worked_for_long_or_ended_well_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(3):
        backoff.fail(0.0)
    backoff.begin(0.0)
    backoff.fail(61.0)
    assert backoff.failures == 1
    backoff.end()
    assert backoff.failures == 0


@pytest.mark.parametrize(("status", "is_so"), [(405, True), (404, True), (401, False), (429, False), (503, False)])
def test_some_refusals_stay(status: int, is_so: bool) -> None:
    assert is_final(status) is is_so
