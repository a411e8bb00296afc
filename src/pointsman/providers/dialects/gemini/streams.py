"""A provider's streamed answer: events that each are a response with the parts that are new.

The reason for which a candidate has ended is held until the stream does. Old models repeat it in every event, and
the calls that make a difference to it may come after it. So are the sources, which are given anew each time.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.providers.dialects.gemini import wire
from pointsman.providers.dialects.gemini.answers import decode, digest
from pointsman.providers.dialects.gemini.citations import read_citations
from pointsman.providers.dialects.gemini.finishes import read_finish
from pointsman.providers.dialects.gemini.logprobs import read_logprobs
from pointsman.providers.dialects.gemini.parts import arguments_of, call_id, media_of, seal_of
from pointsman.providers.dialects.gemini.usages import read_usage
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)

MAX_CITED: Final = 1_048_576
"""Characters of a text that are kept to tell the places of its sources."""


USAGE_EVERY: Final = 16
"""Events of which one is asked for its usage, which counts if the stream is given up on the way."""


class _Choice(msgspec.Struct):
    """What is known of a candidate so far."""

    n_calls: int = 0
    reason: str | None = None
    grounding: Any = None
    citations: Any = None
    texts: list[str] = []
    n_kept: int = 0


class StreamReader:
    """Reads one stream."""

    def __init__(self) -> None:
        self.is_finished = False
        self._is_started = False
        self._unique = ""
        self._usage = wire.NOTHING
        self._n_events = 0
        self._blocked: str | None = None
        self._choices: dict[int, _Choice] = {}

    def read(self, name: bytes, data: bytes) -> list[Event]:  # noqa: ARG002 - Google gives events no name
        """Take one event.

        :raises UpstreamBroken: it cannot be understood
        """
        try:
            response = decode(data)
        except UpstreamBroken:
            raise
        except GatewayError as error:
            self._choices.clear()
            return [Failed(error)]
        events: list[Event] = []
        if not self._is_started:
            self._start(response, data, events)
        if response.usage_metadata is not wire.NOTHING:
            self._usage = response.usage_metadata
            self._n_events += 1
            if self._n_events % USAGE_EVERY == 0 and (usage := read_usage(self._usage)) is not None:
                events.append(UsageSeen(usage))
        try:
            for at, candidate in enumerate(response.candidates or ()):
                self._take(candidate, at, events)
        except UpstreamBroken as error:
            self._choices.clear()  # nothing follows a failure
            events.append(Failed(error))
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason is not None and not self._choices:
            self._blocked = feedback.block_reason
            self.is_finished = True
        return events

    def close(self) -> list[Event]:
        """What was held back: sources, why the candidates have ended, and the usage."""
        events: list[Event] = []
        if self._blocked is not None:
            events.append(Finished("content_filter", detail=self._blocked))
        for index, choice in self._choices.items():
            found = read_citations(choice.grounding, choice.citations, "".join(choice.texts))
            if found:
                events.append(TextDelta("", index, annotations=found))
            if choice.reason is not None:
                finish, detail = read_finish(choice.reason, has_calls=choice.n_calls > 0)
                events.append(Finished(finish, index, detail=detail))
        usage = read_usage(self._usage)
        if usage is not None:
            events.append(UsageSeen(usage))
        return events

    def _start(self, response: wire.Response, data: bytes, events: list[Event]) -> None:
        self._is_started = True
        self._unique = response.response_id or digest(data)
        usage = read_usage(response.usage_metadata)
        events.append(Started(id=response.response_id, model=response.model_version, usage=usage))

    def _take(self, candidate: wire.Candidate, at: int, events: list[Event]) -> None:
        index = at if candidate.index is None else candidate.index
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        n_before = len(events)
        if candidate.content is not None and candidate.content.parts is not None:
            for part in candidate.content.parts:
                text = part.text
                if text and not part.thought and part.thought_signature is None:
                    if choice.n_kept < MAX_CITED:
                        choice.n_kept += len(text)
                        choice.texts.append(text)
                    events.append(TextDelta(text, index))
                else:
                    self._take_part(part, index, choice, events)
        if candidate.logprobs_result is not None:
            _add_logprobs(candidate.logprobs_result, index, events, n_before)
        if candidate.grounding_metadata is not None:
            choice.grounding = candidate.grounding_metadata
        if candidate.citation_metadata is not None:
            choice.citations = candidate.citation_metadata
        if candidate.finish_reason is not None:
            choice.reason = candidate.finish_reason
            self.is_finished = all(each.reason is not None for each in self._choices.values())

    def _take_part(self, part: wire.Part, index: int, choice: _Choice, events: list[Event]) -> None:
        seal = seal_of(part)
        if part.function_call is not None:
            call = part.function_call
            at = choice.n_calls
            choice.n_calls += 1
            events.append(
                ToolOpened(index=at, id=call_id(call, self._unique, at), name=call.name, choice=index, seal=seal)
            )
            events.append(ToolDelta(at, arguments_of(call), index))
        elif (media := media_of(part)) is not None:
            events.append(WholePart(media, index))
        else:
            if part.text:
                events.append(ThinkingDelta(part.text, index) if part.thought else TextDelta(part.text, index))
                if not part.thought:
                    choice.texts.append(part.text)
            if seal is not None:
                events.append(ThinkingSealed(seal, index))


def _add_logprobs(result: Any, index: int, events: list[Event], n_before: int) -> None:
    """Put log probabilities to the first text of an event."""
    found = read_logprobs(result)
    if found:
        first = next((event for event in events[n_before:] if isinstance(event, TextDelta)), None)
        if first is None:
            events.append(TextDelta("", index, found))
        else:
            first.logprobs = found


def stream_reader() -> StreamReader:
    """A reader for one stream."""
    return StreamReader()
