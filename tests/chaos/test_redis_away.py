"""A Redis that is killed, frozen and reset under a gateway whose key has a budget."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from contract.redis_server import RedisServer, redis_or_skip
from openai import AsyncOpenAI
from system.process import Gateway

MASTER = "sk-master-canary-19cc"
CONFIG = """
model_list:
  - model_name: house
    litellm_params: {{model: demo/small, input_cost_per_token: 0.001, output_cost_per_token: 0.002}}
router_settings: {{redis_host: 127.0.0.1, redis_port: {port}}}
general_settings: {{master_key: {master}}}
"""
PROMPT: Any = [{"role": "user", "content": "Hello"}]
AT_A_TIME = 20
PATIENCE = 20.0
BACK_SECONDS = 5.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    made = redis_or_skip()
    yield made
    made.close()


class Way:
    """A way to a Redis that can be reset."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._writers: list[asyncio.StreamWriter] = []
        self._serving: list[asyncio.Future[Any]] = []
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        self.reset()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def reset(self) -> None:
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and not writer.transport.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        self._writers += [writer, back]
        both = asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        self._serving.append(both)
        await both

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()


async def many(gateway: Gateway, key: str, seconds: float) -> int:
    """Calls that went well, of some at a time; raises what went wrong with one."""
    until, count = time.monotonic() + seconds, 0
    async with AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=0, timeout=PATIENCE) as openai:

        async def one() -> None:
            nonlocal count
            while time.monotonic() < until:
                await openai.chat.completions.create(model="house", messages=PROMPT, max_tokens=5)
                count += 1

        await asyncio.gather(*(one() for _ in range(AT_A_TIME)))
    return count


def said(gateway: Gateway) -> list[str]:
    """What the log says of Redis."""
    lines = map(json.loads, gateway.stderr.splitlines())
    told = [str(line["message"]) for line in lines if line["logger"] == "pointsman.store.breaker"]
    return [text.partition(":")[0] for text in told if "Redis" in text]


def is_down(gateway: Gateway, told: int) -> bool:
    return len(said(gateway)) > told


async def until(is_so: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.05)


async def test_no_caller_notices_that_redis_is_killed_frozen_or_reset(tmp_path: Path, redis: RedisServer) -> None:
    way = Way(redis.port)
    await way.open()
    config = CONFIG.format(port=way.port, master=MASTER)
    gateway = await asyncio.to_thread(Gateway(tmp_path, config).__enter__)
    try:
        asked = {"rpm_limit": 10**7, "max_parallel_requests": 500, "max_budget": 10**6}
        made = await asyncio.to_thread(lambda: gateway.post("/key/generate", asked, key=MASTER))
        key = made.json["key"]
        assert await many(gateway, key, 0.5)
        # Resets between which it may just be writing.
        loading = asyncio.ensure_future(many(gateway, key, 3.0))
        for _ in range(10):
            way.reset()
            await asyncio.sleep(0.25)
        assert await loading
        for fail, mend in (
            (redis.kill, redis.start),
            (lambda: _signal(redis, signal.SIGSTOP), lambda: _signal(redis, signal.SIGCONT)),
        ):
            told = len(said(gateway))
            loading = asyncio.ensure_future(many(gateway, key, 4.0))
            await asyncio.sleep(0.5)
            await asyncio.to_thread(fail)
            await until(partial(is_down, gateway, told), PATIENCE)
            await asyncio.to_thread(mend)
            await until(lambda: said(gateway)[-1].endswith("is back"), BACK_SECONDS)
            assert await loading
        assert "Traceback" not in gateway.stderr
        # It counts there again.
        before = redis.run("DBSIZE")
        assert before != b":0\r\n"
        assert await many(gateway, key, 0.5)
    finally:
        await asyncio.to_thread(gateway.__exit__, None, None, None)
        await way.close()


def _signal(redis: RedisServer, number: signal.Signals) -> None:
    assert redis.process is not None
    redis.process.send_signal(number)
