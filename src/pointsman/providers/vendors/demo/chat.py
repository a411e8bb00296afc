"""Chat and text completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.names import DemoModel, find_model
from pointsman.providers.vendors.demo.reply import (
    DemoReply,
    event,
    event_reply,
    flag,
    json_reply,
    new_id,
    read_object,
    whole_number,
)
from pointsman.providers.vendors.demo.words import (
    Said,
    compose,
    count_tokens,
    cut,
    read_turns,
    split_words,
    stops_of,
    tool_names,
)

_MAX_CHOICES = 8
_MAX_TOKENS = 1_000_000
_DONE = b"data: [DONE]\n\n"


class _Choice(msgspec.Struct, frozen=True):
    text: str
    finish_reason: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Everything both shapes of both endpoints are made of."""

    model: DemoModel
    head: dict[str, Any]
    """``id``, ``object``, ``created`` and ``model`` of the answer and of each chunk."""
    choices: list[_Choice]
    usage: dict[str, Any]
    includes_usage: bool
    is_streamed: bool


def chat(raw: bytes, now: float) -> DemoReply:
    """``POST /chat/completions``."""
    body = read_object(raw)
    said = msgspec.structs.replace(read_turns(body.get("messages"), "messages"), tools=tool_names(body))
    answer = _answer(body, raw, now, said=said, prefix="chatcmpl-", kind="chat.completion")
    if answer.is_streamed:
        return event_reply(_stream(answer, "chat.completion.chunk", is_chat=True))
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(answer.choices)
    ]
    return json_reply(answer.head | {"choices": choices, "usage": answer.usage}, delay=answer.model.first_delay)


def completions(raw: bytes, now: float) -> DemoReply:
    """``POST /completions``: the older endpoint, one prompt."""
    body = read_object(raw)
    prompt = _prompt_text(body.get("prompt"))
    said = Said(last=prompt, n_texts=1, n_tokens=count_tokens(prompt))
    answer = _answer(body, raw, now, said=said, prefix="cmpl-", kind="text_completion")
    if answer.is_streamed:
        return event_reply(_stream(answer, "text_completion", is_chat=False))
    choices = [
        {"index": index, "text": choice.text, "logprobs": None, "finish_reason": choice.finish_reason}
        for index, choice in enumerate(answer.choices)
    ]
    return json_reply(answer.head | {"choices": choices, "usage": answer.usage}, delay=answer.model.first_delay)


def _prompt_text(prompt: Any) -> str:
    """A text, a list of texts, tokens or lists of tokens: of a list the first is answered."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt:
        first = prompt[0]
        if isinstance(first, str):
            return first
        tokens = first if isinstance(first, list) else prompt
        if all(isinstance(token, int) for token in tokens):
            return f"{len(tokens)} tokens"
    raise InvalidRequest("prompt must be a text, a list of texts or tokens", param="prompt")


def _answer(body: dict[str, Any], raw: bytes, now: float, *, said: Said, prefix: str, kind: str) -> _Answer:
    model = find_model(body.get("model"), "chat")
    limit_name = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    limit = whole_number(body, limit_name, default=0, low=1, high=_MAX_TOKENS) or None
    as_json = _wants_json(body)
    stops = stops_of(body)
    choices = []
    for variant in range(whole_number(body, "n", default=1, low=1, high=_MAX_CHOICES)):
        text, is_cut = cut(compose(model, said, variant=variant, as_json=as_json), stops=stops, max_tokens=limit)
        choices.append(_Choice(text, "length" if is_cut else "stop"))
    return _Answer(
        model=model,
        head={"id": new_id(prefix, raw, now), "object": kind, "created": int(now), "model": model.name},
        choices=choices,
        usage=_usage(said.n_tokens, sum(count_tokens(choice.text) for choice in choices)),
        includes_usage=_includes_usage(body),
        is_streamed=flag(body, "stream"),
    )


def _usage(n_in: int, n_out: int) -> dict[str, Any]:
    return {
        "prompt_tokens": n_in,
        "completion_tokens": n_out,
        "total_tokens": n_in + n_out,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _wants_json(body: dict[str, Any]) -> bool:
    wanted = body.get("response_format")
    if wanted is None:
        return False
    if not isinstance(wanted, dict):
        raise InvalidRequest("response_format must be an object", param="response_format")
    return wanted.get("type") in ("json_object", "json_schema")


def _includes_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object", param="stream_options")
    return flag(options, "include_usage")


def _stream(answer: _Answer, kind: str, *, is_chat: bool) -> Iterator[tuple[float, bytes]]:
    head = answer.head | {"object": kind}
    tail: dict[str, Any] = {"usage": None} if answer.includes_usage else {}

    def chunk(index: int, part: dict[str, Any], finish_reason: str | None) -> bytes:
        choice = {"index": index} | part | {"logprobs": None, "finish_reason": finish_reason}
        return event(head | {"choices": [choice]} | tail)

    delay = answer.model.first_delay
    for index, choice in enumerate(answer.choices):
        if is_chat:
            first = {"role": "assistant", "content": "", "refusal": None}
            yield delay, chunk(index, {"delta": first}, None)
        for word in split_words(choice.text):
            part = {"delta": {"content": word}} if is_chat else {"text": word}
            yield (answer.model.word_delay, chunk(index, part, None))
        yield 0.0, chunk(index, {"delta": {}} if is_chat else {"text": ""}, choice.finish_reason)
        delay = 0.0
    if answer.includes_usage:
        yield 0.0, event(head | {"choices": [], "usage": answer.usage})
    yield 0.0, _DONE
