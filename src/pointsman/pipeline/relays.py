"""Streams on their way through: what is sent on for what arrives, and what is learnt from it.

Three kinds. Streams of the OpenAI wire pass as bytes and are searched for the little that matters
(:class:`~pointsman.wire.sse.SseRelay`). Other dialects pass as bytes too where the client speaks them
(:class:`WatchedRelay`), and event by event where it does not (:class:`TranslatedRelay`).
"""

from __future__ import annotations

from typing import Protocol

from pointsman.errors import GatewayError
from pointsman.providers.translation import StreamReader, StreamWriter
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.messages import Message
from pointsman.wire.sse import SseRelay
from pointsman.wire.usage import Usage

TEXTS = (TextDelta, ThinkingDelta, RefusalDelta)


class Messages(Protocol):
    """Cuts a stream into messages."""

    def feed(self, piece: bytes) -> list[Message]: ...
    def close(self) -> list[Message]: ...


class Relay(Protocol):
    """A stream between the two sides."""

    usage: Usage | None
    output_bytes: int
    """Length of the text generated so far."""
    chunks: int
    """Events that have arrived."""
    has_output: bool
    has_ending: bool
    """Whether a choice has said why it ended."""
    is_finished: bool
    """Whether the stream has said that it is complete."""
    is_typed: bool
    """Whether its events have types, of which one is always the last."""
    error_body: bytes | None
    """An error event that was withheld."""
    failure: GatewayError | None
    """The same, understood."""

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes; gives what to send on, possibly nothing."""

    def close(self) -> bytes:
        """The upstream has ended: the rest of what to send on, and the end of the stream if it was complete."""


class _Notes:
    """What is learnt from the events of a stream."""

    def __init__(self, reader: StreamReader, messages: Messages) -> None:
        self._reader = reader
        self._messages = messages
        self.usage: Usage | None = None
        self.output_bytes = 0
        self.chunks = 0
        self.has_output = False
        self.has_ending = False
        self.is_finished = False
        self.is_typed = False
        self.error_body: bytes | None = None
        self.failure: GatewayError | None = None

    def _note(self, event: Event) -> None:
        kind = type(event)
        if kind in TEXTS:
            size = len(event.text)  # type: ignore[union-attr]
            if size:
                self.output_bytes += size
                self.has_output = True
        elif kind is ToolDelta:
            self.output_bytes += len(event.arguments)  # type: ignore[union-attr]
        elif isinstance(event, ToolOpened | WholePart):
            self.has_output = True
        elif isinstance(event, Finished):
            self.has_ending = True
        elif isinstance(event, UsageSeen):
            self.usage = event.usage
        elif isinstance(event, Started):
            self.usage = event.usage or self.usage
        elif isinstance(event, Failed):
            self.failure = event.error


class TranslatedRelay(_Notes):
    """Every event is read from one dialect and written in another."""

    def __init__(self, reader: StreamReader, messages: Messages, writer: StreamWriter) -> None:
        super().__init__(reader, messages)
        self._writer = writer

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes of the upstream; gives what the client gets for them.

        :raises UpstreamBroken: they cannot be understood
        """
        return self._take(self._messages.feed(piece))

    def close(self) -> bytes:
        """The upstream has ended.

        :raises UpstreamBroken: what was left cannot be understood
        """
        out = self._take(self._messages.close())
        if self.failure is None:
            out += b"".join(map(self._write, self._reader.close()))
        self.is_finished = self._reader.is_finished
        # Of several choices one may have ended before the stream was cut.
        self.has_ending = self.has_ending and self.is_finished
        return out + self._writer.close() if self.is_finished and self.failure is None else out

    def _take(self, messages: list[Message]) -> bytes:
        out = []
        for name, data in messages:
            if self.failure is not None:
                break
            self.chunks += 1
            out += [self._write(event) for event in self._reader.read(name, data)]
        self.is_finished = self._reader.is_finished
        return out[0] if len(out) == 1 else b"".join(out)

    def _write(self, event: Event) -> bytes:
        self._note(event)
        return b"" if isinstance(event, Failed) else self._writer.write(event)


class WatchedRelay(_Notes):
    """The bytes go on as they came, but for ``model``; what they say is read beside."""

    def __init__(self, relay: SseRelay, reader: StreamReader, messages: Messages, end: bytes | None = None) -> None:
        """``end`` stands in the last event of each complete stream; ``None``: the reader knows it by other signs."""
        super().__init__(reader, messages)
        self._relay = relay
        self._end = end

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes of the upstream; gives those of whole events.

        :raises UpstreamBroken: they cannot be understood
        """
        out = self._relay.feed(piece)
        self._read(out, self._messages.feed(out))
        return out

    def close(self) -> bytes:
        """The upstream has ended.

        :raises UpstreamBroken: what was left cannot be understood
        """
        out = self._relay.close()
        self._read(out, self._messages.feed(out) + self._messages.close())
        for event in self._reader.close():
            self._note(event)
        return out

    def _read(self, out: bytes, messages: list[Message]) -> None:
        self.error_body = self._relay.error_body
        for name, data in messages:
            self.chunks += 1
            for event in self._reader.read(name, data):
                self._note(event)
        if self._end is None:
            self.is_finished = self._reader.is_finished
        elif out.find(self._end) >= 0:
            self.is_finished = True
