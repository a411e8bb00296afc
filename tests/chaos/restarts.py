"""Clients that try nothing twice, while the gateway is restarted; run by itself, a long session with its figures.

PYTHONPATH=tests python -m chaos.restarts 10 20000 500
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from chaos.load import request_for
from chaos.upstream_process import DONE, LENGTH, STREAM_HEAD, WHOLE, chunk
from system.process import Gateway

KEY = "sk-restarts"
CONFIG = """
model_list:
  - model_name: "*"
    litellm_params: {{model: openai/*, api_base: "http://127.0.0.1:{port}/v1", api_key: x}}
general_settings:
  master_key: {key}
"""
TOKENS = 60
TOKEN_SECONDS = 0.05
KEPT, SINGLE, STREAMING = 12, 4, 50
REPLACED = "all workers were replaced"
DEADLINE = 60.0
TURN = 0.05
WHOLE_REQUEST = request_for("whole", KEY, stream=False)
STREAM_REQUEST = request_for("drip", KEY, stream=True)


@dataclass
class Outcome:
    """What the clients saw."""

    kept: int = 0
    single: int = 0
    streams: int = 0
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds of the slowest request that is not a stream."""

    @property
    def requests(self) -> int:
        """All that were answered."""
        return self.kept + self.single + self.streams


class Closed(Exception):
    """The gateway closed the connection although it had not said so."""


class Client:
    """One connection at a time; a new one when the gateway asked for that, or closed it while nothing was under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.is_told = False
        """Whether the last reply said that the connection ends."""

    async def ask(self, request: bytes) -> bytes:
        """The body of the reply, as it was framed.

        :raises Closed: the reply is not whole
        """
        if self._reader is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._writer is not None
        try:
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            if b"\r\ntransfer-encoding: chunked\r\n" in head:
                body = await self._reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                body = await self._reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Closed(repr(error)) from error
        self.is_told = b"\r\nconnection: close\r\n" in head
        if self.is_told:
            self.close()
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Closed(head.decode("latin-1"))
        return body

    def close(self) -> None:
        """Leave."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class Load:
    """Clients of three kinds, until they are told to stop."""

    def __init__(self, port: int, seed: int) -> None:
        self.outcome = Outcome()
        self._port = port
        self._chance = random.Random(seed)
        self._is_over = False
        self._running: asyncio.Future[list[None]] | None = None

    def start(self) -> None:
        """Send."""
        work = [self._keep() for _ in range(KEPT)]
        work += [self._come_and_go() for _ in range(SINGLE)]
        work += [self._stream() for _ in range(STREAMING)]
        self._running = asyncio.gather(*work)

    async def stop(self) -> Outcome:
        """Let each client finish what it has begun."""
        self._is_over = True
        assert self._running is not None
        await self._running
        return self.outcome

    async def _keep(self) -> None:
        client = Client(self._port)
        while not self._is_over:
            self.outcome.kept += await self._count(client)
            # Most send again at once, some rest: closing must hit neither.
            if self._chance.random() < 0.01:
                await asyncio.sleep(self._chance.random() * 2)
        client.close()

    async def _come_and_go(self) -> None:
        while not self._is_over:
            client = Client(self._port)
            self.outcome.single += await self._count(client)
            client.close()

    async def _count(self, client: Client) -> bool:
        begun = time.monotonic()
        try:
            body = await client.ask(WHOLE_REQUEST)
        except Closed as fault:
            self.outcome.faults.append(str(fault))
            client.close()
            return False
        self.outcome.slowest = max(self.outcome.slowest, time.monotonic() - begun)
        if b'"Clear"' not in body:
            self.outcome.faults.append(repr(body))
        return True

    async def _stream(self) -> None:
        client = Client(self._port)
        # Not all in step.
        await asyncio.sleep(self._chance.random() * TOKENS * TOKEN_SECONDS)
        while not self._is_over:
            try:
                body = await client.ask(STREAM_REQUEST)
            except Closed as fault:
                self.outcome.faults.append(str(fault))
                client.close()
                continue
            if body.count(b"data: {") != TOKENS or b"data: [DONE]" not in body:
                self.outcome.faults.append(f"a stream was cut: {body[-300:]!r}")
            self.outcome.streams += 1
        client.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The upstream: a completion at once, or a stream that takes its time."""
    # A client that leaves ends it, however it does.
    with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = LENGTH.search(head)
            body = await reader.readexactly(int(found[1]) if found else 0)
            if b'"drip"' not in body:
                writer.write(WHOLE)
                continue
            writer.write(STREAM_HEAD)
            for number in range(TOKENS):
                if writer.is_closing():
                    return
                writer.write(chunk(f"token {number} "))
                await asyncio.sleep(TOKEN_SECONDS)
            writer.write(DONE)


@contextlib.asynccontextmanager
async def under_load(
    home: Path, *options: str, workers: int = 2, is_idle: bool = False
) -> AsyncIterator[tuple[Gateway, Load]]:
    """A gateway and its clients, who wait if it ``is_idle``; the gateway is gone afterwards, cleanly."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway = Gateway(home, CONFIG.format(port=port, key=KEY), "--workers", str(workers), *options)
    await asyncio.to_thread(gateway.__enter__)
    load = Load(gateway.port, seed=7)
    try:
        await until(lambda: workers == 1 or f"{workers} workers serve" in gateway.stderr, "not all workers serve")
        if not is_idle:
            load.start()
        yield gateway, load
        await asyncio.to_thread(gateway.__exit__, None, None, None)
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
        server.close()


def workers_of(gateway: Gateway) -> set[int]:
    """The processes below the one that was started."""
    pid = gateway.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that other processes do."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            assert what
            await asyncio.sleep(TURN)


async def restart(gateway: Gateway, times: int) -> None:
    """Replace all workers so many times, one time after the other."""
    before = gateway.stderr.count(REPLACED)
    for done in range(before, before + times):
        gateway.process.send_signal(signal.SIGUSR2)
        await until(lambda done=done: gateway.stderr.count(REPLACED) > done, "the workers were not replaced")  # type: ignore[misc]


async def session(home: Path, restarts: int, requests: int = 0, streams: int = 0) -> Outcome:
    """So many restarts, and load for as long as they take, and at least so many requests and streams."""
    async with under_load(home) as (gateway, load):
        seen = load.outcome
        for number in range(restarts):
            await restart(gateway, 1)
            part = (number + 1) / restarts
            await until(lambda: seen.requests >= requests * part and seen.streams >= streams * part, "no progress")  # noqa: B023
        return await load.stop()


def main() -> None:
    """Print what a long session saw."""
    restarts, requests, streams = (int(word) for word in sys.argv[1:])
    with tempfile.TemporaryDirectory() as home:
        begun = time.monotonic()
        seen = uvloop.run(session(Path(home), restarts, requests, streams))
    print(  # noqa: T201
        f"{restarts} restarts in {time.monotonic() - begun:.0f} s: {seen.requests} requests "
        f"({seen.kept} kept, {seen.single} single, {seen.streams} streams), {len(seen.faults)} faults, "
        f"slowest {seen.slowest * 1000:.0f} ms"
    )
    for fault in seen.faults[:10]:
        print(fault)  # noqa: T201


if __name__ == "__main__":
    main()
