from __future__ import annotations

from typing import Any

from pointsman.pipeline.mcp_use.sums import add_up


def test_numbers_are_added_member_by_member() -> None:
    sums: dict[str, Any] = {}
    add_up(sums, {"total_tokens": 3, "details": {"cached": 1, "audio": None}, "tier": "default"})
    add_up(sums, {"total_tokens": 4, "details": {"cached": 2, "reasoning": 5}, "tier": "other", "extra": 0.5})
    assert sums == {
        "total_tokens": 7,
        "details": {"cached": 3, "audio": None, "reasoning": 5},
        "tier": "default",
        "extra": 0.5,
    }


def test_what_is_added_is_left_as_it_is() -> None:
    first: dict[str, Any] = {"details": {"cached": 1}}
    sums: dict[str, Any] = {}
    add_up(sums, first)
    add_up(sums, first)
    assert first == {"details": {"cached": 1}}
    assert sums == {"details": {"cached": 2}}


def test_nothing_becomes_a_number_as_soon_as_there_is_one() -> None:
    sums: dict[str, Any] = {"details": None, "cached": None}
    add_up(sums, {"details": {"x": 1}, "cached": 2})
    assert sums == {"details": {"x": 1}, "cached": 2}
