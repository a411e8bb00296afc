"""A streamed answer of Ollama's chat: a line for each piece, the last of them is ``done``.

Tool calls come whole, and may come in several lines.
"""

from __future__ import annotations

from pointsman.providers.dialects.ollama.answers import (
    Chunk,
    Message,
    call_id,
    decode,
    failure_in,
    read_arguments,
    read_finish,
    read_logprobs,
    read_time,
    read_usage,
)
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    Image,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)


class StreamReader:
    """Reads one stream."""

    __slots__ = ("_has_started", "_n_calls", "is_finished")

    def __init__(self) -> None:
        self.is_finished = False
        """Whether the last line has come."""
        self._has_started = False
        self._n_calls = 0

    def read(self, name: bytes, data: bytes) -> list[Event]:  # noqa: ARG002 - lines have no name
        """Take one line.

        :raises UpstreamBroken: it is not valid
        """
        chunk = decode(data)
        if chunk.error:
            return [Failed(failure_in(data))]
        events: list[Event] = []
        if not self._has_started:
            self._has_started = True
            model = chunk.model if isinstance(chunk.model, str) else None
            events.append(Started(model=model, created=read_time(chunk.created_at)))
        message = chunk.message
        if message is not None:
            if message.thinking:
                events.append(ThinkingDelta(message.thinking))
            if message.content:
                logprobs = None if chunk.logprobs is None else read_logprobs(chunk.logprobs)
                events.append(TextDelta(message.content, 0, logprobs))
            if message.tool_calls or message.images:
                self._read_rest(message, data, events)
        if chunk.done:
            self._end(chunk, events)
        return events

    def close(self) -> list[Event]:
        """The upstream has ended."""
        return []

    def _read_rest(self, message: Message, data: bytes, events: list[Event]) -> None:
        events += [WholePart(Image(data=image)) for image in message.images or ()]
        for call in message.tool_calls or ():
            index = self._n_calls
            self._n_calls += 1
            events.append(ToolOpened(index=index, id=call_id(call, data, index), name=call.function.name))
            events.append(ToolDelta(index, read_arguments(call.function)))

    def _end(self, chunk: Chunk, events: list[Event]) -> None:
        self.is_finished = True
        finish, detail = read_finish(chunk.done_reason, has_calls=self._n_calls > 0)
        events.append(Finished(finish, detail=detail))
        usage = read_usage(chunk)
        if usage is not None:
            events.append(UsageSeen(usage))
