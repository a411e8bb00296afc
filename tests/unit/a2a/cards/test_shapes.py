from __future__ import annotations

from typing import Any

from pointsman.a2a.cards.shapes import bare, known


def test_what_says_nothing_is_left_out_as_the_specification_does_in_its_example() -> None:
    card = {
        "name": "Example Agent",
        "description": "",
        "capabilities": {"streaming": False, "pushNotifications": False, "extensions": []},
        "skills": [],
    }
    assert bare(card) == {
        "name": "Example Agent",
        "description": "",
        "capabilities": {"streaming": False, "pushNotifications": False},
        "skills": [],
    }


def test_members_that_no_message_has_are_left_out_on_every_level() -> None:
    card = {
        "name": "A",
        "url": "http://inside:1",
        "x-internal": 1,
        "signatures": [{}],
        "provider": {"organization": "O", "url": "https://o.example", "phone": "1"},
        "supportedInterfaces": [{"url": "http://inside:1", "protocolBinding": "JSONRPC", "extra": 1}, "nothing"],
        "skills": [{"id": "s", "security": [], "securityRequirements": [{"schemes": {"a": {"list": [], "b": 1}}}]}],
        "securitySchemes": {"a": {"type": "http", "httpAuthSecurityScheme": {"scheme": "Bearer", "type": "http"}}},
        "capabilities": {
            "stateTransitionHistory": True,
            "extensions": [{"uri": "u", "params": {"any": {"thing": []}}}],
        },
    }
    assert known(card) == {
        "name": "A",
        "provider": {"organization": "O", "url": "https://o.example"},
        "supportedInterfaces": [{"url": "http://inside:1", "protocolBinding": "JSONRPC"}],
        "skills": [{"id": "s", "securityRequirements": [{"schemes": {"a": {"list": []}}}]}],
        "securitySchemes": {"a": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "capabilities": {"extensions": [{"uri": "u", "params": {"any": {"thing": []}}}]},
    }


def test_messages_stay_where_their_members_go() -> None:
    card: dict[str, Any] = {
        "securityRequirements": [{"schemes": {"a": {"list": []}}}],
        "provider": {},
        "documentationUrl": "",
        "iconUrl": None,
        "skills": [{"examples": [], "tags": []}],
        "capabilities": {"extensions": [{"uri": "", "required": False, "params": {}}]},
    }
    assert bare(card) == {
        "securityRequirements": [{"schemes": {"a": {}}}],
        "provider": {},
        "documentationUrl": "",
        "skills": [{"tags": []}],
        "capabilities": {"extensions": [{"params": {}}]},
    }
