from __future__ import annotations

from typing import Any

import msgspec
from unit.mcp.pretending import Pretending, client, legacy, server

from pointsman.mcp.base import Introduction
from pointsman.mcp.introducing import MAX_INSTRUCTIONS, together
from pointsman.mcp.settings import ServerSettings

CHANGES = {"listChanged": True}


def said(name: str, **said: Any) -> tuple[ServerSettings, Introduction]:
    return server(name), Pretending({}, **said).said


def test_several_can_what_any_of_them_can_and_may_change() -> None:
    found = together(
        client(),
        [
            said("a", capabilities={"tools": {}, "vendor": {"x": 1}}),
            said("b", capabilities={"tools": {}, "resources": {"subscribe": True}, "logging": {}}),
        ],
    )
    assert found.capabilities == {
        "tools": CHANGES,
        "vendor": {"x": 1},
        "resources": {"subscribe": True, **CHANGES},
        "logging": {},
    }
    assert msgspec.json.decode(found.raw) == {"capabilities": found.capabilities, "serverInfo": found.info}


def test_where_one_has_said_nothing_yet_there_may_be_more() -> None:
    found = together(client(), [said("a", capabilities={"tools": {}}), (server("b"), None)])
    assert found.capabilities == {"tools": CHANGES, "prompts": CHANGES, "resources": CHANGES}
    assert together(client(), []).capabilities == found.capabilities


def test_it_is_of_the_era_of_the_client() -> None:
    found = together(legacy(), [said("a")])
    assert (found.era, found.revision) == ("legacy", "2025-11-25")


def test_instructions_tell_whose_they_are_and_have_a_bound() -> None:
    found = together(client(), [said("a", instructions="Do."), said("b"), said("c", instructions="x" * 100_000)])
    assert (found.instructions or "").startswith("a: Do.\n\nc: xxx")
    assert len(found.instructions or "") == MAX_INSTRUCTIONS
    assert together(client(), [said("b")]).instructions is None
