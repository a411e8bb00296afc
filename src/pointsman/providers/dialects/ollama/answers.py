"""An answer of Ollama's chat, and what it has in common with a streamed one."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.providers.failures import classify_inside
from pointsman.wire.chat import Answer, Choice, Finish, Image, Part, Text, Thinking, ToolCall
from pointsman.wire.logprobs import read_entries
from pointsman.wire.usage import Usage

NAME: Final = "ollama"
_FINISHES: Final[dict[str, Finish]] = {"stop": "stop", "length": "length"}
_MAX_COUNT: Final = 2**53


class Function(msgspec.Struct, gc=False):
    """A function that is called; ``arguments`` are an object."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Call(msgspec.Struct, gc=False):
    """A tool call, whole."""

    function: Function
    id: str | None = None


class Message(msgspec.Struct, gc=False):
    """What the model says, or some of it."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None
    images: list[str] | None = None


class Chunk(msgspec.Struct, gc=False):
    """An answer, or a line of one: the last is ``done``."""

    message: Message | None = None
    done: bool = False
    done_reason: str | None = None
    model: Any = None
    created_at: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    logprobs: Any = None
    error: Any = None


_CHUNK: Final = msgspec.json.Decoder(Chunk)


def decode(data: bytes) -> Chunk:
    """An answer, or a line of one.

    :raises UpstreamBroken: it is none
    """
    try:
        return _CHUNK.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not valid") from None


def read_answer(body: bytes) -> Answer:
    """An answer with status 200.

    :raises UpstreamBroken: it is none
    :raises UpstreamRejected: it is an error
    """
    chunk = decode(body)
    if chunk.error:
        raise failure_in(body)
    if chunk.message is None or not chunk.done:
        raise UpstreamBroken("The provider's answer is not complete")
    parts = _parts(chunk.message, body)
    finish, detail = read_finish(chunk.done_reason, has_calls=bool(chunk.message.tool_calls))
    choice = Choice(parts=parts, finish=finish, detail=detail, logprobs=read_logprobs(chunk.logprobs))
    return Answer(
        choices=[choice],
        model=chunk.model if isinstance(chunk.model, str) else None,
        created=read_time(chunk.created_at),
        usage=read_usage(chunk),
        dialect=NAME,
    )


def failure_in(data: bytes) -> GatewayError:
    """The error that an answer or a line with status 200 tells of."""
    return classify_inside(data, secrets=(), address="") or UpstreamBroken()


def _parts(message: Message, body: bytes) -> list[Part]:
    parts: list[Part] = []
    if message.thinking:
        parts.append(Thinking(message.thinking))
    if message.content:
        parts.append(Text(message.content))
    parts += [Image(data=data) for data in message.images or ()]
    for index, call in enumerate(message.tool_calls or ()):
        parts.append(
            ToolCall(id=call_id(call, body, index), name=call.function.name, arguments=read_arguments(call.function))
        )
    return parts


def call_id(call: Call, data: bytes, index: int) -> str:
    """The id of a call that stands in ``data``. Where older servers give none it is made of that and of its place."""
    return call.id or f"call_{hashlib.sha256(data).hexdigest()[:16]}{index}"


def read_arguments(function: Function) -> str:
    """The arguments of a call as text; models served by others may have them as a text already.

    :raises UpstreamBroken: they are not valid
    """
    raw = bytes(function.arguments)
    try:
        if raw.startswith(b'"'):
            return msgspec.json.decode(raw, type=str)
        return "{}" if raw == b"null" else raw.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("The provider's answer has a tool call that is not valid") from None


def read_finish(word: str | None, *, has_calls: bool) -> tuple[Finish, str | None]:
    """Our word and, where that does not say it all, Ollama's; it has none for calls, and older servers none at all."""
    finish = _FINISHES.get(word or "stop")
    detail = None if finish is not None else word
    if has_calls and finish != "length":
        finish = "tool_calls"
    return finish or "stop", detail


def read_usage(chunk: Chunk) -> Usage | None:
    """What the last line counts; a prompt that was cached whole is not counted by older servers."""
    if chunk.prompt_eval_count is None and chunk.eval_count is None:
        return None
    read, written = count(chunk.prompt_eval_count), count(chunk.eval_count)
    return Usage(input_tokens=read, output_tokens=written, total_tokens=read + written)


def count(value: Any) -> int:
    """A count that can be one, else 0."""
    return value if type(value) is int and 0 < value < _MAX_COUNT else 0


def read_time(value: Any) -> int | None:
    """Unix time in seconds of an RFC 3339 date."""
    try:
        return int(datetime.fromisoformat(value).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def read_logprobs(value: Any) -> list[dict[str, Any]] | None:
    """Entries of OpenAI's, whose members Ollama leaves out where they are empty."""
    if not isinstance(value, list):
        return None
    return read_entries([{"bytes": None, "top_logprobs": []} | entry for entry in value if isinstance(entry, dict)])
