from __future__ import annotations

from typing import Any

import pytest
from unit.a2a.cards.pretending import card_of

from pointsman.a2a.base import Interface
from pointsman.a2a.cards.reading import declared, interfaces, live_card, version_of
from pointsman.a2a.settings import AgentSettings

URL = "http://agent:8080"


def agent(url: str = URL, **more: Any) -> AgentSettings:
    return AgentSettings(id="a", name="A", url=url, **more)


def told(url: str, binding: str = "JSONRPC", version: str = "1.0", **more: Any) -> dict[str, Any]:
    return {"url": url, "protocolBinding": binding, "protocolVersion": version, **more}


def at(url: str, settings: AgentSettings) -> str:
    return interfaces([told(url)], settings)[0].url


@pytest.mark.requirement("a2a.registered-origin")
@pytest.mark.parametrize(
    ("registered", "url", "used"),
    [
        (URL, f"{URL}/rpc", f"{URL}/rpc"),
        (URL, "http://AGENT:8080/rpc", "http://AGENT:8080/rpc"),
        (URL, "/rpc", f"{URL}/rpc"),
        (URL, "http://localhost:9999/rpc", f"{URL}/rpc"),
        (URL, "http://0.0.0.0:9999/", f"{URL}/"),
        (URL, "http://[::]:9999", URL),
        (URL, "https://agent:8080/rpc", f"{URL}/rpc"),
        (URL, "https://evil.example/rpc", f"{URL}/rpc"),
        (URL, "http://agent:8080@evil.example/rpc", URL),
        ("https://proxy/agents/a", "http://localhost:9999/rpc", "https://proxy/agents/a"),
        ("https://proxy/?assistant_id=1", "http://localhost:9999/a2a/1", "https://proxy/a2a/1?assistant_id=1"),
    ],
)
def test_an_agent_is_called_where_it_is_registered_whatever_its_card_says(registered: str, url: str, used: str) -> None:
    assert at(url, agent(registered)) == used


def test_another_origin_is_called_where_the_registration_allows_it() -> None:
    settings = agent(allowed_origins=("https://other.example",))
    assert at("https://other.example/rpc", settings) == "https://other.example/rpc"
    assert at("https://other.example:8443/rpc", settings) == f"{URL}/rpc"


@pytest.mark.parametrize(
    ("binding", "version", "found"),
    [
        ("JSONRPC", "1.0", ("jsonrpc", "1.0")),
        ("json-rpc", "1.0.1", ("jsonrpc", "1.0")),
        ("HTTP+JSON", "0.3.0", ("rest", "0.3")),
        ("REST", "0.2.6", ("rest", "0.3")),
    ],
)
def test_bindings_and_versions_are_read_as_agents_write_them(
    binding: str, version: str, found: tuple[str, str]
) -> None:
    (one,) = interfaces([told(f"{URL}/x", binding, version)], agent())
    assert (one.binding, one.version) == found


@pytest.mark.parametrize("odd", [told("agent:50051", "GRPC"), told(URL, version="2.0"), told("http://["), {}])
def test_interfaces_that_cannot_be_called_are_passed_over(odd: dict[str, Any]) -> None:
    assert interfaces([odd, told(f"{URL}/x", tenant="t")], agent()) == (
        Interface(url=f"{URL}/x", binding="jsonrpc", version="1.0", tenant="t"),
    )


def test_what_the_registration_says_of_version_and_binding_counts() -> None:
    both = [told(f"{URL}/new"), told(f"{URL}/old", version="0.3"), told(f"{URL}/rest", "HTTP+JSON")]
    assert [one.url for one in interfaces(both, agent(protocol_version="0.3"))] == [f"{URL}/old"]
    assert [one.url for one in interfaces(both, agent(binding="rest"))] == [f"{URL}/rest"]
    pinned = interfaces(both, agent(binding="rest", protocol_version="0.3"))
    assert pinned == (Interface(url=URL, binding="rest", version="0.3"),)


def test_of_an_agent_whose_card_names_no_way_to_it_both_versions_are_tried() -> None:
    found = interfaces([], agent())
    assert [(one.url, one.binding, one.version) for one in found] == [(URL, "jsonrpc", "1.0"), (URL, "jsonrpc", "0.3")]
    assert interfaces([told(URL)], AgentSettings(id="a", name="A", model="gpt")) == ()


@pytest.mark.parametrize(
    ("text", "version"), [("1.0", "1.0"), ("1", "1.0"), ("0.2.9", "0.3"), ("2.0", None), ("10.0", None), (1, None)]
)
def test_versions_are_told_by_their_beginning(text: Any, version: str | None) -> None:
    assert version_of(text) == version


def test_a_card_of_version_0_3_is_read_into_the_form_of_1_0() -> None:
    document = {
        "name": "Old",
        "description": "x",
        "version": "1",
        "protocolVersion": "0.3.0",
        "url": "http://localhost:9999/rpc",
        "additionalInterfaces": [{"url": "http://localhost:9999/rest", "transport": "HTTP+JSON"}],
        "capabilities": {"streaming": True, "stateTransitionHistory": True},
        "supportsAuthenticatedExtendedCard": True,
        "skills": [],
    }
    found = live_card(document, agent(capabilities=("chat",)))
    assert found.card["capabilities"] == {"streaming": True, "extendedAgentCard": True}
    assert found.card["skills"] == [{"id": "chat", "name": "chat", "description": "chat", "tags": ["chat"]}]
    assert [(one.url, one.binding, one.version) for one in found.interfaces] == [
        (f"{URL}/rpc", "jsonrpc", "0.3"),
        (f"{URL}/rest", "rest", "0.3"),
    ]


def test_the_operator_has_the_last_word() -> None:
    settings = agent(card={"name": "Ours", "capabilities": {"streaming": False}})
    for found in (live_card(card_of(URL), settings), declared(settings)):
        assert found.card["name"] == "Ours"
        assert found.card["capabilities"] == {"streaming": False}


def test_a_card_that_lacks_what_it_must_have_gets_it() -> None:
    found = live_card({"name": "Bare", "url": URL}, agent(description="From here", metadata={"version": "3.0"})).card
    assert (found["description"], found["version"]) == ("From here", "3.0")
    assert found["defaultInputModes"] == found["defaultOutputModes"] == ["text/plain"]


@pytest.mark.parametrize("odd", [{"skills": "x"}, {"capabilities": 1}, {"skills": [1]}])
def test_a_card_that_is_none_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Invalid agent response"):
        live_card({"name": "Odd", "url": URL, **odd}, agent())


def test_an_agent_that_was_never_reached_has_the_card_of_its_registration() -> None:
    found = declared(agent(description="Helps", capabilities=("chat", "code")))
    assert found.state == "declared"
    assert (found.card["name"], found.card["description"], found.card["version"]) == ("A", "Helps", "0.0.0")
    assert [skill["tags"] for skill in found.card["skills"]] == [["chat"], ["code"]]
    assert [one.version for one in found.interfaces] == ["1.0", "0.3"]


@pytest.mark.requirement("a2a.published-models")
def test_a_model_that_is_published_has_a_card_too() -> None:
    found = declared(AgentSettings(id="house", name="House", model="gpt"))
    assert found.card["capabilities"] == {"streaming": True}
    assert [skill["id"] for skill in found.card["skills"]] == ["chat"]
    assert found.interfaces == ()
    named = declared(AgentSettings(id="house", name="House", model="gpt", capabilities=("code",)))
    assert [skill["id"] for skill in named.card["skills"]] == ["code"]
