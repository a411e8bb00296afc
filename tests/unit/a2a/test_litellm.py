from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.litellm import NotTaken, body_of, from_card, id_of, told
from pointsman.a2a.settings import AgentSettings

CARD: dict[str, Any] = {
    "protocolVersion": "0.3.0",
    "name": "Hello World",
    "description": "Says hello",
    "url": "http://agent:9999/",
    "version": "1.0.0",
    "preferredTransport": "JSONRPC",
    "defaultInputModes": ["text"],
    "defaultOutputModes": ["text"],
    "capabilities": {"streaming": True, "stateTransitionHistory": True, "pushNotifications": None},
    "skills": [{"id": "hi", "name": "Hi", "description": "x", "tags": ["hello"], "security": [{"k": []}]}],
    "securitySchemes": {"k": {"type": "http"}},
    "supportsAuthenticatedExtendedCard": True,
}


def test_where_an_agent_is_becomes_its_address_and_what_it_says_of_itself_is_kept() -> None:
    found = from_card(CARD)
    assert (found["url"], found["name"], found["description"]) == ("http://agent:9999/", "Hello World", "Says hello")
    assert found["card"] == {
        "version": "1.0.0",
        "defaultInputModes": ["text"],
        "defaultOutputModes": ["text"],
        "capabilities": {"streaming": True},
        "skills": [{"id": "hi", "name": "Hi", "description": "x", "tags": ["hello"]}],
    }


def test_a_card_that_says_little_or_strange_things_is_as_good_as_it_is() -> None:
    assert from_card({}) == {}
    assert from_card({"url": 5, "skills": "x", "capabilities": [1]}) == {"card": {"skills": "x", "capabilities": [1]}}
    assert from_card({"skills": [1, {"id": "a"}]}) == {"card": {"skills": [1, {"id": "a"}]}}


@pytest.mark.parametrize(
    ("name", "found"),
    [("hello-world", "hello-world"), ("Hello World!", "Hello-World"), ("é", ""), ("x" * 80, "x" * 64), ("a.b", "a-b")],
)
def test_a_name_is_an_id_where_it_can_stand_in_a_path(name: str, found: str) -> None:
    assert id_of(name) == found


def test_a_body_becomes_one_of_the_registry() -> None:
    given = {
        "agent_name": "hello",
        "agent_card_params": CARD,
        "litellm_params": {"make_public": True, "cost_per_query": 0.5},
        "static_headers": {"x-a": "b"},
        "extra_headers": ["x-trace"],
        "object_permission": None,
        "tpm_limit": None,
        "enabled": True,
    }
    body = body_of(given)
    assert (body["name"], body["url"], body["public"], body["cost_per_message"]) == (
        "hello",
        CARD["url"],
        True,
        0.5,
    )
    assert (body["static_headers"], body["extra_headers"]) == ({"x-a": "b"}, ["x-trace"])
    assert body_of({"agent_card_params": {"name": "N"}})["name"] == "N"


@pytest.mark.parametrize(
    ("given", "member"),
    [
        ({"agent_name": "a", "tpm_limit": 5}, "tpm_limit"),
        ({"agent_name": "a", "litellm_params": {"custom_llm_provider": "x"}}, "litellm_params.custom_llm_provider"),
        ({"agent_name": 5}, "agent_name"),
        ({"agent_name": "a", "agent_card_params": [1]}, "agent_card_params"),
        ({"agent_name": "a", "litellm_params": "x"}, "litellm_params"),
    ],
)
def test_what_nothing_can_be_made_of_is_named(given: dict[str, Any], member: str) -> None:
    with pytest.raises(NotTaken, match=member):
        body_of(given)


def test_where_an_agent_is_is_told_to_those_who_may_know() -> None:
    agent = AgentSettings(id="a", name="A", description="d", url="https://h/a?key=canary", card={"version": "2"})
    whole = told(agent, is_whole=True)
    assert (whole["agent_id"], whole["agent_name"]) == ("a", "A")
    assert whole["agent_card_params"] == {"name": "A", "description": "d", "version": "2", "url": "https://h/a"}
    assert "https" not in str(told(agent, is_whole=False))
