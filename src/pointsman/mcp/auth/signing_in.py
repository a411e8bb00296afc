"""The way of a user's browser: from a link to the authorization server, and back with a code.

Whoever opens a link has to be whom it was made for, or somebody could have another one sign in for him. So it wants the
same key of the gateway that was called with, and what comes back has to come from the browser that it was shown in,
which a cookie tells. Nothing is kept of those who are on their way.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import UpstreamRejected
from pointsman.mcp.auth.authorization_code import Grants
from pointsman.mcp.auth.clients import Clients
from pointsman.mcp.auth.discovery import discover
from pointsman.mcp.auth.tickets import JOURNEY_SECONDS, LINK_SECONDS, Journey, Stale, Ticket, Tickets
from pointsman.mcp.auth.tokens import Grant, ends
from pointsman.mcp.protocol.oauth import (
    OFFLINE,
    Issuer,
    authorization_url,
    check_answer,
    check_code_flow,
    client_metadata,
    pkce_challenge,
    scope_for,
)
from pointsman.mcp.settings import ServerSettings
from pointsman.upstream.credentials.oauth import ask
from pointsman.upstream.web import Web
from pointsman.wire.oauth import NONE, Mistrusted

CALLBACK: Final = "/mcp/oauth/callback"
DOCUMENT: Final = "/mcp/oauth/client-metadata.json"
COOKIE: Final = "pointsman_sign_in_"
MAX_SCOPE: Final = 1000
"""Characters of scopes that are kept on the way, for authorization servers that do not say what they have given."""
MAX_COOKIE: Final = 3800
"""Browsers keep 4,096 bytes with the name and the attributes."""
NAMED: Final = 12
"""Characters of the state that tell cookies apart."""


class Begun(msgspec.Struct, frozen=True):
    """Where the browser goes, and what it carries."""

    url: str
    cookie: str
    value: str


class SigningIn:
    """Has users sign in to servers."""

    def __init__(
        self, grants: Grants, clients: Clients, tickets: Tickets, web_of: Callable[[ServerSettings], Web]
    ) -> None:
        self.grants = grants
        self.document = ""
        """Where a document about the gateway is that authorization servers can read, if not here."""
        self._clients = clients
        self._tickets = tickets
        self._web_of = web_of

    def read(self, link: str) -> Ticket:
        """What a link says.

        :raises Stale: it was not made here, or is too old
        """
        return self._tickets.open(link, Ticket)

    def ticket(self, server_id: str, caller: Caller) -> Ticket:
        """For somebody who wants to sign in without having been asked to."""
        return Ticket(server_id, caller.name, int(self._tickets.now() + LINK_SECONDS))

    async def begin(self, settings: ServerSettings, caller: Caller, ticket: Ticket, base: str) -> Begun:
        """Find out where the user has to go; ``base`` is the address of the gateway for his browser.

        :raises Mistrusted: nobody is there who can be trusted
        :raises UpstreamError: somebody does not answer
        """
        web, redirect_uri = self._web_of(settings), base + CALLBACK
        place = await discover(web, settings.url, ticket.metadata)
        issuer, resource = place.issuer, place.resource
        check_code_flow(issuer)
        client = await self._clients.of(settings, issuer, web, redirect_uri, self.document or document_at(base))
        scope = scope_for(settings.auth.scopes, ticket.scope, resource, issuer, ticket.held)
        journey = Journey(
            state=secrets.token_urlsafe(24),
            server=settings.id,
            url=settings.url,
            caller=caller.name,
            user=caller.user_id,
            expires=int(self._tickets.now() + JOURNEY_SECONDS),
            issuer=issuer.issuer,
            token_endpoint=issuer.token_endpoint,
            names_issuer=issuer.authorization_response_iss_parameter_supported,
            redirect_uri=redirect_uri,
            client_id=client.client_id,
            method=client.method,
            scope=None if scope is None or len(scope) > MAX_SCOPE else scope,
            resource=settings.url if resource is None else resource.resource,
        )
        value = self._tickets.sign(journey)
        if len(value) > MAX_COOKIE:
            raise Mistrusted("its addresses are longer than a browser would keep")
        return Begun(self._url(issuer, journey, scope), cookie_of(journey.state), value)

    def journey(self, state: str, cookies: Mapping[str, str]) -> Journey:
        """That of a browser which comes back.

        :raises Stale: it is not the one that was sent away, or it took too long
        """
        journey = self._tickets.open(cookies.get(cookie_of(state), ""), Journey)
        if not hmac.compare_digest(journey.state.encode(), state.encode()):
            raise Stale("this is not the browser that the link was opened in")
        return journey

    async def finish(self, settings: ServerSettings | None, journey: Journey, query: Mapping[str, str]) -> None:
        """Get tokens for the code that the user has brought; ``None``: the server is gone.

        :raises Mistrusted: somebody else has sent it, or it is not good
        :raises UpstreamError: the authorization server does not answer
        """
        check_answer(journey.issuer, query.get("iss"), is_promised=journey.names_issuer)
        code = query.get("code")
        if "error" in query or not code:
            raise Mistrusted(f"the authorization server said no: {query.get('error', 'without a reason')[:100]}")
        if settings is None or settings.url != journey.url:
            raise Mistrusted("the server is not where it was; begin again")
        client = await self._clients.again(settings, journey)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": journey.redirect_uri,
            "code_verifier": self._tickets.verifier(journey.state),
            "resource": journey.resource,
        }
        try:
            token = await ask(self._web_of(settings), journey.token_endpoint, client.registered, form)
        except UpstreamRejected:
            # A client that is not known there any more is made known again the next time.
            await self._clients.forget(journey)
            raise
        grant = Grant(
            access_token=token.access_token,
            refresh_token=token.refresh_token,
            expires_at=ends(token, self._tickets.now()),
            scope=token.scope if token.scope is not None else journey.scope or "",
            url=settings.url,
            resource=journey.resource,
            token_endpoint=journey.token_endpoint,
            client=client,
        )
        await self.grants.put(settings, journey.caller, journey.user, grant)

    def _url(self, issuer: Issuer, journey: Journey, scope: str | None) -> str:
        is_lasting = OFFLINE in (scope or "").split()
        return authorization_url(
            issuer.authorization_endpoint,
            {
                "response_type": "code",
                "client_id": journey.client_id,
                "redirect_uri": journey.redirect_uri,
                "state": journey.state,
                "code_challenge": pkce_challenge(self._tickets.verifier(journey.state)),
                "code_challenge_method": "S256",
                "resource": journey.resource,
                "scope": scope,
                # OpenID Connect, section 11: without it the user is not asked, and nothing lasting is given.
                "prompt": "consent" if is_lasting else None,
            },
        )


def cookie_of(state: str) -> str:
    """The name of the cookie that a browser has for a journey."""
    return COOKIE + state[:NAMED]


def document_at(base: str) -> str:
    """Where the document about the gateway is; empty: nobody else could read it."""
    return base + DOCUMENT if base.startswith("https://") else ""


def document(base: str) -> dict[str, object]:
    """The document about the gateway (OAuth Client ID Metadata Document)."""
    return client_metadata(base + CALLBACK, NONE, base + DOCUMENT) | {"client_uri": base}
