"""One request of a client to one server: how long it may take, how much may come back, and what is written of it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import GatewayError, UpstreamBroken, UpstreamTimeout
from pointsman.mcp.base import Asking, Client, Close, Introduction, Meter, Server
from pointsman.mcp.connections import Connection, Connections
from pointsman.mcp.events import CHANGES, UPDATED
from pointsman.mcp.permissions import not_visible
from pointsman.mcp.settings import ServerSettings
from pointsman.wire.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Message, RpcError, raw

MOST_SECONDS: Final = 3600.0
"""Of a call, however often its server tells how far it is, or asks."""
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
PROGRESS: Final = "notifications/progress"
CALL: Final = "tools/call"
OTHER: Final = "other"
MAX_TARGET: Final = 200
log = logging.getLogger("pointsman.mcp.calls")


class Counting(Protocol):
    """Counts calls of one tool."""

    def observe(self, outcome: str, seconds: float) -> None: ...


class Unmetered:
    """Lets everything pass."""

    async def open(self, *_request: object, **_more: object) -> Close:
        """Nothing is reserved."""
        return _nothing


def _nothing(_is_success: bool, _is_due: bool) -> None:
    return None


class Quiet:
    """A request of the gateway itself, or of a client with whom one cannot talk meanwhile."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def tell(self, message: Message) -> None:
        """Nobody is there to hear it."""

    async def ask(self, method: str, params: msgspec.Raw) -> msgspec.Raw:  # noqa: ARG002
        """:raises RpcError: always"""
        raise RpcError(METHOD_NOT_FOUND, f"There is nobody here to answer {method}")


class Sent:
    """How far a request has come."""

    __slots__ = ("is_lost", "server")

    def __init__(self) -> None:
        self.server: Server | None = None
        self.is_lost = False
        """The server has refused it unread, or never had it."""

    @property
    def is_due(self) -> bool:
        """Whether the server may have worked on it: then it costs the same whether anybody waits for the answer.

        Whoever leaves before it was reached has nothing to pay.
        """
        return self.server is not None and self.server.introduction is not None and not self.is_lost


class Line:
    """What is written of one request."""

    __slots__ = ("_server", "_target", "client", "method")

    def __init__(self, client: Client, server: str, method: str, target: str) -> None:
        """``target`` is what it names: a tool, a prompt, an address."""
        self.client = client
        self.method = method
        self._server = server
        self._target = target

    def write(self, outcome: str, **more: float) -> None:
        """Write down what came of it."""
        if not log.isEnabledFor(logging.INFO):
            return
        said: dict[str, object] = {"caller": self.client.caller.name, "server": self._server, "method": self.method}
        said["tool" if self.method == CALL else "target"] = self._target[:MAX_TARGET]
        if self.client.request_id:
            said["request_id"] = self.client.request_id
        log.info("%s", "tool call" if self.method == CALL else "request", extra={**said, "outcome": outcome, **more})


class _Outcome(msgspec.Struct):
    isError: bool = False  # noqa: N815  as it is written


class Calls:
    """Carries out what was decided."""

    def __init__(
        self,
        connections: Connections,
        hear: Callable[[Connection, Message], None],
        meter: Meter,
        counting: Callable[[str, str], Counting],
    ) -> None:
        """``hear`` is told of changes, ``counting`` gives what counts the calls of a server's tool."""
        self._connections = connections
        self._hear = hear
        self._meter = meter
        self._counting = counting

    async def tool(
        self, settings: ServerSettings, tool: str, params: msgspec.Raw, asking: Asking, *, is_known: bool
    ) -> msgspec.Raw:
        """Call a tool: metered, counted, and with a line in the log.

        One that is not ``is_known`` to be there is counted with others: anybody can make up names.

        :raises RateLimited: too many calls were made
        :raises BudgetExceeded: too much was spent
        :raises RpcError: the server's error
        :raises GatewayError: it cannot be reached, or not in time, or its answer is too long
        """
        line = Line(asking.client, settings.id, CALL, tool)
        counting = self._counting(settings.id, tool if is_known else OTHER)
        return await self._measured(settings, tool, line, params, asking, counting)

    async def forward(
        self, settings: ServerSettings, method: str, params: msgspec.Raw, asking: Asking, target: str = ""
    ) -> msgspec.Raw:
        """Have another request answered, for which the limits of the caller hold too; ``target`` is what it names.

        :raises RateLimited: as of :meth:`tool`, and so are the others
        """
        line = Line(asking.client, settings.id, method, target)
        return await self._measured(settings, None, line, params, asking, None)

    async def _measured(
        self,
        settings: ServerSettings,
        tool: str | None,
        line: Line,
        params: msgspec.Raw,
        asking: Asking,
        counting: Counting | None,
    ) -> msgspec.Raw:
        begun, outcome, size, sent = time.monotonic(), "cancelled", 0, Sent()
        close: Close = _nothing
        try:
            client = line.client
            close = await self._meter.open(
                client.caller, settings.id, tool, client.request_id, has_slot=client.has_slot
            )
            result = await self._send(settings, line.method, params, asking, sent)
        except RpcError as error:
            outcome = f"rpc {error.code}"
            raise
        except GatewayError as error:
            outcome = error.code or type(error).__name__
            sent.is_lost = not isinstance(error, UpstreamBroken | UpstreamTimeout)
            raise
        else:
            size, outcome = len(result), "error" if _is_error(result) else "success"
            return result
        finally:
            seconds = time.monotonic() - begun
            if counting is not None:
                counting.observe(outcome, seconds)
            line.write(outcome, seconds=round(seconds, 6), bytes=size)
            closing = close(outcome in ("success", "error"), sent.is_due)
            if inspect.isawaitable(closing):
                await closing

    async def _send(
        self, settings: ServerSettings, method: str, params: msgspec.Raw, asking: Asking, sent: Sent
    ) -> msgspec.Raw:
        connection = await self._connections.of(settings, asking.client)
        with connection.calling() as server:
            sent.server = server
            try:
                result = await self._in_time(connection, server, method, params, asking)
            except TimeoutError as error:
                raise UpstreamTimeout("The MCP server did not answer in time") from error
        if len(result) > settings.max_result_bytes:
            raise UpstreamBroken(f"The MCP server's answer is longer than {settings.max_result_bytes} bytes")
        return result

    async def _in_time(
        self, connection: Connection, server: Server, method: str, params: msgspec.Raw, asking: Asking
    ) -> msgspec.Raw:
        now, seconds = asyncio.get_running_loop().time(), connection.settings.timeout
        async with asyncio.timeout(seconds) as limit:
            with _passing(asking, limit, seconds, partial(self._hear, connection)) as passing:
                await self._set_level(connection, server, passing)
                return await server.call(method, params, passing, now + max(seconds, MOST_SECONDS))

    async def _set_level(self, connection: Connection, server: Server, asking: Asking) -> None:
        """Let a legacy server log what its client wants to hear of; where several listen, what any of them does."""
        wanted, told = asking.client.log_level, connection.log_level
        if wanted is None or wanted == told or wanted not in LEVELS:
            return
        if connection.is_shared and told is not None and LEVELS.index(told) < LEVELS.index(wanted):
            return
        introduction = server.introduction or await server.introduce()
        if logs(introduction) and introduction.era == "legacy":
            connection.log_level = wanted
            deadline = asyncio.get_running_loop().time() + connection.settings.timeout
            await server.call("logging/setLevel", raw({"level": wanted}), asking, deadline)


class _Passing:
    """The client's asking, with a clock that stands still while the client is asked something."""

    def __init__(self, asking: Asking, limit: asyncio.Timeout, seconds: float, hear: Callable[[Message], None]) -> None:
        self.client = asking.client
        self.is_over = False
        self._asking = asking
        self._limit = limit
        self._seconds = seconds
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time() + max(seconds, MOST_SECONDS)
        self._open = 0

    def tell(self, message: Message) -> None:
        """Changes are not of this request: they go to those who want to hear of them."""
        if message.method in CHANGES or message.method == UPDATED:
            self._hear(message)
            return
        if message.method == PROGRESS:
            self._go_on()
        self._asking.tell(message)

    async def ask(self, method: str, params: msgspec.Raw) -> msgspec.Raw:
        """Have the client do something; the server has its whole time again afterwards."""
        self._open += 1
        self._go_on()
        try:
            return await self._asking.ask(method, params)
        finally:
            self._open -= 1
            self._go_on()

    def _go_on(self) -> None:
        if not self.is_over and not self._limit.expired():
            self._limit.reschedule(self._last if self._open else min(self._last, self._loop.time() + self._seconds))


@contextmanager
def _passing(
    asking: Asking, limit: asyncio.Timeout, seconds: float, hear: Callable[[Message], None]
) -> Iterator[_Passing]:
    passing = _Passing(asking, limit, seconds, hear)
    try:
        yield passing
    finally:
        passing.is_over = True


def logs(introduction: Introduction) -> bool:
    """Whether a server has said that it logs."""
    return introduction.capabilities.get("logging") is not None


def _is_error(result: msgspec.Raw) -> bool:
    """Whether a tool has told that it failed."""
    try:
        return msgspec.json.decode(result, type=_Outcome).isError
    except msgspec.MsgspecError:
        return False


def write_unseen(caller: Caller, server: str, *, is_there: bool) -> None:
    """Write down that somebody has asked for a server that is not there for him."""
    why = not_visible(server) if is_there else "there is no such server"
    Line(Client(caller=caller, era="modern", revision=""), server[:MAX_TARGET], "", "").write(
        f"denied: {why[:MAX_TARGET]}"
    )


def unknown_tool(name: str) -> RpcError:
    """There is no tool of this name."""
    return RpcError(INVALID_PARAMS, f"Unknown tool: {name[:200]}")
