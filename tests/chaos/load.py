"""A client that sends many requests over raw sockets and leaves in the middle of some of them."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from dataclasses import dataclass, field
from typing import cast

RESET = struct.pack("ii", 1, 0)
STREAM_END = b"\r\n0\r\n\r\n"


@dataclass
class Tally:
    """What came of the requests."""

    complete: int = 0
    aborted: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """One request: what to ask, and after how many bytes of it, or of the reply, to leave."""

    request: bytes
    is_stream: bool
    cut_sending: int | None = None
    """Leave after that many bytes of the request."""
    cut_receiving: int | None = None
    """Leave after at least that many bytes of the reply; 0 right after sending."""
    is_reset: bool = False


def request_for(model: str, key: str, *, stream: bool) -> bytes:
    """A chat request."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Go"}], "stream": stream}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Plans:
    """Draws requests, the same ones for the same seed."""

    def __init__(self, key: str, seed: int, aborted_share: float) -> None:
        self._random = random.Random(seed)
        self._share = aborted_share
        self._whole = request_for("whole", key, stream=False)
        self._stream = request_for("stream", key, stream=True)

    def draw(self) -> Plan:
        """The next one."""
        chance = self._random
        is_stream = chance.random() < 0.2
        request = self._stream if is_stream else self._whole
        if chance.random() >= self._share:
            return Plan(request, is_stream)
        is_reset = chance.random() < 0.5
        kind = chance.random()
        if kind < 0.2:
            return Plan(request, is_stream, cut_sending=chance.randrange(len(request)), is_reset=is_reset)
        if kind < 0.6:
            return Plan(request, is_stream, cut_receiving=0, is_reset=is_reset)
        return Plan(
            request, is_stream, cut_receiving=chance.randrange(1, 3000 if is_stream else 600), is_reset=is_reset
        )


class Client(asyncio.Protocol):
    """One connection at a time; a new one after each abort."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._plan: Plan | None = None
        self._received = bytearray()
        self._done: asyncio.Future[str | None]
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._finish("the connection was lost")

    def data_received(self, data: bytes) -> None:
        plan = self._plan
        if plan is None:
            return
        received = self._received
        received += data
        if plan.cut_receiving is not None and len(received) >= plan.cut_receiving:
            self._leave(plan)
        elif _is_complete(received, plan):
            self._finish(None if received.startswith(b"HTTP/1.1 200 ") else told(received))

    async def run(self, plan: Plan) -> str | None:
        """Carry out one plan; gives what went wrong."""
        assert self._transport is not None
        self._plan = plan
        self._received.clear()
        self._done = self._loop.create_future()
        if plan.cut_sending is not None:
            self._transport.write(plan.request[: plan.cut_sending])
            self._leave(plan)
        else:
            self._transport.write(plan.request)
            if plan.cut_receiving == 0:
                self._leave(plan)
        return await self._done

    @property
    def received(self) -> bytes:
        """The last reply, chunk sizes included."""
        return bytes(self._received)

    def close(self) -> None:
        """Leave for good."""
        if self._transport is not None:
            self._transport.abort()

    def _leave(self, plan: Plan) -> None:
        assert self._transport is not None
        if plan.is_reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()
        else:
            self._transport.close()
        self.is_open = False
        self._finish(None)

    def _finish(self, fault: str | None) -> None:
        if self._plan is not None:
            self._plan = None
            if not self._done.done():
                self._done.set_result(fault)


def told(reply: bytes | bytearray) -> str:
    """What a reply says, for a person: its status and the end of its body."""
    head, _, body = bytes(reply).partition(b"\r\n\r\n")
    return f"{head[9:12]!r} {body[-200:]!r}"


def _is_complete(received: bytearray, plan: Plan) -> bool:
    if plan.is_stream and received.startswith(b"HTTP/1.1 200 "):
        return received.endswith(STREAM_END)
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    at = received.find(b"content-length: ", 0, head_end)
    return at >= 0 and len(received) >= head_end + 4 + int(received[at + 16 : received.index(b"\r\n", at)])


async def run_load(port: int, plans: Plans, count: int, connections: int) -> Tally:
    """Send ``count`` requests over that many connections at once."""
    tally = Tally()
    left = count

    async def work() -> None:
        nonlocal left
        loop = asyncio.get_running_loop()
        client: Client | None = None
        while left > 0:
            left -= 1
            if client is None or not client.is_open:
                _, client = await loop.create_connection(Client, "127.0.0.1", port)
            plan = plans.draw()
            fault = await client.run(plan)
            if fault is not None:
                tally.faults.append(fault)
            elif client.is_open:
                tally.complete += 1
            else:
                tally.aborted += 1
        if client is not None:
            client.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return tally
