"""What an agent says, as the answer of a model in the API of the client.

The answer is text and files; how far the agent is, is reasoning. What was used is what the agent tells, or else a guess
by the length of the texts, which is told to be one. Chats are also told, in ``metadata``, of which task and context
that was, so that the client can go on there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

import msgspec

from pointsman.a2a.protocol.answers import File, Piece, Reading, Text
from pointsman.errors import GatewayError
from pointsman.pipeline.answers import JSON_LINE
from pointsman.pipeline.call import Call
from pointsman.pipeline.stream import EVENT_LINES, JSON_LINES, error_event
from pointsman.pipeline.usage import conversed
from pointsman.providers.codecs import INBOUND
from pointsman.providers.dialects import gemini
from pointsman.providers.translation import ReplyTerms, StreamWriter
from pointsman.wire import chat
from pointsman.wire import operations as op
from pointsman.wire.replies import COMMENT
from pointsman.wire.usage import Usage

MAX_ID: Final = 200
"""Characters of an id that stand in a header."""
FINISH: Final[chat.Finish] = "stop"


class Telling:
    """The reply to one client."""

    def __init__(self, call: Call, terms: ReplyTerms) -> None:
        self._call = call
        self._terms = terms
        self._has_output = False
        self._said = 0
        self._writer: StreamWriter | None = None
        self._is_paused = False
        self._can_read: asyncio.Future[None] | None = None
        self._is_quiet = False

    # -- at once --------------------------------------------------------------------------------------------------

    def reply(self, reading: Reading, pieces: Iterable[Piece]) -> None:
        """Tell a whole answer."""
        call = self._call
        parts: list[chat.Part] = []
        for piece in pieces:
            part, last = _part(piece), parts[-1] if parts else None
            self._said += len(part.text.encode()) if isinstance(part, chat.Text | chat.Thinking) else 0
            if isinstance(part, chat.Text) and isinstance(last, chat.Text):
                last.text += part.text
            else:
                parts.append(part)
        usage = self._usage(reading)
        body = INBOUND[call.operation.name].write_answer(
            chat.Answer(choices=[chat.Choice(parts=parts, finish=FINISH)], usage=usage, dialect="a2a"), self._terms
        )
        if call.operation is op.CHAT:
            body["metadata"] = _metadata(reading)
        call.status = 200
        call.downstream.reply(200, JSON_LINE + _lines(reading) + call.identity, msgspec.json.encode(body))

    # -- piece by piece -------------------------------------------------------------------------------------------

    def tell(self, reading: Reading, pieces: Iterable[Piece]) -> None:
        """Tell more of it."""
        for piece in pieces:
            event = _event(piece)
            self._said += len(event.text.encode()) if isinstance(event, chat.TextDelta | chat.ThinkingDelta) else 0
            self._write(self._stream_writer(reading).write(event))

    def finish(self, reading: Reading) -> None:
        """That was all."""
        writer = self._stream_writer(reading)
        if self._call.operation is op.CHAT:
            self._write(self._note(reading))
        out = writer.write(chat.Finished(FINISH))
        usage = self._usage(reading)
        if usage is not None:
            out += writer.write(chat.UsageSeen(usage))
        self._write(out + writer.close())
        self._call.downstream.finish()

    def fail(self, error: GatewayError) -> bool:
        """Tell of a failure, if the client reads a stream already; whether it does."""
        call = self._call
        call.note(error)
        if not call.downstream.is_started:
            return False
        call.status = error.status
        call.downstream.write(error_event(call, error))
        call.downstream.finish()
        return True

    async def can_go_on(self) -> None:
        """Wait for a client that reads too slowly."""
        while self._is_paused:
            self._can_read = asyncio.get_running_loop().create_future()
            await self._can_read

    def beat(self) -> None:
        """Say something if nothing was said since the last time: somebody on the way may cut silent connections."""
        if self._is_quiet and not self._is_paused and not self._call.is_array:
            self._begin(Reading())
            self._call.downstream.write(COMMENT)
        self._is_quiet = True

    def pause(self) -> None:
        """The client does not read."""
        self._is_paused = True

    def resume(self) -> None:
        """It reads again."""
        self._is_paused = False
        if self._can_read is not None and not self._can_read.done():
            self._can_read.set_result(None)

    def _stream_writer(self, reading: Reading) -> StreamWriter:
        if self._writer is None:
            is_array = self._call.is_array
            inbound = INBOUND[self._call.operation.name]
            self._writer = (
                gemini.stream_writer(self._terms, is_array=True) if is_array else inbound.stream_writer(self._terms)
            )
            self._begin(reading)
            self._write(self._writer.write(chat.Started()))
        return self._writer

    def _begin(self, reading: Reading) -> None:
        call = self._call
        if not call.downstream.is_started:
            call.status = 200
            kind = JSON_LINES if call.is_array else EVENT_LINES
            call.downstream.start(200, kind + _lines(reading) + call.identity)
            call.downstream.flow_to(self)

    def _write(self, out: bytes) -> None:
        if out:
            self._is_quiet = False
            self._call.downstream.write(out)

    def _note(self, reading: Reading) -> bytes:
        """A chunk that says nothing but what the answer was about."""
        terms = self._terms
        chunk = {
            "id": f"chatcmpl-{terms.unique}",
            "object": "chat.completion.chunk",
            "created": terms.created,
            "model": terms.model,
            "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}],
            "metadata": _metadata(reading),
        }
        return b"data: %b\n\n" % msgspec.json.encode(chunk)

    def _usage(self, reading: Reading) -> Usage | None:
        return reading.usage or conversed(self._call, self._said)


def _metadata(reading: Reading) -> dict[str, str]:
    return dict(_told(reading)) | {"a2a_usage": "agent" if reading.usage is not None else "estimated"}


def _told(reading: Reading) -> Iterator[tuple[str, str]]:
    values = (reading.task, reading.context, reading.state or "")
    for name, value in zip(("a2a_task_id", "a2a_context_id", "a2a_state"), values, strict=True):
        if value:
            yield name, value


def _lines(reading: Reading) -> bytes:
    """Header lines; what is not known when a stream begins is not in them."""
    said = "; ".join(f"{name.removeprefix('a2a_')}={quote(value[:MAX_ID], safe='')}" for name, value in _told(reading))
    return b"x-pointsman-a2a: %b\r\n" % said.encode() if said else b""


def _part(piece: Piece) -> chat.Text | chat.Thinking | chat.Image:
    if isinstance(piece, File):
        return _file(piece)
    return chat.Text(piece.text) if isinstance(piece, Text) else chat.Thinking(piece.text)


def _event(piece: Piece) -> chat.Event:
    if isinstance(piece, Text):
        return chat.TextDelta(piece.text)
    if isinstance(piece, File):
        found = _file(piece)
        return chat.TextDelta(found.text) if isinstance(found, chat.Text) else chat.WholePart(found)
    return chat.ThinkingDelta(piece.text)


def _file(file: File) -> chat.Image | chat.Text:
    """A picture as one; of other files the address, or else the name: answers of models have no place for more."""
    if file.media_type.startswith("image/"):
        return chat.Image(url=file.url or None, data=file.data or None, media_type=file.media_type)
    name = file.name or file.media_type or "file"
    return chat.Text(f"[{name}]({file.url})" if file.url else f"[{name}]")
