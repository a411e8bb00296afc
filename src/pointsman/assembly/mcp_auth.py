"""What the gateway shows MCP servers, put together."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from pointsman.mcp.auth.authorization_code import AuthorizationCode, Grants
from pointsman.mcp.auth.client_credentials import ClientCredentials
from pointsman.mcp.auth.clients import Client as Known
from pointsman.mcp.auth.clients import Clients
from pointsman.mcp.auth.signing_in import SigningIn
from pointsman.mcp.auth.tickets import Tickets
from pointsman.mcp.auth.tokens import Grant
from pointsman.mcp.auth.vault import CLIENTS, TOKENS, Vault
from pointsman.mcp.base import Credential
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.store.following import Feed
from pointsman.store.registry import MAX_ENTRIES
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.static import Static
from pointsman.upstream.web import Web


class Auth:
    """Credentials for servers. Lasts as long as the process."""

    def __init__(
        self,
        open_feed: Callable[[], Awaitable[Feed]],
        look: Callable[[], Awaitable[Feed | None]],
        tasks: Tasks,
        secret: bytes,
        web_of: Callable[[ServerSettings], Web],
    ) -> None:
        """``secret`` is what all workers and replicas have in common."""
        tokens = Vault(TOKENS, Grant, look=look, open_feed=open_feed, stamp=_stamp)
        clients = Vault(CLIENTS, Known, look=look, open_feed=open_feed, stamp=_stamp)
        self._tasks = tasks
        self._web_of = web_of
        self._tickets = Tickets(secret, time.time)
        self._shared: dict[str, tuple[ServerSettings, Credential]] = {}
        """One for all clients of a server."""
        self.grants = Grants(tokens, tasks, time.time, web_of)
        self.clients = Clients(clients)
        self.signing_in = SigningIn(self.grants, self.clients, self._tickets, web_of)

    def configure(self, settings: McpSettings) -> None:
        """Go by these settings from now on."""
        self.clients.home = settings.public_url
        self.signing_in.document = settings.client_metadata_url

    def credential(self, settings: ServerSettings) -> Credential | None:
        """That for a server; ``None``: it wants none."""
        auth = settings.auth
        if auth.kind == "none":
            return None
        if auth.kind != "oauth2":
            return Static(auth.kind, auth.header, auth.value)
        if auth.grant == "authorization_code":
            return AuthorizationCode(settings, self.grants, self._tickets)
        known = self._shared.get(settings.id)
        if known is None or _sign(known[0]) != _sign(settings):
            known = settings, ClientCredentials(settings, self.clients, self._web_of, self._tasks, time.time)
            self._shared[settings.id] = known
            while len(self._shared) > MAX_ENTRIES:
                del self._shared[next(iter(self._shared))]
        return known[1]


def _sign(settings: ServerSettings) -> object:
    """By which it is seen that nothing has changed that tokens depend on."""
    return settings.url, settings.auth, settings.source, settings.allow_private


def _stamp() -> str:
    return datetime.fromtimestamp(int(time.time()), UTC).isoformat()
