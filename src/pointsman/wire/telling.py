"""An answer that is there already, told as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator

from pointsman.wire.chat import (
    Answer,
    Choice,
    Event,
    Finished,
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingSealed,
    ToolCall,
    ToolDelta,
    ToolOpened,
    ToolResult,
    UsageSeen,
    WholePart,
)


def events_of(answer: Answer) -> Iterator[Event]:
    """Everything that ``answer`` says, in the order of a stream."""
    yield Started(id=answer.id, model=answer.model, created=answer.created)
    for choice in answer.choices:
        yield from _events(choice)
        yield Finished(choice.finish, choice.index, choice.stop_sequence, choice.detail)
    if answer.usage is not None:
        yield UsageSeen(answer.usage)


def _events(choice: Choice) -> Iterator[Event]:
    at, calls, logprobs = choice.index, 0, choice.logprobs
    for part in choice.parts:
        if isinstance(part, Text):
            yield TextDelta(part.text, at, logprobs, part.annotations or None)
            logprobs = None
        elif isinstance(part, Refusal):
            yield RefusalDelta(part.text, at)
        elif isinstance(part, Thinking):
            if part.text:
                yield ThinkingDelta(part.text, at)
            if part.seal is not None:
                yield ThinkingSealed(part.seal, at, part.is_redacted)
        elif isinstance(part, ToolCall):
            yield ToolOpened(
                index=calls,
                id=part.id,
                name=part.name,
                choice=at,
                kind=part.kind,
                namespace=part.namespace,
                seal=part.seal,
            )
            yield ToolDelta(calls, part.arguments, at)
            calls += 1
        elif not isinstance(part, ToolResult):
            yield WholePart(part, at)
