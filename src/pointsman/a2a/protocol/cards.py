"""Agent cards, from one version into the other.

A card of 1.0 lists its interfaces, wraps each security scheme in a member that says what it is, and has scopes in
objects; one of 0.3 has a main address with more beside it, and security as OpenAPI has it. A hybrid card has both; what
is made of it has the members of the one version only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pointsman.a2a.protocol.messages import Malformed, Object, map_of, object_of

LEGACY_ONLY: Final = (
    "url",
    "preferredTransport",
    "additionalInterfaces",
    "protocolVersion",
    "supportsAuthenticatedExtendedCard",
    "security",
)
MODERN_ONLY: Final = ("supportedInterfaces", "securityRequirements")
DEFAULT_VERSION: Final = "0.3"
DEFAULT_BINDING: Final = "JSONRPC"
SCHEMES: Final[Mapping[str, str]] = {
    "apiKey": "apiKeySecurityScheme",
    "http": "httpAuthSecurityScheme",
    "oauth2": "oauth2SecurityScheme",
    "openIdConnect": "openIdConnectSecurityScheme",
    "mutualTLS": "mtlsSecurityScheme",
}
"""By the type of 0.3: the member that 1.0 wraps it in."""
FLOWS: Final = ("authorizationCode", "clientCredentials", "implicit", "password")
"""Of 0.3, where several may stand side by side; of them 1.0 has the first."""
_TYPES: Final = {member: type_ for type_, member in SCHEMES.items()}


def modern_card(card: object) -> Object:
    """A card of 0.3, or a hybrid one, in 1.0."""
    found = object_of(card, "card")
    listed = found.get("supportedInterfaces")
    found["supportedInterfaces"] = listed if isinstance(listed, list) else legacy_interfaces(found)
    found["capabilities"] = _modern_capabilities(found)
    if (security := found.get("security")) is not None and found.get("securityRequirements") is None:
        found["securityRequirements"] = [_modern_requirement(one) for one in _list(security)]
    if (schemes := found.get("securitySchemes")) is not None:
        found["securitySchemes"] = {
            name: modern_scheme(one) for name, one in map_of(schemes, "securitySchemes").items()
        }
    found["skills"] = [_modern_skill(one) for one in _list(found.get("skills"))]
    return _without(found, LEGACY_ONLY)


def legacy_card(card: object) -> Object:
    """A card of 1.0, or a hybrid one, in 0.3.

    Of its interfaces those of 0.3 are told; where there is none, the others, for a card without any says nothing.
    """
    found = object_of(card, "card")
    _legacy_addresses(found)
    capabilities = object_of(found.get("capabilities") or {}, "capabilities")
    is_extended = capabilities.pop("extendedAgentCard", None)
    if is_extended is not None:
        found["supportsAuthenticatedExtendedCard"] = is_extended
    found["capabilities"] = capabilities
    if (required := found.get("securityRequirements")) is not None:
        found["security"] = [legacy_requirement(one) for one in _list(required)]
    if (schemes := found.get("securitySchemes")) is not None:
        found["securitySchemes"] = {
            name: legacy_scheme(one) for name, one in map_of(schemes, "securitySchemes").items()
        }
    found["skills"] = [_legacy_skill(one) for one in _list(found.get("skills"))]
    for name in ("name", "description", "version"):
        found.setdefault(name, "")
    for name in ("defaultInputModes", "defaultOutputModes"):
        found[name] = found.get(name) or []
    return _without(found, MODERN_ONLY)


def interfaces(card: Mapping[str, Any]) -> list[Object]:
    """The interfaces of a card of any form, in the form of 1.0 and the card's order: its preferred one first.

    Each has ``url``, ``protocolBinding`` and ``protocolVersion``, which is of two numbers; what has no address is left
    out. Those that only the members of 0.3 name come last.
    """
    listed = card.get("supportedInterfaces")
    found: list[Object] = []
    for one in [*_objects(listed), *legacy_interfaces(card)]:
        url = one.get("url")
        if not isinstance(url, str) or not url:
            continue
        binding, tenant = one.get("protocolBinding"), one.get("tenant")
        made: Object = {
            "url": url,
            "protocolBinding": binding if isinstance(binding, str) and binding else DEFAULT_BINDING,
            "protocolVersion": short_version(one.get("protocolVersion")),
        }
        if isinstance(tenant, str) and tenant:
            made["tenant"] = tenant
        if made not in found:
            found.append(made)
    return found


def short_version(text: object) -> str:
    """``0.3`` of ``0.3.0``; that of 0.3 where there is none."""
    return ".".join(text.strip().split(".")[:2]) if isinstance(text, str) and text.strip() else DEFAULT_VERSION


def legacy_interfaces(card: Mapping[str, Any]) -> list[Object]:
    """Those that the members of 0.3 name, in the form of 1.0; the main one is often told twice, and is here once."""
    version = card.get("protocolVersion") or DEFAULT_VERSION
    found: list[Object] = []
    if card.get("url"):
        binding = card.get("preferredTransport") or DEFAULT_BINDING
        found.append({"url": card["url"], "protocolBinding": binding, "protocolVersion": version})
    for one in _objects(card.get("additionalInterfaces")):
        made = {
            "url": one.get("url"),
            "protocolBinding": one.get("transport") or DEFAULT_BINDING,
            "protocolVersion": DEFAULT_VERSION,
        }
        if not any(made["url"] == it["url"] and made["protocolBinding"] == it["protocolBinding"] for it in found):
            found.append(made)
    return found


def modern_scheme(scheme: object) -> Object:
    """A security scheme of 0.3 in 1.0; one that is so already, or that nobody knows, as it is."""
    found = object_of(scheme, "securityScheme")
    member = SCHEMES.get(str(found.get("type")))
    if member is None:
        return found
    del found["type"]
    if "in" in found:
        found["location"] = found.pop("in")
    if isinstance(flows := found.get("flows"), dict):
        found["flows"] = {name: flows[name] for name in (*FLOWS, "deviceCode") if flows.get(name) is not None}
        for name in list(found["flows"])[1:]:
            del found["flows"][name]
    return {member: found}


def legacy_scheme(scheme: object) -> Object:
    """A security scheme of 1.0 in 0.3; one that is so already, or that nobody knows, as it is."""
    found = object_of(scheme, "securityScheme")
    member = next((name for name in _TYPES if isinstance(found.get(name), dict)), None)
    if member is None:
        return found
    made = {"type": _TYPES[member], **found[member]}
    if "location" in made:
        made["in"] = made.pop("location")
    if isinstance(flows := made.get("flows"), dict):
        # 0.3 does not know the flow for devices.
        made["flows"] = {name: one for name, one in flows.items() if name in FLOWS}
    return made


def _legacy_addresses(found: Object) -> None:
    listed = _objects(found.get("supportedInterfaces"))
    if not listed:
        found.setdefault("url", "")
        found["protocolVersion"] = found.get("protocolVersion") or DEFAULT_VERSION
        return
    main, *more = [one for one in listed if short_version(one.get("protocolVersion")).startswith("0.")] or listed
    found["url"] = main.get("url", "")
    found["preferredTransport"] = main.get("protocolBinding") or DEFAULT_BINDING
    found["protocolVersion"] = main.get("protocolVersion") or DEFAULT_VERSION
    found.pop("additionalInterfaces", None)
    if more:
        found["additionalInterfaces"] = [
            {"url": one.get("url", ""), "transport": one.get("protocolBinding") or DEFAULT_BINDING} for one in more
        ]


def _modern_capabilities(found: Mapping[str, Any]) -> Object:
    capabilities = object_of(found.get("capabilities") or {}, "capabilities")
    capabilities.pop("stateTransitionHistory", None)
    is_extended = found.get("supportsAuthenticatedExtendedCard")
    if is_extended is not None:
        capabilities.setdefault("extendedAgentCard", is_extended)
    return capabilities


def _modern_skill(skill: object) -> Object:
    found = object_of(skill, "skill")
    if (security := found.pop("security", None)) is not None and found.get("securityRequirements") is None:
        found["securityRequirements"] = [_modern_requirement(one) for one in _list(security)]
    return found


def _legacy_skill(skill: object) -> Object:
    found = object_of(skill, "skill")
    if (required := found.pop("securityRequirements", None)) is not None:
        found["security"] = [legacy_requirement(one) for one in _list(required)]
    for name in ("id", "name", "description"):
        found.setdefault(name, "")
    found["tags"] = found.get("tags") or []
    return found


def _modern_requirement(required: object) -> Object:
    return {"schemes": {name: {"list": scopes} for name, scopes in map_of(required, "security").items()}}


def legacy_requirement(required: object) -> Object:
    """Security that 1.0 requires, in 0.3."""
    schemes = object_of(required, "securityRequirements").get("schemes") or {}
    return {
        name: one.get("list") or [] if isinstance(one, dict) else [] for name, one in map_of(schemes, "schemes").items()
    }


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed("A member of a card has to be a list")
    return value


def _objects(value: object) -> list[Object]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _without(found: Object, names: tuple[str, ...]) -> Object:
    for name in names:
        found.pop(name, None)
    return found
