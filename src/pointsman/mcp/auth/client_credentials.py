"""Tokens of the gateway itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import UpstreamRejected
from pointsman.mcp.auth.clients import Clients, configured
from pointsman.mcp.auth.discovery import Place, discover
from pointsman.mcp.protocol.oauth import Challenge, Issuer, challenge_of, is_within, scope_for
from pointsman.mcp.settings import ServerSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.base import Lease
from pointsman.upstream.credentials.caching import Cached
from pointsman.upstream.credentials.oauth import Asker, ask
from pointsman.upstream.web import Web
from pointsman.wire.oauth import Mistrusted, Token

PAUSE: Final = 10.0
"""Seconds in which no other token is asked for, however many are refused."""


class ClientCredentials:
    """One token for all callers, renewed before it ends: a :class:`~pointsman.mcp.base.Credential`."""

    def __init__(
        self,
        settings: ServerSettings,
        clients: Clients,
        web_of: Callable[[ServerSettings], Web],
        tasks: Tasks,
        now: Callable[[], float],
    ) -> None:
        """``now`` gives seconds since the epoch."""
        self._settings = settings
        self._clients = clients
        self._web_of = web_of
        self._tasks = tasks
        self._now = now
        self._place: Place | None = None
        self._scope = " ".join(settings.auth.scopes) or None
        self._asker = Asker()
        self._cached = self._anew()
        self._renewed = -inf
        self._renewing = asyncio.Lock()

    async def lines(self, caller: Caller) -> Mapping[str, str]:  # noqa: ARG002
        """See :class:`~pointsman.mcp.base.Credential`; none before the server has said who gives tokens."""
        if self._place is None and self._settings.auth.token_url is None:
            return {}
        return {"authorization": f"Bearer {await self._cached.get()}"}

    async def renew(self, caller: Caller, status: int, challenge: str) -> bool:  # noqa: ARG002
        """See :class:`~pointsman.mcp.base.Credential`."""
        told = challenge_of(challenge)
        async with self._renewing:
            if status == 403 and is_within(told.scope or "", self._scope or ""):
                return False
            if status == 403 or self._now() - self._renewed >= PAUSE:
                await self._renew(told, self._scope if status == 403 else None)
        return True

    async def _renew(self, told: Challenge, held: str | None) -> None:
        auth = self._settings.auth
        try:
            if auth.token_url is None:
                found = await discover(self._web(), self._settings.url, told.resource_metadata)
                await self._clients.configured(self._settings, found.issuer)
                self._place = found
        except Mistrusted as error:
            raise _refused(error) from error
        place = self._place
        issuer = Issuer(issuer="") if place is None else place.issuer
        resource = None if place is None else place.resource
        # There is nobody who could be away while it goes on.
        online = msgspec.structs.replace(issuer, scopes_supported=None)
        self._scope = scope_for(auth.scopes, told.scope, resource, online, held or "")
        self._cached = self._anew()
        self._renewed = self._now()

    def _anew(self) -> Cached[str]:
        return Cached(self._fetch, self._tasks, self._now)

    def _web(self) -> Web:
        return self._web_of(self._settings)

    async def _fetch(self) -> Lease[str]:
        """:raises UpstreamError: there is no token"""
        try:
            token = await self._ask()
        except Mistrusted as error:
            raise _refused(error) from error
        seconds = token.lasts()
        return Lease(token.access_token, inf if seconds is None else self._now() + seconds)

    async def _ask(self) -> Token:
        auth, place = self._settings.auth, self._place
        issuer = Issuer(issuer="") if place is None else place.issuer
        client = configured(auth, issuer).registered
        endpoint = auth.token_url or issuer.token_endpoint
        resource = None if place is None else self._settings.url if place.resource is None else place.resource.resource
        form = {"grant_type": "client_credentials", "scope": self._scope, "resource": resource}
        if issuer.token_endpoint_auth_methods_supported is not None or client.client_secret is None:
            return await ask(self._web(), endpoint, client, form)
        return await self._asker.ask(self._web(), endpoint, client, form)


def _refused(error: Mistrusted) -> UpstreamRejected:
    return UpstreamRejected(
        "The gateway gets no token for the MCP server",
        status=401,
        kind="authentication_error",
        code="upstream_credential_refused",
        operator_detail=str(error),
    )
