"""What OAuth says of clients that ask for tokens (RFC 6749 and 6750)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

import msgspec

BASIC: Final = "client_secret_basic"
POST: Final = "client_secret_post"
NONE: Final = "none"


class Mistrusted(ValueError):
    """What was told cannot be believed, or acted on; the message says why."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A client that an authorization server knows."""

    client_id: str
    client_secret: str | None = None
    token_endpoint_auth_method: str | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint gives."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105  the name of a kind
    expires_in: float | str | None = None
    refresh_token: str | None = None
    scope: str | None = None

    def lasts(self) -> float | None:
        """For how many seconds; ``None``: that was not said."""
        try:
            seconds = float(self.expires_in) if self.expires_in is not None else None
        except ValueError:
            return None
        return seconds if seconds is not None and seconds > 0 else None


def method_for(supported: Iterable[str] | None, *, has_secret: bool) -> str:
    """How a client shows who it is at the token endpoint."""
    if supported is None:
        return BASIC if has_secret else NONE
    known = [one for one in (BASIC, POST) if one in set(supported)] if has_secret else []
    return known[0] if known else NONE


def authenticated(client: Registered, form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The form of a token request with what shows who asks, and the headers for it.

    :raises Mistrusted: the client would have to show what it does not have
    """
    method, secret = client.token_endpoint_auth_method or NONE, client.client_secret
    if method == NONE:
        return {**form, "client_id": client.client_id}, {}
    if secret is None or method not in (BASIC, POST):
        raise Mistrusted(f"the authorization server wants {method[:50]!r}, which is not possible here")
    if method == POST:
        return {**form, "client_id": client.client_id, "client_secret": secret}, {}
    pair = f"{quote(client.client_id, safe='')}:{quote(secret, safe='')}"
    return {**form}, {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
