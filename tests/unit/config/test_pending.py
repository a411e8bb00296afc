from __future__ import annotations

from pointsman.config import pending
from pointsman.config.grammar import SECTIONS


def test_names_are_sorted_so_that_a_reader_finds_them() -> None:
    for name in (
        "TOP_NAMES",
        "PARAM_NAMES",
        "ROUTER_NAMES",
        "GROUP_NAMES",
        "CACHE_NAMES",
        "LITELLM_NAMES",
        "GENERAL_NAMES",
    ):
        names = getattr(pending, name)
        assert list(names) == sorted(names)


def test_no_name_is_pending_and_honoured_at_once() -> None:
    for section in SECTIONS:
        standings: dict[str, set[str]] = {}
        for key in section.keys:
            standings.setdefault(key.name, set()).add(key.standing)
        assert [name for name, found in standings.items() if len(found) > 1] == []
