"""A client's request."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.wire.chat import ChatRequest, Text, Turn

NAME: Final = "completions"
_ONLY_HERE: Final = ("echo", "best_of", "suffix")
_WITHOUT_MEANING: Final = (None, False, "")
_PLACE: Final = re.compile(r"(?P<text>.*) - at `\$\.(?P<path>[^`]*)`")


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct, kw_only=True):
    model: str | None = None
    prompt: str | list[str | int | list[int]]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    logprobs: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    user: str | None = None
    logit_bias: dict[str, float] | None = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None


_REQUEST: Final = msgspec.json.Decoder(_Request)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Any])
_NAMES: Final = frozenset(_Request.__struct_fields__)


def read_request(body: bytes) -> ChatRequest:
    """A client's request, as a conversation of one message.

    Its ``dialect`` is that of OpenAI's chat, whose parameters these are.

    :raises InvalidRequest: it is not valid, or its prompt is not one text; ``param`` names the place
    """
    try:
        asked = _REQUEST.decode(body)
        members = _MEMBERS.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from None
    options = {name: members[name] for name in ("logit_bias", *_ONLY_HERE) if members.get(name) not in _WITHOUT_MEANING}
    if asked.best_of == (asked.n or 1):
        del options["best_of"]
    return ChatRequest(
        dialect="openai",
        model=asked.model,
        turns=[Turn("user", [Text(_prompt(asked.prompt))])],
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        stop=[asked.stop] if isinstance(asked.stop, str) else asked.stop or [],
        seed=asked.seed,
        n=asked.n,
        logprobs=None if asked.logprobs is None else True,
        top_logprobs=asked.logprobs or None,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        stream=asked.stream or False,
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        user=asked.user,
        options=options,
        extras={name: value for name, value in members.items() if name not in _NAMES and value is not None},
    )


def _prompt(prompt: str | list[str | int | list[int]]) -> str:
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and isinstance(prompt[0], str):
        return prompt[0]
    if prompt and isinstance(prompt[0], str):
        raise InvalidRequest("This model answers one prompt at a time; send a request for each", param="prompt")
    raise InvalidRequest("This model takes a prompt as text, not as tokens", param="prompt")


def _wrong_shape(text: str) -> InvalidRequest:
    if "missing required field `prompt`" in text:
        return InvalidRequest("Missing required parameter: 'prompt'", param="prompt")
    place = _PLACE.match(text)
    if place is None:
        return InvalidRequest("The body must be a JSON object")
    said = place["text"][:1].lower() + place["text"][1:].replace("`", "").replace(" | ", " or ")
    return InvalidRequest(f"Invalid '{place['path']}': {said}", param=place["path"])
