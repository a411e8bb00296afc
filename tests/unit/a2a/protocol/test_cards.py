from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.protocol.cards import (
    interfaces,
    legacy_card,
    legacy_interfaces,
    legacy_scheme,
    modern_card,
    modern_scheme,
    short_version,
)
from pointsman.a2a.protocol.messages import Malformed

COMMON: dict[str, Any] = {
    "name": "n",
    "description": "d",
    "version": "1",
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "x-own": 1,
}
SKILL = {"id": "s", "name": "s", "description": "s", "tags": ["t"]}
MODERN: dict[str, Any] = COMMON | {
    "supportedInterfaces": [
        {"url": "https://a/1", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
        {"url": "https://a/2", "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"},
    ],
    "capabilities": {"streaming": True, "extendedAgentCard": True},
    "skills": [SKILL | {"securityRequirements": [{"schemes": {"key": {"list": []}}}]}],
    "securityRequirements": [{"schemes": {"key": {"list": ["read"]}}}],
    "securitySchemes": {"key": {"apiKeySecurityScheme": {"location": "header", "name": "x-key"}}},
}
LEGACY: dict[str, Any] = COMMON | {
    "url": "https://a/1",
    "preferredTransport": "JSONRPC",
    "protocolVersion": "0.3",
    "additionalInterfaces": [{"url": "https://a/2", "transport": "HTTP+JSON"}],
    "capabilities": {"streaming": True},
    "supportsAuthenticatedExtendedCard": True,
    "skills": [SKILL | {"security": [{"key": []}]}],
    "security": [{"key": ["read"]}],
    "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-key"}},
}


def test_a_card_goes_to_the_other_version_and_back() -> None:
    assert legacy_card(MODERN) == LEGACY
    assert modern_card(LEGACY) == MODERN


def test_of_a_hybrid_card_the_members_of_one_version_are_left() -> None:
    hybrid = LEGACY | {"supportedInterfaces": MODERN["supportedInterfaces"]}
    assert modern_card(hybrid) == MODERN
    assert legacy_card(MODERN | {"url": "https://other", "preferredTransport": "GRPC"}) == LEGACY


def test_0_3_gets_the_interfaces_of_0_3() -> None:
    modern = {"url": "https://a/new", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    card = MODERN | {"supportedInterfaces": [modern, *MODERN["supportedInterfaces"]]}
    assert legacy_card(card)["url"] == "https://a/1"
    alone = legacy_card(MODERN | {"supportedInterfaces": [modern]})
    assert (alone["url"], alone["protocolVersion"]) == ("https://a/new", "1.0")
    assert "additionalInterfaces" not in alone


def test_what_is_gone_in_1_0_is_left_out() -> None:
    card = modern_card(LEGACY | {"capabilities": {"stateTransitionHistory": True}})
    assert card["capabilities"] == {"extendedAgentCard": True}


def test_what_0_3_has_to_have_is_there() -> None:
    assert legacy_card({}) == {
        "name": "",
        "description": "",
        "version": "",
        "url": "",
        "protocolVersion": "0.3",
        "capabilities": {},
        "skills": [],
        "defaultInputModes": [],
        "defaultOutputModes": [],
    }
    assert legacy_card({"skills": [{}]})["skills"] == [{"id": "", "name": "", "description": "", "tags": []}]


def test_a_card_of_nothing_can_be_read() -> None:
    assert modern_card({}) == {"supportedInterfaces": [], "capabilities": {}, "skills": []}


def test_a_main_address_that_is_told_twice_is_there_once() -> None:
    card = {
        "url": "u",
        "additionalInterfaces": [{"url": "u", "transport": "JSONRPC"}, {"url": "u", "transport": "GRPC"}],
    }
    assert [one["protocolBinding"] for one in legacy_interfaces(card)] == ["JSONRPC", "GRPC"]


def test_all_interfaces_of_a_card_are_listed_in_one_form() -> None:
    card = {
        "url": "https://a/old",
        "protocolVersion": "0.3.0",
        "supportedInterfaces": [
            {"url": "https://a/new", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "x"},
            {"url": ""},
            "nonsense",
        ],
    }
    assert interfaces(card) == [
        {"url": "https://a/new", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "x"},
        {"url": "https://a/old", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
    ]
    assert interfaces({"supportedInterfaces": 5, "additionalInterfaces": [5]}) == []


@pytest.mark.parametrize(
    ("text", "short"), [("0.3.0", "0.3"), ("1.0", "1.0"), (" 1.0.1 ", "1.0"), ("", "0.3"), (None, "0.3"), (1, "0.3")]
)
def test_a_version_has_two_numbers(text: object, short: str) -> None:
    assert short_version(text) == short


@pytest.mark.parametrize(
    ("modern", "legacy"),
    [
        ({"httpAuthSecurityScheme": {"scheme": "bearer"}}, {"type": "http", "scheme": "bearer"}),
        ({"mtlsSecurityScheme": {}}, {"type": "mutualTLS"}),
        (
            {"openIdConnectSecurityScheme": {"openIdConnectUrl": "u"}},
            {"type": "openIdConnect", "openIdConnectUrl": "u"},
        ),
        (
            {"oauth2SecurityScheme": {"flows": {"clientCredentials": {"tokenUrl": "t", "scopes": {}}}}},
            {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "t", "scopes": {}}}},
        ),
    ],
)
def test_a_security_scheme_is_told_in_both(modern: dict[str, Any], legacy: dict[str, Any]) -> None:
    assert legacy_scheme(modern) == legacy
    assert modern_scheme(legacy) == modern
    assert modern_scheme(modern) == modern
    assert legacy_scheme(legacy) == legacy


def test_of_several_flows_1_0_has_the_first_and_0_3_none_for_devices() -> None:
    several = {"type": "oauth2", "flows": {"password": {"scopes": {}}, "authorizationCode": {"scopes": {}}}}
    assert modern_scheme(several) == {"oauth2SecurityScheme": {"flows": {"authorizationCode": {"scopes": {}}}}}
    assert legacy_scheme({"oauth2SecurityScheme": {"flows": {"deviceCode": {}}}}) == {"type": "oauth2", "flows": {}}


@pytest.mark.parametrize(
    "card",
    [
        None,
        [],
        {"skills": {}},
        {"skills": [5]},
        {"capabilities": [5]},
        {"securitySchemes": [5]},
        {"securitySchemes": {"a": 5}},
        {"security": 5, "securityRequirements": 5},
    ],
)
@pytest.mark.parametrize("convert", [modern_card, legacy_card])
def test_what_is_no_card_is_malformed(card: object, convert: Any) -> None:
    if isinstance(card, dict) and "security" in card and convert is modern_card:
        card = {"security": 5}
    with pytest.raises(Malformed):
        convert(card)
