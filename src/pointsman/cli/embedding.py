"""The embedder that a command is told to use; one of the gateway's is asked over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import click
import numpy as np

from pointsman.errors import GatewayError
from pointsman.ml.base import Embedder, Floats
from pointsman.ml.embedders import embedder_of
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.remote import Remote, request_of, vectors_in
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.settings import Timeouts, UpstreamSettings

REMOTE = "gateway:"
ADDRESS = "http://127.0.0.1:4000"
HINT = "check the address, the key and the model"
TIMEOUTS = Timeouts(connect=10.0, first_byte=60.0, idle=30.0, total=120.0)
MAX_ANSWER_BYTES = 64 << 20
AT_ONCE = 64
"""Texts of one request."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try."""
BUSY = frozenset({408, 429, 500, 502, 503, 504})


def embedder_for(spec: str | None, address: str = ADDRESS, key: str | None = None) -> Embedder | None:
    """The embedder that ``spec`` names; ``gateway:MODEL`` is asked at ``address``, with or without its dimension.

    :raises click.ClickException: there is none, or it does not answer
    """
    try:
        if spec is None or not spec.startswith(REMOTE):
            return None if spec is None else embedder_of(spec)
        return _remote(spec.removeprefix(REMOTE), Asking(address, key))
    except NoEmbedder as error:
        raise click.ClickException(str(error)) from error


def _remote(named: str, asking: Asking) -> Remote:
    model, _, dimension = named.rpartition(":")
    if model and dimension.isdecimal() and dimension.isascii():
        return Remote(model, int(dimension), lambda texts: asking.vectors(model, texts))
    return Remote(named, asking.vectors(named, ["?"]).shape[1], lambda texts: asking.vectors(named, texts))


class Asking:
    """Asks an address with OpenAI's ``/v1/embeddings`` while the caller waits; no text twice."""

    def __init__(
        self, address: str, key: str | None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """:raises NoEmbedder: it is no address of HTTP"""
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NoEmbedder("the gateway is asked at an http or https address", f"such as {ADDRESS}")
        base = parts.path.rstrip("/").removesuffix("/v1")
        self._address = f"{parts.scheme}://{parts.netloc}"
        self._target = f"{base}/v1/embeddings".encode()
        self._key = key
        self._sleep = sleep
        self._known: dict[tuple[str, str], Floats] = {}

    def vectors(self, model: str, texts: Sequence[str]) -> Floats:
        """(n, dimension) rows of length 1.

        :raises NoEmbedder: it does not answer, or with something else
        """
        new = [text for text in dict.fromkeys(texts) if (model, text) not in self._known]
        if new:
            asyncio.run(self._fetch(model, new))
        try:
            return np.stack([self._known[model, text] for text in texts])
        except ValueError:
            raise NoEmbedder(f"the vectors of {model} are not all equally long", HINT) from None

    async def _fetch(self, model: str, texts: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        sweeper = Sweeper(loop)
        pool = Pool(UpstreamSettings(), sweeper, Outbox(loop))
        sweeper.start()
        try:
            for start in range(0, len(texts), AT_ONCE):
                part = texts[start : start + AT_ONCE]
                found = vectors_in(await self._answer(pool.host(self._address), request_of(model, part)), len(part))
                self._known |= {(model, text): vector for text, vector in zip(part, found, strict=True)}
        except (GatewayError, ValueError, OSError) as error:
            if isinstance(error, NoEmbedder):
                raise
            detail = getattr(error, "operator_detail", None) or error
            raise NoEmbedder(f"the gateway cannot be asked: {detail}", HINT) from error
        finally:
            await pool.close()
            sweeper.stop()

    async def _answer(self, host: Host, body: bytes) -> bytes:
        """The body of an answer with status 200, which may take a few tries."""
        lines = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        if self._key:
            lines.append((b"authorization", b"Bearer " + self._key.encode()))
        head = request_head(b"POST", self._target, host.host_header, header_lines(lines))
        for pause in (*PAUSES, None):
            response = await host.send(head, body, timeouts=TIMEOUTS)
            answer = await response.read(MAX_ANSWER_BYTES)
            if response.status == 200:
                return answer
            if pause is None or response.status not in BUSY:
                break
            await self._sleep(pause)
        raise NoEmbedder(f"the gateway answered with status {response.status}", HINT)
