"""An answer of Cohere's chat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.providers.dialects.cohere.citations import read_citation
from pointsman.providers.dialects.cohere.facts import BROKEN, FINISHES, NAME
from pointsman.providers.failures import classify, classify_inside, read_complaint
from pointsman.wire.chat import Answer, Choice, Finish, Foreign, Part, Text, Thinking, ToolCall
from pointsman.wire.usage import Usage


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: list[dict[str, Any]] | None = None
    tool_plan: str | None = None
    tool_calls: list[_Call] | None = None
    citations: list[Any] | None = None


class _Answer(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    id: str | None = None
    usage: Any = None
    logprobs: Any = None


class _Counts(msgspec.Struct, gc=False):
    input_tokens: float = 0
    output_tokens: float = 0
    search_units: float = 0


class _Usage(msgspec.Struct):
    billed_units: _Counts | None = None
    tokens: _Counts | None = None
    cached_tokens: float | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_MAX_COUNT: Final = 2**53


def read_answer(body: bytes) -> Answer:
    """An answer with status 200.

    :raises UpstreamBroken: it is none, or is not complete
    :raises UpstreamRejected: it is an error
    """
    try:
        answer = _ANSWER.decode(body)
    except msgspec.ValidationError:
        raise failure_in(body) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not valid JSON") from None
    parts = _parts(answer.message)
    finish, detail = read_finish(
        answer.finish_reason or "COMPLETE", has_calls=any(isinstance(part, ToolCall) for part in parts)
    )
    choice = Choice(parts=parts, finish=finish, detail=detail, logprobs=read_logprobs(answer.logprobs))
    return Answer(choices=[choice], id=answer.id, usage=read_usage(answer.usage), dialect=NAME)


def failure_in(data: bytes) -> GatewayError:
    """The error that an answer or an event with status 200 tells of."""
    found = classify_inside(data, secrets=(), address="")
    if found is None and read_complaint(data) is not None:
        found = classify(502, (), data, secrets=(), address="", now=0.0)
    return found or UpstreamBroken("The provider's answer is not one")


def read_finish(word: str, *, has_calls: bool) -> tuple[Finish, str | None]:
    """Our word and, where that does not say it all, Cohere's.

    :raises UpstreamBroken: the answer is not complete
    """
    if word in BROKEN:
        raise UpstreamBroken(f"The provider did not finish its answer: {word}")
    finish = FINISHES.get(word)
    detail = None if finish is not None else word
    if has_calls and finish in (None, "stop"):
        finish = "tool_calls"
    return finish or "stop", detail


def read_usage(value: Any) -> Usage | None:
    """What is billed or, where that is not said, what was read and written.

    Cohere counts what was cached in all that it has read. Of that only what must be among the billed counts here.
    """
    try:
        usage = msgspec.convert(value, _Usage | None)
    except msgspec.ValidationError:
        return None
    counts = None if usage is None else usage.billed_units or usage.tokens
    if usage is None or counts is None:
        return None
    read, written = count(counts.input_tokens), count(counts.output_tokens)
    n_free = max(0, count(usage.tokens.input_tokens) - read) if usage.tokens is not None else 0
    return Usage(
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        cached_input_tokens=min(read, max(0, count(usage.cached_tokens or 0) - n_free)),
        search_units=count(counts.search_units),
    )


def count(value: float) -> int:
    """A count that can be one, else 0."""
    return int(value) if 0 < value < _MAX_COUNT else 0


def read_logprobs(value: Any) -> list[dict[str, Any]] | None:
    """Entries of OpenAI's; a text of several tokens is one entry, with the probability of them all."""
    items = value if isinstance(value, list) else [value]
    entries = [entry for item in items if (entry := _logprob(item)) is not None]
    return entries or None


def _logprob(item: Any) -> dict[str, Any] | None:
    text = item.get("text") if isinstance(item, dict) else None
    values = item.get("logprobs") if isinstance(item, dict) else None
    if not isinstance(text, str) or not isinstance(values, list):
        return None
    total = sum(value for value in values if isinstance(value, int | float))
    return {"token": text, "logprob": total, "bytes": list(text.encode()), "top_logprobs": []}


def _parts(message: _Message) -> list[Part]:
    parts: list[Part] = []
    for content in message.content or ():
        parts += _part(content)
    if message.tool_plan:
        parts.append(Text(message.tool_plan))
    _annotate(parts, message.citations or ())
    for call in message.tool_calls or ():
        function = call.function
        if function is None or not function.name:
            raise UpstreamBroken("The provider's answer has a tool call without a name")
        parts.append(ToolCall(id=call.id or "", name=function.name, arguments=function.arguments or ""))
    return parts


def _part(content: dict[str, Any]) -> list[Part]:
    kind = content.get("type")
    text = content.get(kind) if kind in ("text", "thinking") else None
    if not isinstance(text, str):
        return [Foreign(NAME, content)]
    if not text:
        return []
    return [Text(text) if kind == "text" else Thinking(text)]


def _annotate(parts: list[Part], citations: Iterable[Any]) -> None:
    last = next((part for part in reversed(parts) if isinstance(part, Text)), None)
    if last is not None:
        last.annotations = [annotation for citation in citations for annotation in read_citation(citation)]
