"""One request of a command to a running gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pointsman.cli.state import KEY_FILE, data_directory
from pointsman.errors import GatewayError
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts, UpstreamSettings

DEFAULT_URL = "http://127.0.0.1:4000"
TIMEOUTS = Timeouts(connect=5.0, first_byte=60.0, idle=10.0, total=60.0)
LONG = Timeouts(connect=5.0, first_byte=600.0, idle=60.0, total=86_400.0)
"""For files."""
MAX_BYTES = 16 << 20
KEY_VARIABLES = ("POINTSMAN_MASTER_KEY", "LITELLM_MASTER_KEY")


class NotDone(Exception):
    """The gateway did not do it: why."""

    def __init__(self, why: str, *, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        """Its answer's; ``None``: there was none."""


def master_key(given: str | None) -> str | None:
    """The key that was given, else the environment's, else the one that the gateway has made here."""
    stated = given or next((key for name in KEY_VARIABLES if (key := os.environ.get(name, "").strip())), None)
    if stated is not None and stated != "auto":
        return stated
    try:
        return (data_directory(os.environ) / KEY_FILE).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def post(url: str, path: str, key: str | None, body: Any) -> Any:
    """The JSON with which a gateway answers.

    :raises NotDone: it could not be reached, or refused
    """
    return asyncio.run(_post(url, path, key, body))


async def _post(url: str, path: str, key: str | None, body: Any) -> Any:
    async with reaching(url, key) as gateway:
        return await gateway.ask("POST", path, body)


@asynccontextmanager
async def reaching(url: str, key: str | None) -> AsyncIterator[Reached]:
    """A gateway, to be asked several times.

    :raises NotDone: that is no address
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotDone(f"the gateway is asked at an http or https address, such as {DEFAULT_URL}")
    loop = asyncio.get_running_loop()
    sweeper = Sweeper(loop)
    pool = Pool(UpstreamSettings(), sweeper, Outbox(loop))
    sweeper.start()
    try:
        yield Reached(url, pool.host(f"{parts.scheme}://{parts.netloc}"), parts.path.rstrip("/"), key)
    finally:
        await pool.close()
        sweeper.stop()


class Reached:
    """Asks one gateway. All of it raises :class:`NotDone` where that could not be reached, or refused."""

    def __init__(self, url: str, host: Host, base: str, key: str | None) -> None:
        self._url = url
        self._host = host
        self._base = base
        self._key = key

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that it answers with; without ``body`` none is sent."""
        sent = b"" if body is None else msgspec.json.encode(body)
        return await self._told(method, path, None if body is None else "application/json", sent, len(sent), TIMEOUTS)

    async def send(self, path: str, kind: str, body: AsyncIterator[bytes], length: int) -> Any:
        """The same for a body of ``length`` bytes that comes piece by piece."""
        return await self._told("POST", path, kind, body, length, LONG)

    async def fetch(self, path: str, sink: Callable[[bytes], None]) -> None:
        """Give what it answers with to ``sink``, as it comes."""
        with self._translated():
            response = await self._send("GET", path, None, b"", 0, LONG)
            await response.relay(sink)

    async def _told(
        self, method: str, path: str, kind: str | None, body: bytes | AsyncIterator[bytes], length: int, times: Timeouts
    ) -> Any:
        with self._translated():
            response = await self._send(method, path, kind, body, length, times)
            return msgspec.json.decode(await response.read(MAX_BYTES))

    async def _send(
        self, method: str, path: str, kind: str | None, body: bytes | AsyncIterator[bytes], length: int, times: Timeouts
    ) -> Response:
        lines = [(b"content-type", kind.encode())] if kind else []
        lines.append((b"accept", b"application/json"))
        lines += [(b"authorization", b"Bearer " + self._key.encode())] if self._key else []
        target = f"{self._base}{path}".encode()
        head = request_head(method.encode(), target, self._host.host_header, header_lines(lines))
        response = await self._host.send(head, body, length=length, timeouts=times)
        if response.status != HTTPStatus.OK:
            text = await response.read(MAX_BYTES)
            raise NotDone(
                f"the gateway answered with status {response.status}: {_message(text)}", status=response.status
            )
        return response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (GatewayError, OSError, ValueError) as error:
            raise NotDone(f"cannot ask {self._url}: {getattr(error, 'operator_detail', None) or error}") from error


def _message(text: bytes) -> str:
    try:
        told = msgspec.json.decode(text)
        return str(told["detail"] if "detail" in told else told["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "no reason given"
