"""The card of an agent as clients see it: with the gateway in the agent's place, in the form of one version or of both.

It consists of what the specification knows, and no text in it names the agent's host: a client that found it would go
past the gateway, or could not go anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from pointsman.a2a.base import LiveCard
from pointsman.a2a.capabilities import effective, extensions
from pointsman.a2a.cards import shapes
from pointsman.a2a.protocol import translation
from pointsman.a2a.settings import AgentSettings, CardForm

LEGACY_VERSION: Final = "0.3.0"
BINDINGS: Final = ("JSONRPC", "HTTP+JSON")
MODES: Final = ("text/plain",)

Card = dict[str, Any]


class Place(msgspec.Struct, frozen=True):
    """Where clients find an agent, and how they are let in."""

    base: str
    """The gateway's address."""
    url: str
    """The agent's, there."""
    schemes: Mapping[str, Mapping[str, Any]] = {}
    """Any of which will do, in the form of version 1.0."""


def served(live: LiveCard, settings: AgentSettings, place: Place) -> Card:
    """What clients are told of an agent, in the form of version 1.0 with the addresses of both versions."""
    told = _rid_of(_hosts(live, settings), place)
    source: Card = shapes.known({name: told(value) for name, value in live.card.items() if name in shapes.CARD.stays})
    card: Card = {
        "name": _text(source.get("name"), settings.name),
        "description": _text(source.get("description"), settings.name),
        "supportedInterfaces": [
            {"url": place.url, "protocolBinding": binding, "protocolVersion": version}
            for version in ("1.0", "0.3")
            for binding in BINDINGS
        ],
        "version": _text(source.get("version"), "0.0.0"),
        "capabilities": _capabilities(live, settings, source),
        "defaultInputModes": _texts(source.get("defaultInputModes")) or list(MODES),
        "defaultOutputModes": _texts(source.get("defaultOutputModes")) or list(MODES),
        "skills": [_skill(one) for one in _objects(source.get("skills"))],
    }
    if place.schemes:
        card["securitySchemes"] = {name: dict(scheme) for name, scheme in place.schemes.items()}
        card["securityRequirements"] = [{"schemes": {name: {"list": []}}} for name in place.schemes]
    card.update(_links(live.card, source, place))
    return card


def shaped(card: Card, form: CardForm) -> Card:
    """A card of :func:`served` in one form: that of 1.0 has no address of 0.3, and the other way round."""
    if form == "1.0":
        return _of_version(card, "1.0")
    legacy = {**translation.card(_of_version(card, "0.3"), "1.0", "0.3"), "protocolVersion": LEGACY_VERSION}
    if form == "0.3":
        return legacy
    schemes = legacy.get("securitySchemes", {})
    both = {**legacy, **card}
    if schemes:
        both["securitySchemes"] = {name: {**schemes[name], **one} for name, one in card["securitySchemes"].items()}
    return both


def _of_version(card: Card, version: str) -> Card:
    interfaces = [one for one in card["supportedInterfaces"] if one["protocolVersion"] == version]
    return {**card, "supportedInterfaces": interfaces}


def _capabilities(live: LiveCard, settings: AgentSettings, source: Card) -> Card:
    can = effective(settings, live)
    found: Card = {"streaming": can.streaming, "pushNotifications": can.push, "extendedAgentCard": can.extended_card}
    told = source.get("capabilities")
    if isinstance(told, dict):
        # The name of an extension is an address, and another one would be another extension.
        uris = extensions(live.card)
        kept = [one for one in _objects(told.get("extensions")) if _text(one.get("uri"), "") in uris]
        if kept:
            found["extensions"] = kept
    return found


def _skill(told: Card) -> Card:
    name = _text(told.get("name"), _text(told.get("id"), "skill"))
    found: Card = {
        "id": _text(told.get("id"), name),
        "name": name,
        "description": _text(told.get("description"), name),
        "tags": _texts(told.get("tags")),
    }
    for member in ("examples", "inputModes", "outputModes"):
        texts = _texts(told.get(member))
        if texts:
            found[member] = texts
    return found


def _links(before: Mapping[str, Any], source: Card, place: Place) -> Card:
    """Addresses that lead elsewhere, as long as that is not to the agent."""
    found: Card = {}
    for name in ("documentationUrl", "iconUrl"):
        if _is_link(source.get(name)) and source[name] == before.get(name):
            found[name] = source[name]
    provider, told = source.get("provider"), before.get("provider")
    if isinstance(provider, dict) and isinstance(told, dict):
        url = provider.get("url")
        is_same = _is_link(url) and url == told.get("url")
        found["provider"] = {
            "organization": _text(provider.get("organization"), "unknown"),
            "url": url if is_same else place.base,
        }
    return found


# -- the agent's own addresses ----------------------------------------------------------------------------------------


def _hosts(live: LiveCard, settings: AgentSettings) -> set[str]:
    """What the agent's hosts are called."""
    urls = [settings.url, settings.card_url, *settings.replicas, *settings.allowed_origins]
    urls += [one.url for one in live.interfaces]
    urls += [one["url"] for one in _objects(live.card.get("supportedInterfaces")) if isinstance(one.get("url"), str)]
    return {host for url in urls if (host := _host(url))}


def _host(url: str) -> str:
    try:
        # Addresses of gRPC have no scheme.
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _rid_of(hosts: Iterable[str], place: Place) -> Callable[[Any], Any]:
    """Puts the gateway into the place of ``hosts`` in all texts of a value."""
    patterns = [_pattern(host) for host in sorted(hosts, key=len, reverse=True)]
    if not patterns:
        return lambda value: value
    pattern = re.compile("|".join(patterns), re.IGNORECASE)
    bare = urlsplit(place.base).netloc

    def told(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda found: place.url if "://" in found[0] else bare, value)
        if isinstance(value, list):
            return [told(one) for one in value]
        if isinstance(value, dict):
            return {told(name): told(one) for name, one in value.items()}
        return value

    return told


def _pattern(host: str) -> str:
    name = re.escape(host)
    end = r"(?![\w-]|\.\w)"
    url = rf"[a-z]{{2,8}}://(?:[^\s/@]*@)?\[?{name}\]?(?::\d+)?{end}"
    if "." in host or ":" in host:
        return rf"{url}|(?<![\w.-])\[?{name}\]?(?::\d+)?{end}"
    # A name of one word can be any word.
    return rf"{url}|(?<![\w.-]){name}:\d+{end}"


# -- what agents tell carelessly --------------------------------------------------------------------------------------


def _text(value: Any, default: str) -> str:
    return value if isinstance(value, str) and value else default or "agent"


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []


def _objects(value: Any) -> list[Card]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and value.lower().startswith(("https://", "http://"))
