"""What a card of version 1.0 consists of, and which of it may be left out.

Source: the messages of ``a2a.proto`` of A2A 1.0.1, and section 8.4.1 of its specification. Members that a signer has
left out, because they hold nothing, have to be left out by whoever looks at the signature too; and members that the
messages do not have are in no signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec


class Shape(msgspec.Struct, frozen=True):
    """The members of a message."""

    stays: frozenset[str] = frozenset()
    """Those that are told even when they hold nothing: required ones, and ones that tell whether they were set."""
    goes: frozenset[str] = frozenset()
    """Others."""
    within: Mapping[str, Shape] = {}
    """Those of them that are messages themselves, or lists of messages."""
    each: Mapping[str, Shape] = {}
    """Those of them that are messages by name."""


def _shape(
    stays: str = "", goes: str = "", within: Mapping[str, Shape] | None = None, each: Mapping[str, Shape] | None = None
) -> Shape:
    return Shape(frozenset(stays.split()), frozenset(goes.split()), within or {}, each or {})


_FLOWS: Final = {
    "authorizationCode": _shape("authorizationUrl tokenUrl scopes", "refreshUrl pkceRequired"),
    "clientCredentials": _shape("tokenUrl scopes", "refreshUrl"),
    "deviceCode": _shape("deviceAuthorizationUrl tokenUrl scopes", "refreshUrl"),
    "implicit": _shape("", "authorizationUrl refreshUrl scopes"),
    "password": _shape("", "tokenUrl refreshUrl scopes"),
}
_SCHEMES: Final = {
    "apiKeySecurityScheme": _shape("location name", "description"),
    "httpAuthSecurityScheme": _shape("scheme", "description bearerFormat"),
    "oauth2SecurityScheme": _shape(
        "flows", "description oauth2MetadataUrl", {"flows": _shape(" ".join(_FLOWS), within=_FLOWS)}
    ),
    "openIdConnectSecurityScheme": _shape("openIdConnectUrl", "description"),
    "mtlsSecurityScheme": _shape("", "description"),
}
_REQUIREMENT: Final = _shape("", "schemes", each={"schemes": _shape("", "list")})
SKILL: Final = _shape(
    "id name description tags",
    "examples inputModes outputModes securityRequirements",
    {"securityRequirements": _REQUIREMENT},
)
EXTENSION: Final = _shape("params", "uri description required")
CARD: Final = _shape(
    "name description supportedInterfaces provider version documentationUrl capabilities defaultInputModes "
    "defaultOutputModes skills iconUrl",
    "securitySchemes securityRequirements",
    {
        "supportedInterfaces": _shape("url protocolBinding protocolVersion", "tenant"),
        "provider": _shape("url organization"),
        "capabilities": _shape(
            "streaming pushNotifications extendedAgentCard", "extensions", {"extensions": EXTENSION}
        ),
        "securityRequirements": _REQUIREMENT,
        "skills": SKILL,
    },
    {"securitySchemes": _shape(" ".join(_SCHEMES), within=_SCHEMES)},
)
"""Without ``signatures``."""


def known(value: Mapping[str, Any], shape: Shape = CARD) -> dict[str, Any]:
    """Without what the messages do not have."""
    return _message(value, shape, is_bare=False)


def bare(value: Mapping[str, Any], shape: Shape = CARD) -> dict[str, Any]:
    """And without what says nothing."""
    return _message(value, shape, is_bare=True)


def _message(value: Mapping[str, Any], shape: Shape, *, is_bare: bool) -> dict[str, Any]:
    found = {}
    for name, member in value.items():
        if member is None or not (name in shape.stays or name in shape.goes):
            continue
        told = _member(member, name, shape, is_bare=is_bare)
        if told or name in shape.stays or not is_bare:
            found[name] = told
    return found


def _member(value: Any, name: str, shape: Shape, *, is_bare: bool) -> Any:
    inner = shape.within.get(name)
    if inner is not None:
        if isinstance(value, list):
            return [_message(one, inner, is_bare=is_bare) for one in value if isinstance(one, dict)]
        return _message(value, inner, is_bare=is_bare) if isinstance(value, dict) else value
    inner = shape.each.get(name)
    if inner is not None and isinstance(value, dict):
        return {one: _message(each, inner, is_bare=is_bare) for one, each in value.items() if isinstance(each, dict)}
    return value
