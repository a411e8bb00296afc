"""What a model can answer, and how the clients of each dialect get it.

``shown`` holds a pattern of the whole reply for each dialect of clients that has a place for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from matrix.patterns import holds
from matrix.said import (
    CACHED,
    FAILURE,
    INPUT,
    LOGPROB,
    OSLO,
    OUTPUT,
    PICTURE,
    REASONED,
    REFUSAL,
    ROME,
    SEAL,
    SOURCE,
    TEXT,
    THOUGHT,
    TOKEN,
    WRITTEN,
    Call,
    Said,
)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a model can say."""

    name: str
    said: Said
    shown: Mapping[str, Any]


def chat(*, finish: Any = ..., logprobs: Any = None, **message: Any) -> dict[str, Any]:
    """A pattern of a chat completion."""
    choice: dict[str, Any] = {"message": message, "finish_reason": finish}
    return {"choices": [choice | ({} if logprobs is None else {"logprobs": logprobs})]}


def completion(**choice: Any) -> dict[str, Any]:
    """A pattern of a text completion."""
    return {"choices": [choice]}


def output(*items: Any, status: str = "completed") -> dict[str, Any]:
    """A pattern of a response."""
    return {"status": status, "output": list(items)}


def part(**members: Any) -> dict[str, Any]:
    """A pattern of a message in a response."""
    return {"type": "message", "content": [members]}


def message(*blocks: Any, **members: Any) -> dict[str, Any]:
    """A pattern of Anthropic's message."""
    return {"content": list(blocks), **members}


def candidate(*parts: Any, **members: Any) -> dict[str, Any]:
    """A pattern of what Gemini answers."""
    return {"candidates": [{"content": {"parts": list(parts)}, **members}]}


def calls(*wanted: Call) -> dict[str, Any]:
    """Patterns of replies with these tool calls."""

    def has_all(reply_calls: Any) -> bool:
        return [call["id"] for call in reply_calls] == [call.id for call in wanted]

    def is_json(call: Call) -> Any:
        return lambda text: msgspec.json.decode(text) == call.arguments

    listed = [{"id": call.id, "function": {"name": call.name, "arguments": is_json(call)}} for call in wanted]
    return {
        "openai": chat(finish="tool_calls", tool_calls=lambda given: has_all(given) and holds(given, listed)),
        "responses": output(
            *(
                {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": is_json(call)}
                for call in wanted
            )
        ),
        "anthropic": message(
            *({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in wanted),
            stop_reason="tool_use",
        ),
        "gemini": candidate(
            *({"functionCall": {"name": call.name, "args": call.arguments}} for call in wanted), finishReason="STOP"
        ),
    }


def counts(openai: Any, responses: Any, anthropic: Any, gemini: Any) -> dict[str, Any]:
    """Patterns of the usage; that of completions is OpenAI's."""
    wanted = {
        "openai": {"usage": openai},
        "completions": {"usage": openai},
        "responses": {"usage": responses},
        "anthropic": {"usage": anthropic},
        "gemini": {"usageMetadata": gemini},
    }
    return {name: pattern for name, pattern in wanted.items() if next(iter(pattern.values())) is not None}


def is_cited(annotation: dict[str, Any]) -> bool:
    """Whether the source is named, wherever it stands."""
    return SOURCE in msgspec.json.encode(annotation).decode()


_PICTURES: Final = {"image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
_ENTRY: Final = {"token": TOKEN, "logprob": LOGPROB}

ANSWERS: Final = (
    Answered(
        name="text",
        said=Said(),
        shown={
            "openai": chat(content=TEXT, finish="stop"),
            "completions": completion(text=TEXT, finish_reason="stop"),
            "responses": output(part(type="output_text", text=TEXT)),
            "anthropic": message({"type": "text", "text": TEXT}, stop_reason="end_turn"),
            "gemini": candidate({"text": TEXT}, finishReason="STOP"),
        },
    ),
    Answered(
        name="refusal",
        said=Said(text=None, refusal=True),
        shown={
            # Providers that mark a refusal by its reason only have its words as the text.
            "openai": lambda reply: (
                holds(reply, chat(refusal=REFUSAL, finish={"stop", "content_filter"}))
                or holds(reply, chat(content=REFUSAL, finish="content_filter"))
            ),
            "completions": completion(text=REFUSAL, finish_reason="content_filter"),
            "responses": lambda reply: (
                holds(reply, output(part(type="refusal", refusal=REFUSAL)))
                or holds(reply, output(part(type="output_text", text=REFUSAL)))
            ),
            "anthropic": message({"type": "text", "text": REFUSAL}, stop_reason="refusal"),
            "gemini": candidate({"text": REFUSAL}, finishReason="SAFETY"),
        },
    ),
    Answered(name="tool call", said=Said(text=None, calls=(ROME,)), shown=calls(ROME)),
    Answered(name="parallel tool calls", said=Said(calls=(ROME, OSLO)), shown=calls(ROME, OSLO)),
    Answered(
        name="reasoning",
        said=Said(thinking=True),
        shown={
            "openai": chat(content=TEXT, reasoning_content=THOUGHT),
            "responses": output({"type": "reasoning", "summary": [{"text": THOUGHT}]}, part(text=TEXT)),
            "anthropic": message({"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": TEXT}),
            "gemini": candidate({"text": THOUGHT, "thought": True}, {"text": TEXT}),
        },
    ),
    Answered(
        name="picture",
        said=Said(picture=True),
        shown={
            "openai": chat(images=[_PICTURES]),
            "responses": output({"type": "image_generation_call", "result": PICTURE}),
            "anthropic": message({"type": "image", "source": {"data": PICTURE}}),
            "gemini": candidate({"inlineData": {"mimeType": "image/png", "data": PICTURE}}),
        },
    ),
    Answered(
        name="citations",
        said=Said(cited=True),
        shown={
            "openai": chat(content=TEXT, annotations=[{"type": "url_citation", "url_citation": {"url": SOURCE}}]),
            "responses": output(part(text=TEXT, annotations=[{"type": "url_citation", "url": SOURCE}])),
            "anthropic": message({"type": "text", "citations": [is_cited]}),
            "gemini": candidate({"text": TEXT}, groundingMetadata={"groundingChunks": [{"web": {"uri": SOURCE}}]}),
        },
    ),
    Answered(
        name="logprobs",
        said=Said(logprobs=True),
        shown={
            "openai": chat(content=TEXT, logprobs={"content": [_ENTRY]}),
            "completions": completion(text=TEXT, logprobs={"tokens": [TOKEN], "token_logprobs": [LOGPROB]}),
            "responses": output(part(text=TEXT, logprobs=[_ENTRY])),
            "gemini": candidate(
                {"text": TEXT}, logprobsResult={"chosenCandidates": [{"token": TOKEN, "logProbability": LOGPROB}]}
            ),
        },
    ),
    Answered(
        name="cut off at the limit",
        said=Said(finish="length"),
        shown={
            "openai": chat(content=TEXT, finish="length"),
            "completions": completion(text=TEXT, finish_reason="length"),
            "responses": output(part(text=TEXT), status="incomplete")
            | {"incomplete_details": {"reason": "max_output_tokens"}},
            "anthropic": message({"text": TEXT}, stop_reason="max_tokens"),
            "gemini": candidate({"text": TEXT}, finishReason="MAX_TOKENS"),
        },
    ),
    Answered(
        name="stopped by a content filter",
        said=Said(finish="content_filter"),
        shown={
            "openai": chat(content=TEXT, finish="content_filter"),
            "completions": completion(text=TEXT, finish_reason="content_filter"),
            "responses": output(part(text=TEXT), status="incomplete")
            | {"incomplete_details": {"reason": "content_filter"}},
            "anthropic": message({"text": TEXT}, stop_reason="refusal"),
            "gemini": candidate({"text": TEXT}, finishReason="SAFETY"),
        },
    ),
    Answered(
        name="which stop sequence",
        said=Said(finish="stop_sequence"),
        shown={
            "openai": chat(content=TEXT, finish="stop") | {"choices": [{"stop_reason": "END"}]},
            "anthropic": message({"text": TEXT}, stop_reason="stop_sequence", stop_sequence="END"),
        },
    ),
    Answered(
        name="usage",
        said=Said(),
        shown=counts(
            {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT},
            {"input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT},
            {"input_tokens": INPUT, "output_tokens": OUTPUT},
            {"promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT},
        ),
    ),
    Answered(
        name="tokens read from the cache",
        said=Said(cached=CACHED),
        shown=counts(
            {"prompt_tokens": INPUT, "prompt_tokens_details": {"cached_tokens": CACHED}},
            {"input_tokens": INPUT, "input_tokens_details": {"cached_tokens": CACHED}},
            {"input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED},
            {"promptTokenCount": INPUT, "cachedContentTokenCount": CACHED},
        ),
    ),
    Answered(
        name="tokens written to the cache",
        said=Said(written=WRITTEN),
        shown=counts(
            {"prompt_tokens": INPUT, "prompt_tokens_details": {"cache_write_tokens": WRITTEN}},
            {"input_tokens": INPUT, "input_tokens_details": {"cache_write_tokens": WRITTEN}},
            {"input_tokens": INPUT - WRITTEN, "cache_creation_input_tokens": WRITTEN},
            None,
        ),
    ),
    Answered(
        name="tokens spent on reasoning",
        said=Said(reasoned=REASONED),
        shown=counts(
            {"completion_tokens": OUTPUT, "completion_tokens_details": {"reasoning_tokens": REASONED}},
            {"output_tokens": OUTPUT, "output_tokens_details": {"reasoning_tokens": REASONED}},
            {"output_tokens": OUTPUT, "output_tokens_details": {"thinking_tokens": REASONED}},
            {"candidatesTokenCount": OUTPUT - REASONED, "thoughtsTokenCount": REASONED},
        ),
    ),
)

SEALED: Final = Said(text=None, thinking=True, sealed=True, calls=(ROME,))
"""Sealed reasoning before a tool call; and without a seal where the provider has none."""
UNSEALED: Final = Said(text=None, thinking=True, calls=(ROME,))
TAKEN_BACK: Final[Mapping[str, Any]] = {
    "openai": {"messages": [{"reasoning_details": [{"text": THOUGHT, "signature": SEAL}]}]},
    "responses": {"input": [{"type": "reasoning", "encrypted_content": SEAL, "summary": [{"text": THOUGHT}]}]},
    "anthropic": {"messages": [{"content": [{"type": "thinking", "thinking": THOUGHT, "signature": SEAL}]}]},
    "gemini": {"contents": [{"parts": [{"functionCall": {"name": ROME.name}, "thoughtSignature": SEAL}]}]},
    "converse": {
        "messages": [{"content": [{"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SEAL}}}]}]
    },
    "cohere": {"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": THOUGHT}]}]},
    "ollama": {"messages": [{"role": "assistant", "thinking": THOUGHT}]},
}
"""What the provider has to get back of its reasoning, in the request after."""
ERRORS: Final[Mapping[str, Any]] = {
    "openai": {"error": {"message": lambda text: FAILURE in text, "type": ...}},
    "completions": {"error": {"message": lambda text: FAILURE in text, "type": ...}},
    "responses": lambda event: event["type"] in ("error", "response.failed") and FAILURE in str(event),
    "anthropic": {"type": "error", "error": {"type": ..., "message": lambda text: FAILURE in text}},
    "gemini": {"error": {"message": lambda text: FAILURE in text, "status": ..., "code": ...}},
}
"""The event that ends a stream which fails."""
