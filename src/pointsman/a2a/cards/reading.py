"""What the gateway makes of a card: one form, and addresses that may be called. And of an agent without one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from pointsman.a2a.base import Interface, LiveCard
from pointsman.a2a.protocol import cards, translation
from pointsman.a2a.protocol.operations import VERSIONS, Binding, Version
from pointsman.a2a.settings import AgentSettings
from pointsman.upstream.routes import parse_origin
from pointsman.wire.jsonrpc import RpcError

BINDINGS: Final[Mapping[str, Binding]] = {
    "JSONRPC": "jsonrpc",
    "HTTPJSON": "rest",
    "REST": "rest",
}
MODES: Final = ["text/plain"]
CHAT: Final = {"id": "chat", "name": "Chat", "description": "Answers what it is asked.", "tags": ["chat"]}
"""What a model can do of which nothing else is said."""


def live_card(
    document: Mapping[str, Any], settings: AgentSettings, *, state: str = "live", verdict: str = "unsigned"
) -> LiveCard:
    """What an agent's card says, with what its registration says otherwise.

    :raises ValueError: it cannot be read
    """
    try:
        card = translation.card(dict(document), "0.3", "1.0")
        told = cards.interfaces(document)
    except RpcError as error:
        raise ValueError(error.message) from error
    card = {**_bare(settings), **card}
    if not card["skills"]:
        card["skills"] = _skills(settings)
    card.update(settings.card)
    return LiveCard(card=card, interfaces=interfaces(told, settings), state=state, verdict=verdict)


def declared(settings: AgentSettings) -> LiveCard:
    """What the registration alone says. How the agent speaks is not known then."""
    card = {**_bare(settings), "skills": _skills(settings), "capabilities": {"streaming": True}, **settings.card}
    told = [{"url": settings.url, "protocolBinding": "JSONRPC", "protocolVersion": one} for one in VERSIONS]
    return LiveCard(card=card, interfaces=interfaces(told, settings), state="declared")


def interfaces(told: Iterable[Mapping[str, Any]], settings: AgentSettings) -> tuple[Interface, ...]:
    """Those that may be called, as the registration wants them; one at the least, if the agent has an address.

    Where a card names another host than the registered one, it is the card that is wrong: agents often know only what
    they are called inside of their network, and one that leads elsewhere on purpose is not followed.
    """
    if not settings.url:
        return ()
    found = dict.fromkeys(_readable(told, settings))
    version, binding = settings.protocol_version, settings.binding
    fitting = [one for one in found if version in (None, one.version) and binding in (None, one.binding)]
    if fitting:
        return tuple(fitting)
    versions = VERSIONS if version is None else (version,)
    return tuple(Interface(url=settings.url, binding=binding or "jsonrpc", version=one) for one in versions)


def version_of(text: Any) -> Version | None:
    """The version of the protocol that a text such as ``0.3.0`` means; ``None``: none that is spoken here."""
    if not isinstance(text, str) or not text:
        return None
    return "1.0" if text.startswith("1.") or text == "1" else "0.3" if text.startswith("0.") else None


def _readable(told: Iterable[Mapping[str, Any]], settings: AgentSettings) -> Iterator[Interface]:
    for one in told:
        binding = BINDINGS.get(str(one.get("protocolBinding")).upper().replace("+", "").replace("-", ""))
        version = version_of(one.get("protocolVersion"))
        url, tenant = one.get("url"), one.get("tenant")
        if binding is not None and version is not None and isinstance(url, str):
            try:
                home = _at_home(urljoin(settings.url, url), settings)
            except ValueError:
                continue
            yield Interface(
                url=home, binding=binding, version=version, tenant=tenant if isinstance(tenant, str) else ""
            )


def _at_home(url: str, settings: AgentSettings) -> str:
    own = {parse_origin(one) for one in (settings.url, *settings.allowed_origins)}
    if parse_origin(url) in own:
        return url
    registered, parts = urlsplit(settings.url), urlsplit(url)
    if registered.path.strip("/"):
        return settings.url
    return urlunsplit((registered.scheme, registered.netloc, parts.path, registered.query, ""))


def _bare(settings: AgentSettings) -> dict[str, Any]:
    version = settings.metadata.get("version")
    return {
        "name": settings.name or settings.id,
        "description": settings.description or settings.name or settings.id,
        "version": version if isinstance(version, str) and version else "0.0.0",
        "capabilities": {},
        "defaultInputModes": MODES,
        "defaultOutputModes": MODES,
        "skills": [],
    }


def _skills(settings: AgentSettings) -> list[dict[str, Any]]:
    if settings.model and not settings.capabilities:
        return [CHAT]
    return [{"id": one, "name": one, "description": one, "tags": [one]} for one in settings.capabilities]
