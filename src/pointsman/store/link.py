"""One connection to a Redis or Valkey at a time: for any command, and for the one script that counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, NoScriptError, RedisError, ResponseError

from pointsman.store.patience import patient
from pointsman.store.settings import RedisSettings

SCRIPT: Final = Path(__file__).with_name("counters.lua").read_text()
CONNECT_DEADLINE: Final = 1.0
CLOSE_DEADLINE: Final = 0.1
DOWN: Final = (RedisError, OSError, TimeoutError, EOFError, RuntimeError, msgspec.MsgspecError)
"""What methods of links raise when there is no answer, or none that makes sense.

A ``RuntimeError`` is what uvloop says to who writes into a connection that was reset.
"""

_DECODER: Final = msgspec.msgpack.Decoder()


class Link:
    """A connection that is given up, once anything is wrong with it. One call at a time."""

    def __init__(self, settings: RedisSettings, deadline: float) -> None:
        """``deadline``: seconds for an answer.

        :raises ValueError: the address is of no kind that is known
        """
        self._deadline = deadline
        self._kind, self._arguments = _how(settings)
        self._connection: AbstractConnection | None = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def open(self) -> None:
        """Connect anew."""
        await self.close()
        connection = self._connection = self._kind(**self._arguments)
        async with asyncio.timeout(CONNECT_DEADLINE):
            await self._greet(connection)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                async with asyncio.timeout(CLOSE_DEADLINE):
                    await connection.disconnect(nowait=True)
            except DOWN:
                # It is closed as far as it can be from here.
                return

    async def ask(self, *words: Any) -> Any:
        """Give the answer to a command. Whoever is late or cancelled has to close the link.

        :raises ResponseError: the server refuses it; the link is as good as before
        """
        assert self._connection is not None
        async with asyncio.timeout(self._deadline):
            await self._connection.send_command(*words, check_health=False)
            return await self._connection.read_response()

    async def _greet(self, connection: AbstractConnection) -> None:
        await connection.connect()  # type: ignore[no-untyped-call]


class ScriptLink(Link):
    """One that can call the script."""

    def __init__(self, settings: RedisSettings, deadline: float) -> None:
        super().__init__(settings, deadline)
        self.epoch = 0
        """How many connections there were."""
        self._digest: Any = None
        """What the server calls the script; ``None`` while it is sent in full."""

    async def open(self) -> None:
        """Connect anew."""
        self.epoch += 1
        await super().open()

    async def call(self, keys: list[str], message: bytes) -> Any:
        """Run the script. Whoever is late or cancelled has to close the link."""
        assert self._connection is not None
        async with patient(self._deadline):
            if self._digest is not None:
                try:
                    return await self._run(self._connection, "EVALSHA", self._digest, keys, message)
                except NoScriptError:
                    # The server was restarted, or its scripts were flushed.
                    self._digest = None
            return await self._run(self._connection, "EVAL", SCRIPT, keys, message)

    async def _run(
        self, connection: AbstractConnection, verb: str, script: Any, keys: list[str], message: bytes
    ) -> Any:
        await connection.send_command(verb, script, len(keys), *keys, message, check_health=False)
        return _DECODER.decode(await connection.read_response())

    async def _greet(self, connection: AbstractConnection) -> None:
        await super()._greet(connection)
        self._digest = await self._load(connection)

    async def _load(self, connection: AbstractConnection) -> Any:
        try:
            await connection.send_command("SCRIPT", "LOAD", SCRIPT, check_health=False)
            return await connection.read_response()
        except (NoPermissionError, ResponseError):
            # Some proxies and access rules block SCRIPT.
            return None


def _how(settings: RedisSettings) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """The kind of connection, and what it is made with."""
    # A retry would book twice what was done once; RESP 2 needs no greeting.
    common = {
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_DEADLINE,
    }
    if settings.url is not None:
        pool = ConnectionPool.from_url(settings.url.reveal(), **common)
        return pool.connection_class, pool.connection_kwargs
    arguments = {
        "host": settings.host,
        "port": settings.port,
        "db": settings.db,
        "username": settings.username,
        "password": None if settings.password is None else settings.password.reveal(),
    }
    return (SSLConnection if settings.is_tls else Connection), common | arguments
