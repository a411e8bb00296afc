"""Clients of the transport of 2024-11-05: one stream for everything to them, and a second address for what they send.

Everything of such a session is in the process that has its stream.
"""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from pointsman.errors import GatewayError, Overloaded
from pointsman.mcp.base import Client, Scope
from pointsman.mcp.fronts.legacy import ENDED, NOT_FOUND, LegacyFront, id_of, kept_status
from pointsman.mcp.fronts.streams import Answer, Answering, Request, event_of, refusal
from pointsman.mcp.settings import Limits
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.beats import Beats
from pointsman.wire.jsonrpc import INVALID_REQUEST, Message, RpcError, parse

MAX_AT_ONCE: Final = 100
"""Requests of one session."""


class Channel:
    """One session, as long as its stream is open."""

    def __init__(self, request: Request, scope: Scope, answering: Answering) -> None:
        self.request = request
        self.scope = scope
        self.answering = answering
        self.client: Client | None = None
        """``None``: it has not been introduced yet."""
        self.tasks: set[asyncio.Task[None]] = set()


class SseFront:
    """Answers them."""

    def __init__(self, legacy: LegacyFront, beats: Beats, tasks: Tasks, limits: Limits) -> None:
        self._legacy = legacy
        self._beats = beats
        self._tasks = tasks
        self.limits = limits
        self._channels: dict[str, Channel] = {}

    async def get(self, request: Request, scope: Scope) -> None:
        """Open the stream, and tell where to send to.

        :raises Overloaded: there are too many
        """
        if len(self._channels) >= self.limits.max_streams:
            raise Overloaded("Too many streams are open; try again", retry_after=5)
        name = self._legacy.new_name()
        answering = Answering(request, self._beats)
        channel = self._channels[name] = Channel(request, scope, answering)
        where = f"{request.path.rpartition('/')[0]}/messages?session_id={name}"
        try:
            answering.say(b"event: endpoint\ndata: %b\n\n" % where.encode())
            await answering.last()
            answering.end()
        finally:
            answering.leave()
            del self._channels[name]
            for task in channel.tasks:
                task.cancel()
            if channel.client is not None:
                await self._legacy.end(channel.client)

    async def post(self, request: Request) -> None:
        """Take a message; what there is to say to it goes to the stream.

        :raises RpcError: there is no such session, or it is somebody else's
        :raises Overloaded: it has too many requests
        """
        channel = self._channels.get(request.query.get("session_id", ""))
        if channel is None or channel.request.caller.name != request.caller.name:
            raise RpcError(INVALID_REQUEST, ENDED, status=NOT_FOUND)
        message = parse(request.body)
        if channel.client is not None:
            channel.client = replace(channel.client, caller=request.caller, request_id=request.id)
        if len(channel.tasks) >= MAX_AT_ONCE:
            raise Overloaded("This session has too many requests at once", retry_after=1)
        task = self._tasks.start(self._take(channel, message), "a message of an MCP client")
        channel.tasks.add(task)
        task.add_done_callback(channel.tasks.discard)
        request.reply.reply(202, request.lines, b"")

    def release(self) -> None:
        """End all streams."""
        for channel in list(self._channels.values()):
            channel.answering.release()

    async def _take(self, channel: Channel, message: Message) -> None:
        if not message.is_request:
            if channel.client is not None:
                with self._legacy.sessions.using(channel.client.session) as live:
                    await self._legacy.take(channel.scope, channel.client, live, message)
            return
        work = self._begin if message.method == "initialize" else self._answer
        try:
            answer = await work(channel, message)
        except (RpcError, GatewayError) as error:
            answer = refusal(id_of(message), error, kept_status)
        channel.answering.say(event_of(answer.body))

    async def _begin(self, channel: Channel, message: Message) -> Answer:
        client, answer = await self._legacy.initialize(channel.request, channel.scope, message)
        channel.client = client
        with self._legacy.sessions.using(client.session) as live:
            live.open(channel.answering)
            live.party = (channel.scope, client)
            self._legacy.watch(channel.scope, client, live)
        return Answer(answer.encode())

    async def _answer(self, channel: Channel, message: Message) -> Answer:
        client = channel.client
        if client is None:
            raise RpcError(INVALID_REQUEST, "Begin with 'initialize'")
        with self._legacy.sessions.using(client.session) as live:
            return await self._legacy.answer(channel.scope, client, live, message, channel.answering)
