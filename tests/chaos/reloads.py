"""Clients who look at what each reply says of its config, while the config is changed; run by itself, a long session.

PYTHONPATH=tests python -m chaos.reloads 1000 2
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from chaos.load import request_for
from chaos.upstream_process import DONE, LENGTH, STREAM_HEAD, chunk
from system.process import Gateway

KEY = "sk-reloads"
CONFIG = """
model_list:
  - model_name: steady
    litellm_params: {{model: openai/steady, api_base: "http://127.0.0.1:{port}/steady/v1", api_key: x}}
  - model_name: second
    litellm_params: {{model: openai/x, api_base: "http://127.0.0.1:{port}/n{n}/v1", api_key: sk-canary-{n:05}}}
  - model_name: first
    litellm_params: {{model: openai/x, api_base: "http://127.0.0.1:1/n{n}/v1", api_key: x, num_retries: 0}}
  - model_name: named-{n}
    litellm_params: {{model: openai/named-{n}, api_base: "http://localhost:{port}/n{n}/v1", api_key: x}}
router_settings: {{fallbacks: [{{first: [second]}}], cooldown_time: 0, num_retries: {retries}}}
general_settings: {{master_key: {key}}}
pointsman_settings: {{config_header: true}}
"""
BROKEN = (
    "model_list: 7\n",
    "model_list: [",
    "model_list:\n  - {litellm_params: {model: openai/x}}\n",
    "router_settings: {num_retries: many}\n",
)
ASKING, STREAMING = 6, 4
TOKENS, TOKEN_SECONDS = 60, 0.05
DEADLINE = 30.0
TURN = 0.05
SERVED = re.compile(rb"/n(\d+)/")
STEADY = request_for("steady", KEY, stream=True)
MODELS = [request_for(model, KEY, stream=False) for model in ("second", "first")]


@dataclass
class Seen:
    """What the clients saw."""

    answers: int = 0
    streams: int = 0
    faults: list[str] = field(default_factory=list)
    numbers: dict[str, set[str]] = field(default_factory=dict)
    """What was answered under the hash of each config: one number, or a view was mixed."""

    @property
    def mixed(self) -> list[str]:
        """Hashes under which several configs have answered."""
        return [config for config, numbers in self.numbers.items() if len(numbers) != 1]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The upstream: says under which path it was asked, or streams for a while."""
    with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = LENGTH.search(head)
            await reader.readexactly(int(found[1]) if found else 0)
            served = SERVED.search(head)
            if served is None:
                writer.write(STREAM_HEAD)
                for number in range(TOKENS):
                    writer.write(chunk(f"token {number} "))
                    await asyncio.sleep(TOKEN_SECONDS)
                writer.write(DONE)
                continue
            choice = {"index": 0, "message": {"role": "assistant", "content": f"n{served[1].decode()}"}}
            body = json.dumps({"id": "x", "object": "chat.completion", "model": "x", "choices": [choice]}).encode()
            length = f"content-length: {len(body)}\r\n\r\n".encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length + body)


class Load:
    """Clients until they are told to stop."""

    def __init__(self, port: int) -> None:
        self.seen = Seen()
        self._port = port
        self._is_over = False
        self._running: asyncio.Future[list[None]] | None = None

    def start(self) -> None:
        """Send."""
        work = [self._ask(MODELS[number % 2]) for number in range(ASKING)]
        self._running = asyncio.gather(*work, *(self._stream() for _ in range(STREAMING)))

    async def stop(self) -> Seen:
        """Let each client finish what it has begun."""
        self._is_over = True
        assert self._running is not None
        await self._running
        return self.seen

    async def _ask(self, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self._is_over:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            self.seen.answers += 1
            if not head.startswith("HTTP/1.1 200"):
                self.seen.faults.append(head.partition("\r\n")[0] + body[:200].decode())
                continue
            config = head.split("x-pointsman-config: ")[1].split("\r\n")[0].partition("-")[2]
            content = json.loads(body)["choices"][0]["message"]["content"]
            self.seen.numbers.setdefault(config, set()).add(content)
        writer.close()

    async def _stream(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self._is_over:
            writer.write(STEADY)
            reply = await reader.readuntil(b"\r\n0\r\n\r\n")
            self.seen.streams += 1
            if reply.count(b"data: {") != TOKENS or b"data: [DONE]" not in reply:
                self.seen.faults.append(f"a stream was cut: {reply[-300:]!r}")
        writer.close()


class Changes:
    """Changes of one gateway's config."""

    def __init__(self, gateway: Gateway, home: Path, port: int) -> None:
        self._gateway = gateway
        self._file = home / "config.yaml"
        self._port = port
        self.valid = self.broken = 0
        self.slowest = 0.0
        """Seconds until a change that nobody has asked for was in force everywhere."""

    def text(self, n: int) -> str:
        """A config that is like no other."""
        return CONFIG.format(port=self._port, n=n, key=KEY, retries=n % 3)

    def status(self) -> dict[str, object]:
        """What one worker tells of all."""
        found: dict[str, object] = self._gateway.get("/config/sync/status", key=KEY).json
        return found

    def hashes(self) -> set[str]:
        """Of the configs in force, one where all workers agree."""
        workers = self.status()["workers"]
        assert isinstance(workers, list)
        return {worker["hash"] for worker in workers}

    async def change(self, n: int, *, is_broken: bool, is_watched: bool) -> None:
        """Put another config there, and have it taken up or refused."""
        before = await asyncio.to_thread(self.hashes)
        draft = self._file.with_suffix(".draft")
        draft.write_text(BROKEN[n % len(BROKEN)] if is_broken else self.text(n))
        draft.replace(self._file)
        began = time.monotonic()
        if is_watched and not is_broken:
            while len(now := await asyncio.to_thread(self.hashes)) != 1 or now == before:
                assert time.monotonic() < began + DEADLINE, "a change was not taken up"
                await asyncio.sleep(TURN)
            self.slowest = max(self.slowest, time.monotonic() - began)
        else:
            told = (await asyncio.to_thread(self._gateway.post, "/config/reload", b"", key=KEY)).json
            assert told["status"] == ("failed" if is_broken else "success"), told
            assert (set() if is_broken else {"config"}) >= set(told["reloaded"])
            assert {worker["hash"] for worker in told["workers"]} == {told["hash"]}
        self.broken += is_broken
        self.valid += not is_broken


@contextlib.asynccontextmanager
async def under_load(home: Path, workers: int = 1) -> AsyncIterator[tuple[Gateway, Load, Changes]]:
    """A gateway and its clients; it is gone afterwards, cleanly."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = CONFIG.format(port=port, n=0, key=KEY, retries=0)
    gateway = Gateway(home, config, "--workers", str(workers))
    await asyncio.to_thread(gateway.__enter__)
    changes, load = Changes(gateway, home, port), Load(gateway.port)
    try:
        async with asyncio.timeout(DEADLINE):
            while workers > 1 and "2 workers serve" not in gateway.stderr:
                await asyncio.sleep(TURN)
        load.start()
        yield gateway, load, changes
        await asyncio.to_thread(gateway.__exit__, None, None, None)
    finally:
        if gateway.process.poll() is None:
            gateway.process.send_signal(signal.SIGKILL)
        server.close()


def resident(gateway: Gateway, workers: int) -> float:
    """MiB of all processes that serve."""
    pid = gateway.process.pid
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if workers > 1 else [str(pid)]
    pages = (int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids)
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def session(count: int, workers: int) -> None:
    """Change the config so many times, one in twenty broken, and say what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        async with under_load(Path(folder), workers) as (gateway, load, changes):
            began, sizes = time.monotonic(), []
            for n in range(1, count + 1):
                await changes.change(n, is_broken=n % 20 == 7, is_watched=n % 25 == 0)
                if n % max(1, count // 10) == 0:
                    sizes.append(round(resident(gateway, workers), 1))
            seconds = time.monotonic() - began
            seen = await load.stop()
            await asyncio.sleep(1)
            text = gateway.get("/metrics", key=KEY).body.decode()
            series = sum(not line.startswith("#") for line in text.splitlines())
            retiring = changes.status()["retiring"]
    print(  # noqa: T201  its only output
        f"{changes.valid} valid and {changes.broken} broken changes in {seconds:.0f} s, {workers} workers: "
        f"{seen.answers} answers and {seen.streams} streams, {len(seen.faults)} failed, "
        f"{len(seen.numbers)} configs seen, {len(seen.mixed)} mixed; watched changes in force within "
        f"{changes.slowest:.2f} s; MiB after each tenth: {sizes}; {series} series; {retiring} retiring"
    )
    print(*seen.faults[:5], sep="\n")  # noqa: T201  the same


if __name__ == "__main__":
    uvloop.run(session(int(sys.argv[1]), int(sys.argv[2])))
