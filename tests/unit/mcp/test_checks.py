from __future__ import annotations

import pytest

from pointsman.mcp.checks import RESERVED, wrong_alias, wrong_id, wrong_names


@pytest.mark.parametrize("server_id", ["a", "A-1_b", "0", "x" * 64, "servers2"])
def test_an_id_is_a_short_word(server_id: str) -> None:
    assert wrong_id(server_id) is None


@pytest.mark.requirement("mcp.ids")
@pytest.mark.parametrize("server_id", ["", "-a", "_a", "a b", "a/b", "a.b", "a,b", "é", "x" * 65, "a\n", "..", "%2e"])
def test_what_cannot_stand_in_a_path_is_no_id(server_id: str) -> None:
    assert "64" in (wrong_id(server_id) or "")


@pytest.mark.requirement("mcp.ids")
@pytest.mark.parametrize("server_id", [*sorted(RESERVED), "Servers", "TOOLS"])
def test_what_has_another_meaning_in_a_path_is_reserved(server_id: str) -> None:
    assert "reserved" in (wrong_id(server_id) or "")


def test_names_of_tools_begin_with_a_short_word() -> None:
    assert wrong_alias("gh-1_b") is None
    for alias in ("", "a b", "a\u200b", "x" * 65, "_a"):
        assert wrong_alias(alias) is not None


def test_tools_are_given_names_that_clients_can_say_and_each_its_own() -> None:
    assert wrong_names({"a": "b", "c": "d.e/f-1"}) is None
    for renamed in ({"a": "b c"}, {"a": "b\u200b"}, {"a": ""}, {"a": "x" * 129}, {"a": "same", "b": "same"}):
        assert wrong_names(renamed) is not None
