"""A server of MCP and its authorization server, as far as they are asked about each other, without a net."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from records import MemoryRecords

from pointsman.access.caller import Caller
from pointsman.errors import GatewayError, Overloaded, UpstreamUnreachable
from pointsman.mcp.auth.authorization_code import Grants
from pointsman.mcp.auth.clients import Client, Clients
from pointsman.mcp.auth.signing_in import SigningIn
from pointsman.mcp.auth.tickets import Tickets
from pointsman.mcp.auth.tokens import Grant
from pointsman.mcp.auth.vault import CLIENTS, TOKENS, Vault
from pointsman.mcp.settings import AuthSettings, ServerSettings
from pointsman.store.sealing import Sealer
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.web import Answer
from pointsman.wire.secret import Secret

NOW = 1_800_000_000.0
URL = "https://mcp.test/mcp"
ISSUER = "https://as.test"
RESOURCE = "https://mcp.test/.well-known/oauth-protected-resource/mcp"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
TOKEN = f"{ISSUER}/token"
BASE = "https://gateway.test"
ME, OTHER = Caller(name="key:1"), Caller(name="key:2")


def server(**auth: Any) -> ServerSettings:
    fields: dict[str, Any] = {"kind": "oauth2", "grant": "authorization_code"} | auth
    return ServerSettings(id="far", name="Far", url=URL, auth=AuthSettings(**fields))


def secretly(**auth: Any) -> ServerSettings:
    """A server that knows a client with a secret."""
    return server(client_id="mine", client_secret=Secret("canary-client"), **auth)


def resource(**members: Any) -> dict[str, Any]:
    return {"resource": URL, "authorization_servers": [ISSUER], **members}


def metadata(issuer: str = ISSUER, **members: Any) -> dict[str, Any]:
    found = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "registration_endpoint": f"{issuer}/register",
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
    }
    return {name: value for name, value in (found | members).items() if value is not None}


class Net:
    """A web in which everything is said beforehand, and what was asked is kept."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {RESOURCE: resource(), METADATA: metadata()}
        """By address: a value, or a status and a value."""
        self.tokens: list[Any] = []
        """What token endpoints answer, one after the other; the last one again and again."""
        self.registered: Any = {"client_id": "made", "client_secret": "canary-made"}
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.registrations: list[tuple[str, Any]] = []

    async def get(self, url: str, headers: Mapping[str, str] = {}) -> Answer:
        self.asked.append(url)
        return self._answer(url, self.pages.get(url, (404, None)))

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        self.asked.append(url)
        self.forms.append(dict(form))
        self.headers.append(dict(headers))
        return self._answer(url, self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0])

    async def post_json(self, url: str, value: Any) -> Answer:
        self.registrations.append((url, value))
        return self._answer(url, self.registered)

    def _answer(self, url: str, found: Any) -> Answer:
        if isinstance(found, GatewayError):
            raise found
        status, value = found if isinstance(found, tuple) else (200, found)
        return Answer(url, status, value if isinstance(value, bytes) else msgspec.json.encode(value))


AWAY = UpstreamUnreachable("An authorization server cannot be reached")


class News:
    """As the known keys are."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []


class Store:
    """A store that can be there or not."""

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.keys = News()
        self.sealer: Sealer | None = Sealer(Secret("a salt that is long enough"))
        self.is_there = True
        self.is_away = False

    async def look(self) -> Any:
        return self if self.is_there else None

    async def open(self) -> Any:
        if self.is_away:
            raise Overloaded
        self.is_there = True
        return self


class World:
    """All of it."""

    def __init__(self) -> None:
        self.time = NOW
        self.net = Net()
        self.store = Store()
        self.tasks = Tasks(logging.getLogger("tests"), 10)
        self.tickets = Tickets(b"secret", self.now)
        self.grants, self.clients = self.process()
        self.signing_in = SigningIn(self.grants, self.clients, self.tickets, lambda _: self.net)

    def now(self) -> float:
        return self.time

    def process(self) -> tuple[Grants, Clients]:
        """Those of a process; another one has its own, and the same store."""
        look, open_feed = self.store.look, self.store.open
        tokens = Vault(TOKENS, Grant, look=look, open_feed=open_feed)
        clients = Vault(CLIENTS, Client, look=look, open_feed=open_feed)
        return Grants(tokens, self.tasks, self.now, lambda _: self.net), Clients(clients)


def grant(**members: Any) -> Grant:
    client = Client(issuer=ISSUER, client_id="made", client_secret="canary-made", method="client_secret_basic")
    fields: dict[str, Any] = {
        "access_token": "canary-1",
        "refresh_token": "canary-r1",
        "expires_at": NOW + 3600,
        "scope": "read",
        "url": URL,
        "resource": URL,
        "token_endpoint": TOKEN,
        "client": client,
    }
    return Grant(**fields | members)
