"""Requests of every framing, many in a row and cut anywhere: each gets its own answer, in its order."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from system.process import Gateway

KEY = "sk-pipelines"
CONFIG = f"""
model_list:
  - model_name: slow
    litellm_params: {{model: demo/small}}
general_settings:
  master_key: {KEY}
"""
ROUNDS = 40
AT_ONCE = 10
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"


@dataclass(frozen=True)
class Asked:
    """A request and what its answer has to say: a text that came with it."""

    data: bytes
    status: int
    mark: str


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home: Path = tmp_path_factory.mktemp("pipelines")
    with Gateway(home, CONFIG) as running:
        yield running


def a_look_up(chance: random.Random) -> Asked:
    name = f"model-{chance.randrange(10**9)}"
    head = b"GET /v1/models/%b HTTP/1.1\r\nHost: h\r\nx-api-key: %b\r\n\r\n" % (name.encode(), KEY.encode())
    return Asked(head, 404, name)


def a_chat(chance: random.Random) -> Asked:
    padding = "x" * chance.choice([0, 5, 300, 70_000, 200_000])
    mark = f"mark{chance.randrange(10**9)}"
    # It is answered after a few milliseconds, with what it was sent.
    said = [{"role": "user", "content": mark}]
    body = json.dumps({"model": "slow", "messages": said, "padding": padding}).encode()
    offer = OFFER if chance.random() < 0.3 else b""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nx-api-key: %b\r\n%b" % (KEY.encode(), offer)
    if chance.random() < 0.5:
        data = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    else:
        trailer = b"X-Trailer: 1\r\n" if chance.random() < 0.3 else b""
        data = b"%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (head, chunked(body, chance), trailer)
    return Asked(data, 200, mark)


def chunked(body: bytes, chance: random.Random) -> bytes:
    out = bytearray()
    at = 0
    while at < len(body):
        piece = body[at : at + chance.randint(1, 20_000)]
        out += b"%x\r\n%b\r\n" % (len(piece), piece)
        at += len(piece)
    return bytes(out)


async def talk(port: int, chance: random.Random) -> None:
    asked = [chance.choice([a_look_up, a_chat])(chance) for _ in range(chance.randint(1, 12))]
    data = b"".join(one.data for one in asked)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        at = 0
        while at < len(data):
            size = chance.choice([1, 7, 100, 5000, 70_000, 300_000])
            writer.write(data[at : at + size])
            at += size
            await writer.drain()

    sending = asyncio.create_task(send())
    for one in asked:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = (await reader.readexactly(length)).decode()
        assert int(head.split()[1]) == one.status, body
        assert one.mark in body
    await sending
    writer.close()
    await writer.wait_closed()


@pytest.mark.requirement("wire.http1")
def test_pipelined_requests_of_every_framing_get_their_own_answers_in_order(gateway: Gateway) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            for turn in range(ROUNDS):
                await asyncio.gather(*(talk(gateway.port, random.Random(turn * AT_ONCE + i)) for i in range(AT_ONCE)))

    asyncio.run(run())
