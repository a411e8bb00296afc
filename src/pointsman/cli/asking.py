"""Chat completions that a command asks a gateway for, a few at a time, and waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec

from pointsman.errors import GatewayError
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.settings import Timeouts, UpstreamSettings

TIMEOUTS = Timeouts(connect=10.0, first_byte=300.0, idle=60.0, total=600.0)
MAX_BYTES = 16 << 20
AT_ONCE = 4
"""Questions under way together."""


class NoAnswer(Exception):
    """A question was not answered: why."""


class Reply(msgspec.Struct, frozen=True):
    """An answer and how long it is."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


def ask(
    address: str, key: str | None, model: str, questions: Sequence[str], done: Callable[[], None] = lambda: None
) -> list[Reply | NoAnswer]:
    """Put questions to a model; one that is not answered is why. ``done`` is told of each.

    :raises NoAnswer: there is no such address
    """
    return asyncio.run(_ask_all(address, key, model, questions, done))


async def _ask_all(
    address: str, key: str | None, model: str, questions: Sequence[str], done: Callable[[], None]
) -> list[Reply | NoAnswer]:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NoAnswer("the gateway is asked at an http or https address, such as http://127.0.0.1:4000")
    target = f"{parts.path.rstrip('/').removesuffix('/v1')}/v1/chat/completions".encode()
    gate = asyncio.Semaphore(AT_ONCE)
    async with _host(f"{parts.scheme}://{parts.netloc}") as host:
        lines = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        lines += [(b"authorization", b"Bearer " + key.encode())] if key else []
        head = request_head(b"POST", target, host.host_header, header_lines(lines))

        async def one(question: str) -> Reply | NoAnswer:
            async with gate:
                body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0}
                reply = await _answer(host, head, msgspec.json.encode(body))
                done()
                return reply

        return list(await asyncio.gather(*map(one, questions)))


@asynccontextmanager
async def _host(address: str) -> AsyncIterator[Host]:
    loop = asyncio.get_running_loop()
    sweeper = Sweeper(loop)
    pool = Pool(UpstreamSettings(), sweeper, Outbox(loop))
    sweeper.start()
    try:
        yield pool.host(address)
    finally:
        await pool.close()
        sweeper.stop()


async def _answer(host: Host, head: bytes, body: bytes) -> Reply | NoAnswer:
    try:
        response = await host.send(head, body, timeouts=TIMEOUTS)
        text = await response.read(MAX_BYTES)
        if response.status != 200:
            return NoAnswer(f"status {response.status}")
        found = msgspec.json.decode(text, type=_Completion)
        usage = found.usage or _Usage()
        return Reply(found.choices[0].message.content or "", usage.prompt_tokens, usage.completion_tokens)
    except (GatewayError, OSError, msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
        return NoAnswer(str(getattr(error, "operator_detail", None) or error))
