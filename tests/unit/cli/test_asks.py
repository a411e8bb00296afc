from __future__ import annotations

from typing import Any

from pointsman.cli.asks import MAX_ASKS, MOST_SECONDS, Asks


def ask(name: str, pid: int) -> dict[str, Any]:
    return {"kind": "ask", "id": name, "pid": pid, "what": {"do": "reload"}}


def test_who_was_started_before_all_had_done_it_is_asked_too() -> None:
    asks = Asks()
    asks.put(ask("1-1", 1), [2, 3], 10.0)
    assert asks.missed(4, 9.0, 11.0) == [ask("1-1", 1)]
    for pid in (2, 3):
        asks.answered("1-1", pid, 12.0)
    assert asks.missed(5, 11.0, 13.0) == [ask("1-1", 1)]
    for pid in (4, 5):
        asks.answered("1-1", pid, 14.0)
    assert asks.missed(6, 14.5, 15.0) == []
    assert asks.missed(7, 13.0, 15.0) == [ask("1-1", 1)]


def test_what_nobody_has_done_waits_for_somebody() -> None:
    asks = Asks()
    asks.put(ask("0-1", 0), [1, 2], 10.0)
    asks.gone(1, 11.0)
    asks.gone(2, 11.0)
    assert asks.missed(3, 20.0, 21.0) == [ask("0-1", 0)]
    asks.answered("0-1", 3, 22.0)
    assert asks.missed(4, 23.0, 24.0) == []


def test_who_asks_has_done_it_itself() -> None:
    asks = Asks()
    asks.put(ask("1-1", 1), [], 10.0)
    assert asks.missed(2, 9.0, 11.0) == [ask("1-1", 1)]
    asks.answered("1-1", 2, 12.0)
    assert asks.missed(3, 12.5, 13.0) == []


def test_they_are_asked_in_order_and_neither_for_ever_nor_for_everything() -> None:
    asks = Asks()
    for i in range(MAX_ASKS + 20):
        asks.put(ask(f"1-{i}", 1), [2], 10.0 + i)
    assert [one["id"] for one in asks.missed(3, 9.0, 150.0)] == [f"1-{i}" for i in range(20, MAX_ASKS + 20)]
    assert asks.missed(3, 9.0, 200.0 + MOST_SECONDS) == []
    asks.put(ask("last", 1), [2], 200.0 + MOST_SECONDS)
    assert len(asks._asks) == 1
    asks.answered("unheard of", 2, 600.0)
