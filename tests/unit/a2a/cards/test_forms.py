from __future__ import annotations

import json
from typing import Any

import pytest
from unit.a2a.cards.pretending import card_of

from pointsman.a2a.base import LiveCard
from pointsman.a2a.cards.forms import Place, served, shaped
from pointsman.a2a.cards.reading import declared, live_card
from pointsman.a2a.settings import AgentSettings, CardForm

BASE = "https://gate.example"
HERE = f"{BASE}/a2a/agents/demo"
INSIDE = "http://agent.internal:8080"
BEARER = {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}
OPEN, CLOSED = Place(BASE, HERE), Place(BASE, HERE, BEARER)
FORMS: tuple[CardForm, ...] = ("1.0", "0.3", "hybrid")


def agent(url: str = INSIDE, **more: Any) -> AgentSettings:
    return AgentSettings(id="demo", name="Demo", url=url, **more)


def live(settings: AgentSettings | None = None, **more: Any) -> LiveCard:
    settings = settings or agent()
    return live_card(card_of(f"{settings.url}/rpc", **more), settings)


def shown(form: CardForm, settings: AgentSettings | None = None, place: Place = CLOSED, **more: Any) -> dict[str, Any]:
    settings = settings or agent()
    return shaped(served(live(settings, **more), settings, place), form)


def test_a_card_of_version_1_0_leads_to_the_gateway_and_to_nobody_else() -> None:
    assert shown("1.0") == {
        "name": "Echo",
        "description": "Says it again",
        "supportedInterfaces": [
            {"url": HERE, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": HERE, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
        ],
        "version": "2.1.0",
        "capabilities": {"streaming": True, "pushNotifications": False, "extendedAgentCard": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "echo", "name": "Echo", "description": "Says it again", "tags": ["echo"]}],
        "securitySchemes": BEARER,
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
    }


@pytest.mark.requirement("a2a.card-forms")
def test_a_card_of_version_0_3_has_its_members_and_no_others() -> None:
    assert shown("0.3") == {
        "name": "Echo",
        "description": "Says it again",
        "url": HERE,
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "additionalInterfaces": [{"url": HERE, "transport": "HTTP+JSON"}],
        "supportsAuthenticatedExtendedCard": False,
        "version": "2.1.0",
        "capabilities": {"streaming": True, "pushNotifications": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "echo", "name": "Echo", "description": "Says it again", "tags": ["echo"]}],
        "securitySchemes": {"bearer": {"type": "http", "scheme": "Bearer"}},
        "security": [{"bearer": []}],
    }


@pytest.mark.requirement("a2a.card-forms")
def test_a_hybrid_card_can_be_read_by_clients_of_both_versions() -> None:
    old, new, both = shown("0.3"), shown("1.0"), shown("hybrid")
    assert both.keys() == old.keys() | new.keys()
    assert [(one["protocolVersion"], one["url"]) for one in both["supportedInterfaces"]] == [
        *[("1.0", HERE)] * 2,
        *[("0.3", HERE)] * 2,
    ]
    assert both["securitySchemes"] == {"bearer": {"type": "http", "scheme": "Bearer"} | BEARER["bearer"]}
    for member in ("url", "preferredTransport", "additionalInterfaces", "protocolVersion", "security"):
        assert both[member] == old[member]


@pytest.mark.parametrize("form", FORMS)
def test_a_public_agent_asks_for_no_key(form: CardForm) -> None:
    found = shown(form, place=OPEN)
    assert not found.keys() & {"securitySchemes", "securityRequirements", "security"}


@pytest.mark.requirement("a2a.leaks")
@pytest.mark.parametrize("form", FORMS)
def test_nothing_in_a_card_leads_to_the_agent(form: CardForm) -> None:
    settings = agent(
        replicas=("http://10.1.2.3:8080", "http://[fd00::7]:8080"), card_url="https://cards.internal/a.json"
    )
    found = shown(
        form,
        settings,
        description=f"See {INSIDE}/docs or AGENT.internal:8080, 10.1.2.3, [fd00::7]:8080 and agent.internal.",
        provider={"organization": "Us", "url": f"{INSIDE}/about"},
        documentationUrl=f"{INSIDE}/docs",
        iconUrl="https://cards.internal/icon.png",
        url=f"{INSIDE}/rpc",
        additionalInterfaces=[{"url": f"{INSIDE}/rest", "transport": "HTTP+JSON"}],
        securitySchemes={"o": {"openIdConnectSecurityScheme": {"openIdConnectUrl": f"{INSIDE}/oidc"}}},
        securityRequirements=[{"schemes": {"o": {"list": []}}}],
        signatures=[{"protected": "x", "signature": "y"}],
        capabilities={
            "streaming": True,
            "extensions": [
                {"uri": f"{INSIDE}/ext"},
                {"uri": "https://ext.example/v1", "params": {"at": f"{INSIDE}/x", "agent.internal": ["10.1.2.3:1"]}},
            ],
        },
        skills=[
            {
                "id": "a",
                "name": "A",
                "description": "user:pw http://user:pw@agent.internal:8080/x",
                "tags": ["agent.internal"],
                "examples": ["GET http://10.1.2.3/"],
                "x-endpoint": INSIDE,
            }
        ],
        xBackend=INSIDE,
    )
    text = json.dumps(found).lower()
    for secret in ("internal", "10.1.2.3", "fd00::7", "8080", "user:pw@"):
        assert secret not in text
    assert not found.keys() & {"documentationUrl", "iconUrl"}
    assert found["provider"] == {"organization": "Us", "url": BASE}
    assert found["description"] == f"See {HERE}/docs or gate.example, gate.example, gate.example and gate.example."
    assert [one["uri"] for one in found["capabilities"]["extensions"]] == ["https://ext.example/v1"]


def test_a_host_of_one_word_is_not_taken_out_of_sentences() -> None:
    settings = agent("http://agent:8080")
    found = shown("1.0", settings, description="An agent at agent:8080, http://agent, not http://agent.example/")
    assert found["description"] == f"An agent at gate.example, {HERE}, not http://agent.example/"


def test_addresses_of_others_stay() -> None:
    links: dict[str, Any] = {
        "provider": {"organization": "Us", "url": "https://us.example"},
        "documentationUrl": "https://docs.example/a",
        "iconUrl": "https://cdn.example/i.png",
    }
    assert links.items() <= shown("1.0", **links).items()
    assert "iconUrl" not in shown("1.0", iconUrl="javascript:alert(1)")


@pytest.mark.parametrize(
    ("said", "settings", "told"),
    [
        ({"streaming": False}, agent(), {"streaming": False}),
        ({}, agent(adds=("streaming",)), {"streaming": True}),
        ({"pushNotifications": True}, agent(push="off"), {"pushNotifications": False}),
        ({"pushNotifications": True}, agent(), {"pushNotifications": True}),
        ({}, agent(push="relay", adds=("push",)), {"pushNotifications": True}),
        ({"extendedAgentCard": True}, agent(), {"extendedAgentCard": True}),
    ],
)
def test_a_card_promises_what_the_gateway_keeps(
    said: dict[str, bool], settings: AgentSettings, told: dict[str, bool]
) -> None:
    assert told.items() <= shown("1.0", settings, capabilities=said)["capabilities"].items()


def test_what_an_agent_has_told_carelessly_is_put_right() -> None:
    found = shown(
        "1.0",
        name=7,
        description=None,
        version="",
        defaultInputModes="text",
        defaultOutputModes=[1, "a/b"],
        provider="me",
        skills=[{}, {"id": "x", "tags": "y", "inputModes": ["a/b"]}],
    )
    assert (found["name"], found["description"], found["version"]) == ("Demo", "Demo", "0.0.0")
    assert (found["defaultInputModes"], found["defaultOutputModes"]) == (["text/plain"], ["a/b"])
    assert "provider" not in found
    assert found["skills"] == [
        {"id": "skill", "name": "skill", "description": "skill", "tags": []},
        {"id": "x", "name": "x", "description": "x", "tags": [], "inputModes": ["a/b"]},
    ]


@pytest.mark.parametrize("form", FORMS)
def test_an_extension_without_a_name_is_none(form: CardForm) -> None:
    told = [{"uri": []}, {"uri": "urn:x", "required": True}, {"uri": {}}, {}]
    found = shown(form, capabilities={"extensions": told})
    assert found["capabilities"]["extensions"] == [{"uri": "urn:x", "required": True}]


@pytest.mark.parametrize("form", FORMS)
def test_an_agent_that_was_never_reached_has_a_card_too(form: CardForm) -> None:
    settings = agent(capabilities=("chat",))
    found = shaped(served(declared(settings), settings, OPEN), form)
    assert found["skills"] == [{"id": "chat", "name": "chat", "description": "chat", "tags": ["chat"]}]
    assert INSIDE not in json.dumps(found)


def test_a_model_has_a_card_as_well() -> None:
    settings = AgentSettings(id="demo", name="Demo", model="gpt")
    found = shaped(served(declared(settings), settings, OPEN), "1.0")
    assert (found["name"], found["supportedInterfaces"][0]["url"]) == ("Demo", HERE)
