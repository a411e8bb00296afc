from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.base import LiveCard
from pointsman.a2a.capabilities import Capabilities, effective, extensions
from pointsman.a2a.settings import AgentSettings


def found(capabilities: Any, **settings: Any) -> Capabilities:
    card = LiveCard(card={"capabilities": capabilities}, interfaces=(), state="live")
    return effective(AgentSettings(id="a", name="a", **settings), card)


def test_an_agent_can_do_what_its_card_says() -> None:
    every = {"streaming": True, "pushNotifications": True, "extendedAgentCard": True}
    assert found(every) == Capabilities(streaming=True, push=True, extended_card=True)
    assert found({"streaming": "yes"}) == found(None) == found([]) == Capabilities()


def test_the_gateway_adds_what_it_was_told_to() -> None:
    assert found({}, adds=("streaming",)).streaming
    assert found({}, adds=("push",), push="relay").push


@pytest.mark.parametrize(
    ("push", "adds", "is_there"), [("off", (), False), ("pass", ("push",), True), ("relay", (), True)]
)
def test_push_can_be_switched_off(push: Any, adds: Any, is_there: bool) -> None:
    assert found({"pushNotifications": True}, push=push, adds=adds).push is is_there


def test_passing_on_adds_nothing_to_an_agent_that_cannot_push() -> None:
    assert not found({}, push="pass", adds=("push",)).push


@pytest.mark.parametrize(
    ("told", "uris"),
    [
        ({"extensions": [{"uri": "urn:x"}, {"uri": []}, {"uri": {}}, {}, 5]}, {"urn:x"}),
        ({"extensions": 5}, set()),
        ({"extensions": {"uri": "urn:x"}}, set()),
        ([], set()),
        (None, set()),
    ],
)
def test_extensions_are_known_by_what_is_an_address(told: Any, uris: set[str]) -> None:
    assert extensions({"capabilities": told}) == uris
