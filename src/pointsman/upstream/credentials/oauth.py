"""Asking token endpoints for tokens (RFC 6749)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pointsman.errors import UpstreamRejected
from pointsman.upstream.web import Web
from pointsman.wire.oauth import BASIC, POST, Mistrusted, Registered, Token, authenticated

Form = Mapping[str, str | None]


async def ask(web: Web, endpoint: str, client: Registered, form: Form) -> Token:
    """Get a token; members of ``form`` without a value are left out.

    :raises UpstreamRejected: there is none
    :raises UpstreamError: there is no answer, or it is none
    :raises Mistrusted: the client cannot show who it is, or the token is of a kind that is not known here
    """
    body, headers = authenticated(client, {name: value for name, value in form.items() if value})
    answer = await web.post_form(endpoint, body, headers)
    if answer.status != 200:
        raise answer.refusal()
    token = answer.read(Token)
    if token.token_type.lower() != "bearer" or not _can_be_sent(token.access_token):
        raise Mistrusted("the authorization server gave a token of a kind that is not known here")
    return token


class Asker:
    """Asks as a client with a secret where nobody has said how that is to be shown, and remembers what was liked."""

    def __init__(self) -> None:
        self._method: str | None = None

    async def ask(self, web: Web, endpoint: str, client: Registered, form: Form) -> Token:
        """Show the secret in the one way or, where that is not liked, in the other; see :func:`ask`."""
        failure: UpstreamRejected | None = None
        for method in (self._method,) if self._method is not None else (BASIC, POST):
            shown = msgspec.structs.replace(client, token_endpoint_auth_method=method)
            try:
                token = await ask(web, endpoint, shown, form)
            except UpstreamRejected as error:
                failure = failure or error
            else:
                self._method = method
                return token
        assert failure is not None
        raise failure


def _can_be_sent(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and " " not in token
