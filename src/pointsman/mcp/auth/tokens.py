"""What is kept of tokens."""

from __future__ import annotations

import msgspec

from pointsman.mcp.auth.clients import Client
from pointsman.upstream.credentials.oauth import ask
from pointsman.upstream.web import Web
from pointsman.wire.oauth import Token

AHEAD = 30.0
"""Seconds before its end from which on a token is not shown any more."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a user has let the gateway do for him at a server."""

    access_token: str
    refresh_token: str | None = None
    expires_at: float | None = None
    """In seconds since the epoch; ``None``: nobody has said."""
    scope: str = ""
    url: str
    """Of the server: for another address it is not good."""
    resource: str
    token_endpoint: str
    client: Client

    def is_good(self, now: float) -> bool:
        """Whether it may still be shown."""
        return self.expires_at is None or now < self.expires_at - AHEAD


def ends(token: Token, now: float) -> float | None:
    """When a token ends, in seconds since the epoch."""
    seconds = token.lasts()
    return None if seconds is None else now + seconds


async def refreshed(web: Web, grant: Grant, now: float) -> Grant:
    """A grant with another token.

    :raises UpstreamRejected: it is over
    :raises UpstreamError: there is no answer, or it is none
    :raises Mistrusted: the token is of a kind that is not known here
    """
    form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token, "resource": grant.resource}
    token = await ask(web, grant.token_endpoint, grant.client.registered, form)
    return msgspec.structs.replace(
        grant,
        access_token=token.access_token,
        refresh_token=token.refresh_token or grant.refresh_token,
        expires_at=ends(token, now),
        scope=grant.scope if token.scope is None else token.scope,
    )
