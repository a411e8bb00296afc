"""An upstream in a process of its own that knows how often it was asked what; prints its port.

``GET /state`` tells how many requests came, of how many texts, and how many were left before they were answered.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from typing import cast

import uvloop
from chaos.upstream_process import LENGTH, WHOLE

CONTENT = re.compile(rb'"content"\s*:\s*"([^"]*)"')
TOKENS = (1, 1)
"""That each answer says it used."""


class Asked:
    """What the test asks about."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.texts = Counter[bytes]()
        self.left = 0

    def told(self) -> bytes:
        """As JSON."""
        state = {"calls": self.texts.total(), "texts": len(self.texts), "left": self.left}
        return json.dumps(state).encode()


class Connection(asyncio.Protocol):
    """Answers one request after the other."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._transport: asyncio.Transport
        self._buffer = b""
        self._is_asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._asked.left += self._is_asked

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = LENGTH.search(self._buffer, 0, head_end + 2)
        end = head_end + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) < end:
            return
        request, self._buffer = self._buffer[:end], self._buffer[end:]
        if request.startswith(b"GET"):
            body = self._asked.told()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        found = CONTENT.search(request)
        self._asked.texts[found[1] if found else b""] += 1
        self._is_asked = True
        asyncio.get_running_loop().call_later(self._asked.seconds, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._is_asked = False
            self._transport.write(WHOLE)


async def main(seconds: float) -> None:
    """Serve until killed."""
    asked = Asked(seconds)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(asked), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
