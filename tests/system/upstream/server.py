"""A real HTTP/1.1 server on loopback, in a thread of its own, that answers as OpenAI does or as it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self

from system.upstream.answers import answer_to
from system.upstream.script import Answer, End, Gate, Received

MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"|name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)')
NO_MODEL = ""
DEADLINE = 20.0


class Reader(asyncio.StreamReader):
    """A reader that tells of the end at once, also while nobody reads."""

    def __init__(self) -> None:
        super().__init__(limit=1 << 20)
        self.ended = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.ended.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.ended.set()


class FakeUpstream:
    """Records requests by the model that they name. Answers by the same name, or as ``answer`` says."""

    def __init__(self, answer: Callable[[Received], Answer] = answer_to) -> None:
        self._answer = answer
        self._last: Received | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-upstream", daemon=True)
        self._scripts: dict[str, list[Answer]] = {}
        self._received: defaultdict[str, list[Received]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Condition()
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(DEADLINE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """Root of the API, as ``api_base`` takes it."""
        return f"http://{self.address}/v1"

    def answers(self, model: str, *answers: Answer) -> None:
        """Answer requests for ``model`` in this order; the last one stays.

        What was asked of it before is forgotten: another test may have asked a model of this name.
        """
        with self._lock:
            self._scripts[model] = list(answers)
            self._received.pop(model, None)

    def gate(self) -> Gate:
        """A stop to put between the steps of an answer."""
        return Gate(self._loop)

    def requests(self, model: str = NO_MODEL) -> list[Received]:
        """Everything that was asked of ``model``, in order."""
        with self._lock:
            return list(self._received[model])

    def request(self, model: str = NO_MODEL) -> Received:
        """The last request for ``model``; waits for the first one."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._received[model], DEADLINE), f"no request for {model!r}"
            return self._received[model][-1]

    @property
    def last(self) -> Received:
        """The last request for any model."""
        with self._lock:
            assert self._last is not None, "nothing was asked"
            return self._last

    async def _start(self) -> None:
        def protocol() -> asyncio.StreamReaderProtocol:
            reader = Reader()
            return asyncio.StreamReaderProtocol(reader, lambda _, writer: self._serve(reader, writer))

        self._server = await self._loop.create_server(protocol, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: Reader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: Reader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection lives on."""
        received = await _read_request(reader)
        found = MODEL.search(received.body)
        model = NO_MODEL if found is None else (found[1] or found[2] or b"").decode()
        with self._lock:
            self._received[model].append(received)
            self._last = received
            scripts = self._scripts.get(model)
            answer = None if not scripts else scripts.pop(0) if len(scripts) > 1 else scripts[0]
            self._lock.notify_all()
        watch = asyncio.create_task(_watch(reader, received))
        try:
            return await _send(writer, answer or self._answer(received), watch)
        finally:
            watch.cancel()


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in headers if name == "content-length"), 0)
    if ("transfer-encoding", "chunked") in headers:
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(length)
    return Received(method, target, headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return bytes(body)


async def _watch(reader: Reader, received: Received) -> None:
    await reader.ended.wait()
    received.closed.set()


async def _send(writer: asyncio.StreamWriter, answer: Answer, watch: asyncio.Task[None]) -> bool:
    if answer.framing != "raw":
        writer.write(_head(answer))
    for step in answer.steps:
        if isinstance(step, bytes):
            writer.write(b"%x\r\n%b\r\n" % (len(step), step) if answer.framing == "chunked" else step)
            await writer.drain()
        elif isinstance(step, Gate):
            gate = asyncio.create_task(step.passed())
            await asyncio.wait((gate, watch), return_when=asyncio.FIRST_COMPLETED)
            gate.cancel()
            if watch.done():
                return False
        else:
            if step is End.SILENCE:
                await asyncio.wait((watch,))
            elif step is End.RESET:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            return False
    if answer.framing == "chunked":
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return answer.framing in ("length", "chunked")


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Whatever"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.framing == "chunked":
        lines.append("transfer-encoding: chunked")
    elif answer.framing == "length" and not any(name == "content-length" for name, _ in answer.headers):
        lines.append(f"content-length: {len(answer.content)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
