"""A quick fake upstream in a process of its own; prints its port. What it answers, the model's name says.

``whole``: a chat completion. ``stream``: a stream of events. ``either``: one of the two, as the request asks, after a
few milliseconds. ``slow-head``, ``slow-token``, ``slow-middle``: silence before the head, before the first token, and
after some tokens. ``flood-N``: a stream of N MB. ``GET /state`` tells how many connections are open, how many answers
are held back, how many of those were left, and how many bytes of floods were taken.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
TOKENS = 12
FLOOD_PIECE = 16_384
MEGABYTE = 1_000_000
STREAMED = re.compile(rb'"stream" *: *true')
EITHER_SECONDS = 0.005


def chunk(text: str) -> bytes:
    """One event in one HTTP chunk."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    event = f"data: {json.dumps(value)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def whole() -> bytes:
    """A chat completion with its head."""
    message = {"role": "assistant", "content": "Clear", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    value = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


WHOLE = whole()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = [chunk(f"token {n} ") for n in range(TOKENS)]
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
BEGUN_STREAM = {b"slow-token": STREAM_HEAD, b"slow-middle": STREAM_HEAD + b"".join(PIECES[:3])}
BEGUN_WHOLE = {b"slow-token": WHOLE[: WHOLE.index(b"{")], b"slow-middle": WHOLE[:-20]}
FLOOD = chunk("x" * FLOOD_PIECE)


class State:
    """What the test asks about."""

    def __init__(self) -> None:
        self.open = 0
        self.held = 0
        self.left = 0
        self.flooded = 0


class Connection(asyncio.Protocol):
    """Answers one request after the other."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._transport: asyncio.Transport
        self._buffer = b""
        self._pieces: list[bytes] = []
        self._is_held = False
        self._flood_left = 0
        self._is_paused = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._state.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.open -= 1
        self._pieces = []
        self._flood_left = 0
        if self._is_held:
            self._state.held -= 1
            self._state.left += 1

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._flood()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = LENGTH.search(self._buffer, 0, head_end + 2)
        end = head_end + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) < end:
            return
        request, self._buffer = self._buffer[:end], self._buffer[end:]
        self._answer(request)

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET /state"):
            body = json.dumps(vars(self._state)).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        found = MODEL.search(request)
        model = found[1] if found else b""
        if model == b"whole":
            self._whole()
        elif model == b"stream":
            self._stream()
        elif model == b"either":
            self._loop.call_later(EITHER_SECONDS, self._stream if STREAMED.search(request) else self._whole)
        elif model.startswith(b"flood-"):
            self._transport.write(STREAM_HEAD)
            self._flood_left = int(model[6:]) * MEGABYTE
            self._flood()
        else:
            self._is_held = True
            self._state.held += 1
            self._transport.write((BEGUN_STREAM if STREAMED.search(request) else BEGUN_WHOLE).get(model, b""))

    def _whole(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(WHOLE)

    def _stream(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(STREAM_HEAD + PIECES[0])
            self._pieces = PIECES[1:]
            self._loop.call_soon(self._next_piece)

    def _next_piece(self) -> None:
        if self._transport.is_closing():
            return
        # Pairs: as many events as pieces would make the test measure this process.
        self._transport.write(b"".join(self._pieces[:2]))
        del self._pieces[:2]
        if self._pieces:
            self._loop.call_soon(self._next_piece)
        else:
            self._transport.write(DONE)

    def _flood(self) -> None:
        while self._flood_left > 0 and not self._is_paused and not self._transport.is_closing():
            self._transport.write(FLOOD)
            self._flood_left -= len(FLOOD)
            self._state.flooded += len(FLOOD)
            if self._flood_left <= 0:
                self._transport.write(DONE)


async def main() -> None:
    """Serve until killed."""
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
