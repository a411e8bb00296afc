"""Clients that leave, in each phase of a request: their upstream is let go, and nothing of them is left.

``python -m chaos.test_disconnects [CLIENTS]``, from the folder of the tests, prints how long it took in each phase;
10,000 clients by default.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import uvloop
from chaos.inloop import HOST, RESET, Answering, serving, upstream
from chaos.load import request_for
from chaos.test_aborts import Footprint, footprint, open_sockets, settle, settled
from chaos.upstream_process import DONE, PIECES, STREAM_HEAD, chunk
from system.process import Gateway

KEY = "sk-chaos"
CONFIG = """
model_list:
  - model_name: "drained/*"
    litellm_params:
      model: openai/*
      api_base: "http://127.0.0.1:{port}/v1"
      api_key: sk-upstream-1
      on_disconnect: drain_for_usage
  - model_name: "*"
    litellm_params: {{model: openai/*, api_base: "http://127.0.0.1:{port}/v1", api_key: sk-upstream-1}}
general_settings:
  master_key: {key}
"""
COUNT = 200
"""Clients in each phase."""
AT_ONCE = 16
GUARD = 20
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":70,"total_tokens":77}}\n\n'
END = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
MODEL = re.compile(rb'"model": ?"([^"]*)"')

PHASES: dict[str, tuple[bool, bytes]] = {
    "waiting for a whole answer": (False, b""),
    "before the head of a stream": (True, b""),
    "before the first token": (True, STREAM_HEAD),
    "in the middle of a stream": (True, STREAM_HEAD + b"".join(PIECES[:3])),
}
"""Whether a stream is asked for, and what the upstream says before it is silent."""


class Upstream:
    """Answers each model name, of which each client has its own, up to where the phase wants it."""

    def __init__(self) -> None:
        self.said = b""
        self.asked: dict[str, asyncio.Future[Answering]] = {}
        self._left: dict[Answering, asyncio.Future[float]] = {}
        self._loop = asyncio.get_running_loop()

    def expect(self, model: str) -> asyncio.Future[Answering]:
        """The connection on which that model is asked for."""
        self.asked[model] = self._loop.create_future()
        return self.asked[model]

    def ask(self, connection: Answering, request: bytes) -> None:
        found = MODEL.search(request)
        assert found is not None
        self._left[connection] = self._loop.create_future()
        connection.transport.write(self.said)
        self.asked.pop(found[1].decode()).set_result(connection)

    def gone(self, connection: Answering) -> None:
        if connection in self._left:
            self._left[connection].set_result(self._loop.time())

    async def left(self, connection: Answering) -> float:
        """When the gateway has closed that connection."""
        left = await self._left[connection]
        del self._left[connection]
        return left


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[Upstream, int]]:
    """An upstream in this loop, and its port."""
    script = Upstream()
    async with upstream(script.ask, script.gone) as port:
        yield script, port


async def leave(script: Upstream, port: int, phase: str, number: int) -> float:
    """Ask, leave, and give the seconds until the upstream was let go."""
    is_stream, script.said = PHASES[phase]
    model = f"model-{number}"
    asked = script.expect(model)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request_for(model, KEY, stream=is_stream))
    connection = await asked
    if PIECES[0] in script.said:
        await reader.readuntil(b"token 2")
    left = asyncio.get_running_loop().time()
    if number % 2:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
    return await script.left(connection) - left


async def leave_often(script: Upstream, port: int, phase: str, count: int) -> list[float]:
    """The same for many clients, some of them at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> float:
        async with places:
            return await leave(script, port, phase, number)

    async with asyncio.timeout(GUARD + count / 50):
        return await asyncio.gather(*(one(number) for number in range(count)))


@contextmanager
def running(home: Path, port: int) -> Iterator[Gateway]:
    """A gateway process before the upstream."""
    with Gateway(home, CONFIG.format(port=port, key=KEY)) as gateway:
        gateway.key = KEY
        yield gateway


async def leave_process(home: Path, phase: str, count: int) -> tuple[list[float], Footprint, Footprint]:
    """Seconds until the upstream was let go, and what the gateway's process holds before and after."""
    async with scripted() as (script, port):
        # It blocks this loop, which has nothing else to do while it starts and stops and when it is measured.
        with running(home, port) as gateway:
            await leave_often(script, gateway.port, phase, AT_ONCE)
            before = settled(gateway, open_sockets(gateway))
            seconds = await leave_often(script, gateway.port, phase, count)
            return seconds, before, settled(gateway, before.sockets)


@pytest.mark.requirement("wire.disconnect")
@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_takes_its_upstream_along_and_leaves_no_socket(phase: str, tmp_path: Path) -> None:
    seconds, before, after = uvloop.run(leave_process(tmp_path, phase, COUNT))
    assert len(seconds) == COUNT
    assert after.sockets <= before.sockets
    assert after.in_flight == after.waiting == after.busy_upstreams == 0


@pytest.mark.requirement("wire.disconnect")
@pytest.mark.parametrize("phase", PHASES)
async def test_a_client_that_leaves_leaves_no_task(phase: str, tmp_path: Path) -> None:
    async with scripted() as (script, port), serving(CONFIG.format(port=port, key=KEY), tmp_path) as gateway:
        at_rest = asyncio.all_tasks()
        await leave_often(script, gateway, phase, COUNT)
        async with asyncio.timeout(GUARD):
            while asyncio.all_tasks() - at_rest:
                await asyncio.sleep(0)


@pytest.mark.requirement("disconnect.accounted")
async def test_what_a_client_that_left_has_had_is_accounted(tmp_path: Path) -> None:
    async with scripted() as (script, port):
        with running(tmp_path, port) as gateway:
            await leave(script, gateway.port, "in the middle of a stream", 0)
            settle(lambda: footprint(gateway).in_flight == 0, "the request goes on")
            assert gateway.metric("litellm_output_tokens_metric_total") > 0


@pytest.mark.requirement("disconnect.drained")
async def test_an_answer_is_read_to_its_end_for_its_usage_where_the_operator_wants_it(tmp_path: Path) -> None:
    async with scripted() as (script, port), asyncio.timeout(GUARD):
        script.said = STREAM_HEAD + PIECES[0]
        with running(tmp_path, port) as gateway:
            asked = script.expect("slow")
            reader, writer = await asyncio.open_connection(HOST, gateway.port)
            writer.write(request_for("drained/slow", KEY, stream=True))
            connection = await asked
            await reader.readuntil(b"token 0")
            writer.transport.abort()
            # The gateway knows of it when a later client has been answered.
            for number in range(3):
                await leave(script, gateway.port, "before the head of a stream", number)
            assert not connection.transport.is_closing()
            rest = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (END, USAGE))
            connection.transport.write(chunk("the rest") + rest + DONE)
            while gateway.metric("litellm_output_tokens_metric_total") != 70:
                await asyncio.sleep(0.01)
            assert gateway.metric("litellm_input_tokens_metric_total") == 7
            assert not connection.transport.is_closing()


def main(count: int) -> None:
    """Print the table."""
    row = "{:30}" + "{:>12}" * 5
    print(row.format("phase", "clients", "p50 ms", "p99 ms", "max ms", "sockets"))  # noqa: T201  # a table for whoever runs it
    for phase in PHASES:
        with tempfile.TemporaryDirectory() as home:
            seconds, before, after = uvloop.run(leave_process(Path(home), phase, count))
        seconds.sort()
        times = [f"{1000 * seconds[int(share * (count - 1))]:.1f}" for share in (0.5, 0.99, 1)]
        print(row.format(phase, count, *times, f"{after.sockets - before.sockets:+}"), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
