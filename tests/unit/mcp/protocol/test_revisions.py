from __future__ import annotations

from typing import Any

import pytest

from pointsman.mcp.protocol.revisions import LEGACY, MODERN, is_logged, missing, negotiate


@pytest.mark.parametrize("asked", [*MODERN, "2030-01-01", "", None, 3, ["2025-06-18"]])
def test_who_asks_for_a_revision_without_sessions_gets_the_newest_with(asked: object) -> None:
    assert negotiate(asked) == LEGACY[0] == "2025-11-25"


@pytest.mark.parametrize("asked", LEGACY)
def test_who_asks_for_a_revision_that_there_is_gets_it(asked: str) -> None:
    assert negotiate(asked) == asked


@pytest.mark.parametrize(
    ("method", "params", "capabilities", "lacking"),
    [
        ("roots/list", {}, {"roots": {}}, None),
        ("roots/list", {}, {}, {"roots": {}}),
        ("roots/list", {}, {"roots": True}, {"roots": {}}),
        ("sampling/createMessage", {}, {"sampling": {}}, None),
        ("sampling/createMessage", {"tools": []}, {"sampling": {}}, {"sampling": {"tools": {}}}),
        ("sampling/createMessage", {"tools": []}, {"sampling": {"tools": {}}}, None),
        ("elicitation/create", {}, {"elicitation": {}}, None),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {"form": {}}}, None),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
        ("elicitation/create", {"mode": ["url"]}, {"elicitation": {}}, None),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {}}, {"elicitation": {"url": {}}}),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {"url": {}}}, None),
        ("vendor/do", {}, {"roots": {}}, {"experimental": {"vendor/do": {}}}),
    ],
)
def test_a_client_is_asked_only_for_what_it_has_declared(
    method: str, params: dict[str, Any], capabilities: dict[str, Any], lacking: dict[str, Any] | None
) -> None:
    assert missing(method, params, capabilities) == lacking


@pytest.mark.parametrize(
    ("level", "least", "is_wanted"),
    [
        ("info", None, True),
        ("info", "info", True),
        ("debug", "info", False),
        ("emergency", "alert", True),
        ("x", "info", True),
        ([], "info", True),
    ],
)
def test_log_messages_are_wanted_from_a_level_on(level: object, least: str | None, *, is_wanted: bool) -> None:
    assert is_logged(level, least) is is_wanted
