"""Tokens of the gateway itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from pointsman.a2a.settings import AuthSettings
from pointsman.errors import UpstreamRejected
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.base import Lease
from pointsman.upstream.credentials.caching import Cached
from pointsman.upstream.credentials.oauth import Asker, ask
from pointsman.upstream.web import Web
from pointsman.wire.oauth import Mistrusted, Registered, Token

PAUSE: Final = 10.0
"""Seconds in which no other token is asked for, however many are refused."""


class ClientCredentials:
    """One token for all callers, renewed before it ends: a :class:`~pointsman.upstream.addresses.Credential`.

    Who gives it stands in the settings. A card may name somebody too, but whom a card names gets no secret.
    """

    def __init__(self, auth: AuthSettings, web: Web, tasks: Tasks, now: Callable[[], float]) -> None:
        """``now`` gives seconds since the epoch."""
        self._auth = auth
        self._web = web
        self._tasks = tasks
        self._now = now
        self._asker = Asker()
        self._cached = self._anew()
        self._renewed = -inf

    async def lines(self, caller: object) -> Mapping[str, str]:  # noqa: ARG002
        """See :class:`~pointsman.upstream.addresses.Credential`."""
        return {"authorization": f"Bearer {await self._cached.get()}"}

    async def renew(self, caller: object, status: int, challenge: str) -> bool:  # noqa: ARG002
        """See :class:`~pointsman.upstream.addresses.Credential`; no other token mends a missing scope."""
        if status != 401:
            return False
        if self._now() - self._renewed >= PAUSE:
            self._renewed = self._now()
            self._cached = self._anew()
        return True

    def _anew(self) -> Cached[str]:
        return Cached(self._fetch, self._tasks, self._now)

    async def _fetch(self) -> Lease[str]:
        """:raises UpstreamError: there is no token"""
        try:
            token = await self._ask()
        except Mistrusted as error:
            raise _refused(str(error)) from error
        seconds = token.lasts()
        return Lease(token.access_token, inf if seconds is None else self._now() + seconds)

    async def _ask(self) -> Token:
        auth = self._auth
        if auth.token_url is None or auth.client_id is None:
            raise _refused("its token_url or its client_id is not configured")
        form = {"grant_type": "client_credentials", "scope": " ".join(auth.scopes)}
        secret = None if auth.client_secret is None else auth.client_secret.reveal()
        client = Registered(client_id=auth.client_id, client_secret=secret)
        if secret is None:
            return await ask(self._web, auth.token_url, client, form)
        return await self._asker.ask(self._web, auth.token_url, client, form)


def _refused(detail: str) -> UpstreamRejected:
    return UpstreamRejected(
        "The gateway gets no token for the agent",
        status=401,
        kind="authentication_error",
        code="upstream_credential_refused",
        operator_detail=detail,
    )
