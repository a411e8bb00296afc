"""Token servers that answer as they are told, a clock that stands still, and a signature that tells what it is of."""

from __future__ import annotations

import asyncio
from collections import deque
from urllib.parse import parse_qs

import msgspec

from pointsman.upstream.credentials.sts import AwsKeys


class Asked(msgspec.Struct):
    """One request that a token server got."""

    method: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body, strict_parsing=True).items()}


class TokenServer:
    """Answers in the order it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._answers: deque[tuple[int, bytes]] = deque()

    def answer(self, body: object, status: int = 200) -> None:
        text = body.encode(errors="surrogateescape") if isinstance(body, str) else msgspec.json.encode(body)
        self._answers.append((status, text))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, target, _ = line.split(" ")
            self.asked.append(Asked(method, target, headers, body.decode()))
            await self.gate.wait()
            status, text = self._answers.popleft()
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text))


class Clock:
    """Unix time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def sign(
    method: bytes,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    keys: AwsKeys,
    *,
    region: str,
    service: str,
    when: float,
) -> bytes:
    """Says what it was asked to sign, and with what."""
    names = b",".join(name for name, _ in headers)
    who = f"{keys.access_key_id}/{keys.session_token}/{region}/{service}/{when:.0f}".encode()
    return b"authorization: signed %b %b %b %d by %b\r\n" % (method, target, names, len(body), who)
