"""Which party has which :class:`Server`: made when needed, shared as far as is safe, closed when nobody needs it.

A *party* is all those who may have one session with a server together. How far apart they are kept is the server's
:data:`~pointsman.mcp.settings.Isolation`. ``auto`` goes by what the server is: one that tells clients apart by session
ids has a session for each session of a client (or for each key, where clients have none), and any other one is shared.
Those who show a server different credentials never share one. Neither do clients of the two eras, where a server may
speak both: many a server does in one of them what it cannot do in the other.

Lists, and what a server says of itself, are read over the *first* connection, which belongs to all who show the same
credential.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256

from pointsman.errors import GatewayError, Overloaded, UpstreamError, UpstreamTimeout
from pointsman.mcp.base import Client, Era, Introduction, Server
from pointsman.mcp.settings import ServerSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import RpcError

MAX_CONNECTIONS = 10_000
IDLE_SECONDS = 900.0
"""After which a connection that nobody uses is closed."""
REST_SECONDS = 20.0
"""After which a connection of one party is no longer listened to, unless that party listens."""
OWN_IDLE_SECONDS = 3600.0
"""The same of one that belongs to one party, for which the server may keep something."""
SWEEP_SECONDS = 30.0
START_SECONDS = 120.0
Connect = Callable[[ServerSettings, Client | None, Era], Server]
"""Makes a server, without reaching it: for a client, or ``None``: for nobody in particular; and in which era it is to
be spoken with if it speaks both."""
LEGACY = "legacy:"
BEARER = "bearer:"
log = logging.getLogger(__name__)


class Connection:
    """A server as one party sees it."""

    __slots__ = (
        "_calls",
        "first",
        "is_given_up",
        "is_listened_to",
        "is_shared",
        "key",
        "log_level",
        "server",
        "settings",
        "used",
        "watches",
    )

    def __init__(
        self,
        key: tuple[str, str],
        settings: ServerSettings,
        server: Server,
        *,
        is_shared: bool,
        first: Connection | None = None,
    ) -> None:
        self.key = key
        self.first = first or self
        """That over which the lists are read."""
        self.settings = settings
        self.server = server
        self.is_shared = is_shared
        """Whether several callers may be behind it."""
        self.used = 0.0
        self.watches = 0
        """How many hear of changes over it."""
        self.log_level: str | None = None
        """That the server was told."""
        self.is_given_up = False
        self.is_listened_to = False
        """Whether somebody hears what belongs to no call; who has it make is told of it again after a rest."""
        self._calls = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody calls and nobody listens."""
        return not self._calls and not self.watches

    def is_late(self, now: float) -> bool:
        """Whether nobody has used it for long."""
        return self.is_idle and now - self.used >= (IDLE_SECONDS if self.is_shared else OWN_IDLE_SECONDS)

    @property
    def patience(self) -> float:
        """Seconds that it may take to reach the server: many a program is installed when it is first started."""
        seconds = self.settings.timeout
        return max(seconds, START_SECONDS) if self.settings.transport == "stdio" else seconds

    @contextmanager
    def calling(self) -> Iterator[Server]:
        """As long as this lasts it is not closed."""
        self._calls += 1
        try:
            yield self.server
        except UpstreamError as error:
            if error.message == type(error).__doc__:
                # Who carries the request knows of providers only.
                error.message = error.message.replace("The provider", f"The MCP server {self.settings.id}")
            if error.operator_detail is not None:
                log.warning("the MCP server %s: %s: %s", self.settings.id, error.message, error.operator_detail)
            raise
        finally:
            self._calls -= 1

    async def introduction(self) -> Introduction:
        """What the server says of itself; it is reached for that if that was not done yet.

        :raises RpcError: it refuses
        :raises GatewayError: it cannot be reached
        """
        known = self.server.introduction
        if known is not None:
            return known
        with self.calling():
            try:
                async with asyncio.timeout(self.patience):
                    return await self.server.introduce()
            except TimeoutError as error:
                raise UpstreamTimeout("The MCP server did not answer in time") from error


class Connections:
    """All connections of a gateway."""

    def __init__(
        self,
        connect: Connect,
        tasks: Tasks,
        now: Callable[[], float],
        *,
        listen: Callable[[Connection], None] = lambda _: None,
        rest: Callable[[list[Connection]], None] = lambda _: None,
        left: Callable[[Connection], None] = lambda _: None,
        most: int = MAX_CONNECTIONS,
    ) -> None:
        """``now`` is a clock that does not go back.

        ``listen`` is to hear what is told over a connection of one party, which ``rest`` may give up where nothing has
        been called for a while; ``left`` is told of the end of each connection.
        """
        self._connect = connect
        self._tasks = tasks
        self._now = now
        self._listen = listen
        self._rest = rest
        self._left = left
        self._most = most
        self._open: dict[tuple[str, str], Connection] = {}
        """By server and party, the last used at the end."""
        self._leaving: set[Connection] = set()
        """Are no more given to anybody, and closed when their calls have ended."""

    def __len__(self) -> int:
        return len(self._open)

    def first(self, settings: ServerSettings, client: Client) -> Connection:
        """That over which lists are read."""
        shown = bearer(settings, client)
        return self._take(settings, _lane(settings, client) + shown, client, is_shared=shown == "")

    def shared(self, settings: ServerSettings) -> list[Connection]:
        """Those which :meth:`first` gives to all, if there are any."""
        return [one for lane in ("", LEGACY) if (one := self._open.get((settings.id, lane))) is not None]

    async def of(self, settings: ServerSettings, client: Client) -> Connection:
        """That of a client for calls.

        :raises RpcError: the server refuses
        :raises GatewayError: it cannot be reached
        """
        first = self.first(settings, client)
        if settings.isolation == "shared" or (settings.isolation == "auto" and settings.transport == "stdio"):
            return first
        if settings.isolation == "auto" and not (await first.introduction()).has_session:
            return first
        party = own(settings, client)
        return first if party == first.key[1] else self._take(settings, party, client, is_shared=False, first=first)

    def get(self, key: tuple[str, str]) -> Connection | None:
        """That of a server and a party, if there is one."""
        return self._open.get(key)

    def borne_by(self, server_id: str, caller: str) -> list[Connection]:
        """Those to a server that show it what a caller has."""
        return [one for one in self._open.values() if one.key[0] == server_id and f"{BEARER}{caller}" in one.key[1]]

    def existing(self, client: Client) -> list[Connection]:
        """Those that belong to the session of a client alone."""
        return [one for one in self._open.values() if one.key[1] == session_of(client)] if client.session else []

    def keep_only(self, servers: Mapping[str, ServerSettings]) -> None:
        """Give up those to servers whose settings are others now; they are closed when their calls have ended."""
        for one in [one for one in self._open.values() if servers.get(one.key[0]) != one.settings]:
            self.give_up(one)

    def give_up(self, connection: Connection) -> None:
        """Let nobody have it any more."""
        if self._open.get(connection.key) is connection:
            del self._open[connection.key]
        connection.is_given_up = True
        self._left(connection)
        if connection.is_idle:
            self._close(connection)
        else:
            self._leaving.add(connection)

    def end(self, client: Client) -> None:
        """The session of a client is over."""
        for one in self.existing(client):
            self.give_up(one)

    async def run(self) -> None:
        """Close what nobody uses, again and again, until this is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Close what nobody uses."""
        now = self._now()
        for one in [one for one in self._open.values() if one.is_late(now)]:
            self.give_up(one)
        self._rest([one for one in self._open.values() if one.is_listened_to and now - one.used >= REST_SECONDS])
        for one in [one for one in self._leaving if one.is_idle]:
            self._leaving.discard(one)
            self._close(one)

    async def close(self) -> None:
        """End all; what is in progress fails."""
        every = [*self._open.values(), *self._leaving]
        self._open.clear()
        self._leaving.clear()
        await asyncio.gather(*(_ended(one) for one in every))

    def _take(
        self,
        settings: ServerSettings,
        party: str,
        client: Client,
        *,
        is_shared: bool,
        first: Connection | None = None,
    ) -> Connection:
        key = (settings.id, party)
        found = self._open.pop(key, None)
        if found is not None and found.settings is not settings and found.settings != settings:
            # Whoever has the older settings goes on with them, and leaves this place to the others.
            self.give_up(found)
            found = None
        if found is None:
            self._make_room()
            server = self._connect(settings, None if is_shared else client, client.era)
            found = Connection(key, settings, server, is_shared=is_shared, first=first)
        self._open[key] = found
        found.used = self._now()
        if first is not None and not found.is_listened_to:
            self._listen(found)
        return found

    def _make_room(self) -> None:
        """:raises Overloaded: all are in use"""
        if len(self._open) < self._most:
            return
        oldest = next((one for one in self._open.values() if one.is_idle), None)
        if oldest is None:
            raise Overloaded("There are as many connections to MCP servers as may be; try again", retry_after=1)
        self.give_up(oldest)

    def _close(self, connection: Connection) -> None:
        try:
            self._tasks.start(_ended(connection), "close a connection to an MCP server")
        except Overloaded:
            self._leaving.add(connection)


def bearer(settings: ServerSettings, client: Client) -> str:
    """Tells apart who shows a server different credentials; empty: all show the same."""
    parts = []
    is_signed_in = settings.auth.kind == "oauth2" and settings.auth.grant == "authorization_code"
    if is_signed_in or settings.source == "gateway":
        parts.append(client.caller.name)
    if settings.forward_headers:
        shown = [client.headers.get(name.lower().encode("latin-1"), b"") for name in settings.forward_headers]
        parts.append(sha256(b"\n".join(shown)).hexdigest() if any(shown) else "")
    return BEARER + "\n".join(parts) if any(parts) else ""


def own(settings: ServerSettings, client: Client) -> str:
    """The party of a client that shares with nobody, as far as its server is set to tell them apart."""
    if client.session and settings.isolation != "key":
        return session_of(client)
    return f"key:{client.caller.name}\n{_lane(settings, client)}{bearer(settings, client)}"


def _lane(settings: ServerSettings, client: Client) -> str:
    is_open = settings.transport == "streamable_http" and settings.revision is None and settings.source != "gateway"
    return LEGACY if is_open and client.era == "legacy" else ""


def session_of(client: Client) -> str:
    """The party of a client's session."""
    return f"session:{client.session}"


async def _ended(connection: Connection) -> None:
    try:
        await connection.server.close()
    except (GatewayError, RpcError) as error:
        log.info("the MCP server %s could not be told of an end: %s", connection.settings.id, error)
