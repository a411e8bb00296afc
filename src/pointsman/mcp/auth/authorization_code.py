"""Tokens of users, each of whom signs in himself."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import Forbidden, SignInNeeded, UpstreamRejected, UpstreamTimeout
from pointsman.mcp.auth.tickets import LINK_SECONDS, Ticket, Tickets
from pointsman.mcp.auth.tokens import Grant, refreshed
from pointsman.mcp.auth.vault import Vault, id_of
from pointsman.mcp.protocol.oauth import INSUFFICIENT, Challenge, challenge_of, is_within
from pointsman.mcp.settings import ServerSettings
from pointsman.store.base import Audit, Conflict
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.web import Web
from pointsman.wire.oauth import Mistrusted

log = logging.getLogger(__name__)

START: Final = "/mcp/oauth/start"
DOUBT_SECONDS: Final = 60.0
"""A token that is refused so soon after it was made anew will not be accepted the next time either."""
TRIES: Final = 120
"""How often a process looks whether it is its turn to get a token."""
MAX_DOUBTS: Final = 10_000
POLL: Final = 0.5
"""Seconds between looks for whether a user has come back, or another process has a token."""
TURN_SECONDS: Final = 30.0
"""After which a process that gets a token has failed: longer than an authorization server is waited for."""


class Grants:
    """What users have given, by server and caller. Lasts as long as the process."""

    def __init__(
        self, vault: Vault[Grant], tasks: Tasks, now: Callable[[], float], web_of: Callable[[ServerSettings], Web]
    ) -> None:
        """``now`` gives seconds since the epoch."""
        self.now = now
        self.on_change: Callable[[str, str], None] = lambda *_: None
        """Told of a server and the name of a caller who has signed in to it, or out of it."""
        self._vault = vault
        self._tasks = tasks
        self._web_of = web_of
        self._flights: dict[str, asyncio.Task[Grant | None]] = {}
        self._doubts: OrderedDict[str, float] = OrderedDict()

    async def get(self, settings: ServerSettings, caller: Caller) -> Grant | None:
        """What a caller has given for a server, with a token that is good; ``None``: nothing, or it is over.

        :raises Overloaded: the store is away
        :raises UpstreamError: the authorization server is
        """
        grant = await self.known(settings, caller)
        if grant is None or grant.is_good(self.now()):
            return grant
        return await self.refresh(settings, caller, grant)

    async def known(self, settings: ServerSettings, caller: Caller) -> Grant | None:
        """The same, whether its token is good or not.

        :raises Overloaded: the store is away
        """
        grant = await self._vault.get(_id(settings, caller))
        return grant if grant is not None and grant.url == settings.url else None

    async def refresh(self, settings: ServerSettings, caller: Caller, grant: Grant) -> Grant | None:
        """The same with another token, for all who want that at the moment; ``None``: it is over.

        :raises UpstreamError: the authorization server is away
        """
        row_id = _id(settings, caller)
        flight = self._flights.get(row_id)
        if flight is None:
            name = f"refresh a token for the MCP server {settings.id}"
            flight = self._flights[row_id] = self._tasks.start(self._refresh(settings, caller, grant), name)
            flight.add_done_callback(lambda _: self._flights.pop(row_id, None))
        return await asyncio.shield(flight)

    async def _refresh(self, settings: ServerSettings, caller: Caller, grant: Grant) -> Grant | None:
        """Many an authorization server ends all that it gave when a token that is used up comes again.

        So one process asks at a time, and the others wait for what it gets.
        """
        row_id = _id(settings, caller)
        for _ in range(TRIES):
            newer = await self._vault.get(row_id, is_fresh=True)
            if newer is None or newer.access_token != grant.access_token:
                # Somebody else has done it.
                return newer if newer is not None and newer.is_good(self.now()) else None
            if newer.refresh_token is None:
                return None
            turn = await self._vault.begin(row_id, newer, self.now(), TURN_SECONDS)
            if turn is not None:
                try:
                    return await self._renewed(settings, caller, newer, turn)
                finally:
                    await self._vault.end(row_id, turn)
            await asyncio.sleep(POLL)
        raise UpstreamTimeout("Another process of the gateway has not got a token in time; try again")

    async def _renewed(self, settings: ServerSettings, caller: Caller, grant: Grant, turn: int) -> Grant | None:
        row_id = _id(settings, caller)
        try:
            found = await refreshed(self._web_of(settings), _current(settings, grant), self.now())
        except (UpstreamRejected, Mistrusted) as error:
            newer = await self._vault.get(row_id, is_fresh=True)
            if newer is not None and newer.access_token != grant.access_token:
                return newer
            log.info("a user has to sign in to the MCP server %s again: %s", settings.id, error)
            return None
        try:
            await self._vault.put(row_id, found, _columns(settings, caller), turn=turn)
        except Conflict:
            # He has signed out meanwhile, or in again.
            return await self._vault.get(row_id, is_fresh=True)
        return found

    async def is_newer(self, settings: ServerSettings, caller: Caller) -> bool:
        """Whether the store has another token than is known here: users may come back to another process.

        :raises Overloaded: the store is away
        """
        row_id = _id(settings, caller)
        known, fresh = await self._vault.get(row_id), await self._vault.get(row_id, is_fresh=True)
        return fresh is not None and (known is None or known.access_token != fresh.access_token)

    async def doubt(self, settings: ServerSettings, caller: Caller) -> bool:
        """The server has refused a token; whether there is another one now.

        :raises UpstreamError: the authorization server is away
        """
        row_id, now = _id(settings, caller), self.now()
        grant = await self.known(settings, caller)
        if grant is None:
            return False
        if row_id not in self._flights:
            last = self._doubts.pop(row_id, None)
            self._doubts[row_id] = now
            while len(self._doubts) > MAX_DOUBTS:
                self._doubts.popitem(last=False)
            if last is not None and now - last < DOUBT_SECONDS:
                return False
        return await self.refresh(settings, caller, grant) is not None

    async def put(self, settings: ServerSettings, caller: str, user_id: str | None, grant: Grant) -> None:
        """The caller of that name has signed in."""
        row_id = id_of("grant", settings.id, caller)
        self._doubts.pop(row_id, None)
        audit = Audit(who=caller, what="mcp_token.new", target=settings.id, after={"scope": grant.scope})
        await self._vault.put(row_id, grant, {"server_id": settings.id, "user_id": user_id}, audit)
        self.on_change(settings.id, caller)

    async def drop(self, settings: ServerSettings, caller: Caller) -> None:
        """A user has signed out.

        :raises Overloaded: the store is away
        """
        audit = Audit(who=caller.name, what="mcp_token.delete", target=settings.id)
        await self._vault.drop(_id(settings, caller), audit)
        self.on_change(settings.id, caller.name)

    async def wait(self, settings: ServerSettings, caller: Caller, before: str | None, patience: float) -> bool:
        """Wait until a caller has another token than ``before``; whether that was so within ``patience`` seconds.

        He may come back to another process than this one, so that only the store tells of it.
        """
        row_id, loop = _id(settings, caller), asyncio.get_running_loop()
        last = loop.time() + patience
        while True:
            grant = await self._vault.get(row_id)
            if grant is not None and grant.access_token != before:
                return True
            if loop.time() >= last:
                return False
            await asyncio.sleep(POLL)


class AuthorizationCode:
    """The credential of whoever calls: a :class:`~pointsman.mcp.base.Credential`."""

    def __init__(self, settings: ServerSettings, grants: Grants, tickets: Tickets) -> None:
        self._settings = settings
        self._grants = grants
        self._tickets = tickets

    async def lines(self, caller: Caller) -> Mapping[str, str]:
        """See :class:`~pointsman.mcp.base.Credential`.

        There are none without a grant: many a server lets some requests in all the same, and says what it wants when it
        refuses others.
        """
        grant = await self._grants.get(self._settings, caller)
        return {} if grant is None else {"authorization": f"Bearer {grant.access_token}"}

    async def renew(self, caller: Caller, status: int, challenge: str) -> bool:
        """See :class:`~pointsman.mcp.base.Credential`.

        :raises SignInNeeded: the user has to do something
        """
        told = challenge_of(challenge)
        if status == 403 and told.error != INSUFFICIENT:
            return False
        if await self._grants.is_newer(self._settings, caller):
            return True
        if status == 401 and await self._grants.doubt(self._settings, caller):
            return True
        token, scope = await self._held(caller)
        held = scope if status == 403 else ""
        if held and is_within(told.scope or "", held):
            # He has given what the server asks for: to ask him again would be no use.
            return False
        raise self._needed(caller, told, held, token)

    async def _held(self, caller: Caller) -> tuple[str | None, str]:
        """The token that there is, and its scopes."""
        grant = await self._grants.known(self._settings, caller)
        return (None, "") if grant is None else (grant.access_token, grant.scope)

    def _needed(self, caller: Caller, told: Challenge, held: str, token: str | None) -> SignInNeeded | Forbidden:
        settings = self._settings
        if not caller.name:
            return Forbidden(f"Users sign in to the MCP server {settings.id}, so it needs a key of this gateway")
        ticket = Ticket(
            server=settings.id,
            caller=caller.name,
            expires=int(self._grants.now() + LINK_SECONDS),
            scope=told.scope,
            metadata=told.resource_metadata,
            held=held,
        )
        link = f"{START}?{urlencode({'ticket': self._tickets.sign(ticket)})}"

        async def arrived(patience: float) -> bool:
            return await self._grants.wait(settings, caller, token, patience)

        return SignInNeeded(f"Sign in to the MCP server {settings.name} first: {link}", link=link, arrived=arrived)


def _current(settings: ServerSettings, grant: Grant) -> Grant:
    """With the secret that the operator has configured by now, if the client is his."""
    auth = settings.auth
    if auth.client_secret is None or auth.client_id != grant.client.client_id:
        return grant
    client = msgspec.structs.replace(grant.client, client_secret=auth.client_secret.reveal())
    return msgspec.structs.replace(grant, client=client)


def _id(settings: ServerSettings, caller: Caller) -> str:
    return id_of("grant", settings.id, caller.name)


def _columns(settings: ServerSettings, caller: Caller) -> dict[str, str | None]:
    return {"server_id": settings.id, "user_id": caller.user_id}
