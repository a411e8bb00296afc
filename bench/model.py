"""An upstream with a service time, in a process of its own: python bench/model.py --help. It prints its port.

At most so many requests are worked on at a time; the others wait, in order and without a bound. A client that leaves
gives its place up. `GET /state` tells how many have been asked for, and how many were at most there at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

# Run as a script, the folder itself is on the path and the one of the tests is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from chaos.inloop import HOST, Answering
from chaos.upstream_process import DONE, PIECES, STREAM_HEAD, STREAMED, WHOLE

BACKLOG = 4096
STREAM = STREAM_HEAD + b"".join(PIECES) + DONE


@dataclass
class Model:
    """`seconds` is the mean time of work, even between `1 - spread` and `1 + spread` of it."""

    slots: int
    seconds: float
    spread: float
    slow_share: float
    slow_seconds: float
    chance: random.Random
    asked: int = 0
    most: int = 0
    _waiting: deque[tuple[Answering, bytes]] = field(default_factory=deque)
    _working: dict[Answering, asyncio.TimerHandle] = field(default_factory=dict)

    def ask(self, connection: Answering, request: bytes) -> None:
        if request.startswith(b"GET "):
            body = json.dumps({"asked": self.asked, "most": self.most}).encode()
            connection.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        self.asked += 1
        self._waiting.append((connection, STREAM if STREAMED.search(request) else WHOLE))
        self._begin()
        self.most = max(self.most, len(self._waiting) + len(self._working))

    def gone(self, connection: Answering) -> None:
        timer = self._working.pop(connection, None)
        if timer is not None:
            timer.cancel()
            self._begin()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._working) < self.slots:
            connection, answer = self._waiting.popleft()
            if not connection.transport.is_closing():
                self._working[connection] = loop.call_later(self._draw(), self._end, connection, answer)

    def _end(self, connection: Answering, answer: bytes) -> None:
        del self._working[connection]
        connection.transport.write(answer)
        self._begin()

    def _draw(self) -> float:
        if self.chance.random() < self.slow_share:
            return self.slow_seconds
        return self.seconds * (1 + self.spread * (2 * self.chance.random() - 1))


def read_model() -> Model:
    parser = argparse.ArgumentParser(description="An upstream with a service time.")
    parser.add_argument("--slots", type=int, default=1_000_000, help="requests that it works on at a time")
    parser.add_argument("--seconds", type=float, default=0.02, help="mean time of work")
    parser.add_argument("--spread", type=float, default=0.0, help="largest deviation, as a share of the mean")
    parser.add_argument("--slow-share", type=float, default=0.0, help="of requests that take --slow-seconds instead")
    parser.add_argument("--slow-seconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    return Model(given.slots, given.seconds, given.spread, given.slow_share, given.slow_seconds, chance)


async def main(model: Model) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(model.ask, model.gone), HOST, 0, backlog=BACKLOG)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(read_model()))
