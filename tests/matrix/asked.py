"""What a client can ask for: each feature in the JSON of every dialect that has it, and how providers take it.

``asked`` holds members of a client's request, which replace those of the plainest one; ``found`` a pattern of what the
provider has to get. Where a dialect is missing in ``asked`` its clients cannot say it; where a dialect is missing in
``found`` its providers have no place for it, and the gateway must say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

CLIENTS: Final = ("openai", "completions", "responses", "anthropic", "gemini")
PROVIDERS: Final = ("openai", "responses", "anthropic", "gemini", "converse", "cohere", "ollama")
MODELS: Final = {
    "openai": "gpt-5.6",
    "responses": "gpt-5.6",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro-preview",
    "converse": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-reasoning-08-2025",
    "ollama": "qwen3-vl",
}
"""The models that the table is about: what can be said depends on them too."""

PLAIN: Final[Mapping[str, dict[str, Any]]] = {
    "openai": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "completions": {"model": "m", "prompt": "Hi"},
    "responses": {"model": "m", "input": "Hi"},
    "anthropic": {"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}
"""The plainest request of each dialect."""

PNG: Final = "iVBORw0KGgo="
PDF: Final = "JVBERi0xLjQ="
WAV: Final = "UklGRg=="
PICTURE: Final = "https://example.com/cat.png"
RULE: Final = "Answer in one word."
SCHEMA: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


Asked = Mapping[str, dict[str, Any]]


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to ask for."""

    name: str
    asked: Asked
    found: Mapping[str, Any]
    otherwise: frozenset[str] = frozenset()
    """Providers that have no place for it where nothing of the meaning is lost."""


def say(role: str, *parts: Any) -> dict[str, Any]:
    """A message of most dialects."""
    return {"role": role, "content": parts[0] if len(parts) == 1 and isinstance(parts[0], str) else list(parts)}


def asks(*parts: Any) -> dict[str, dict[str, Any]]:
    """A message of the user with a part more, for OpenAI's chat, Responses, Anthropic and Gemini.

    ``None``: the dialect has no such part.
    """
    openai, responses, anthropic, gemini = parts
    text = {"type": "text", "text": "Look:"}
    input_text = {"type": "input_text", "text": "Look:"}
    asked = {
        "openai": openai and {"messages": [say("user", text, openai)]},
        "responses": responses and {"input": [say("user", input_text, responses)]},
        "anthropic": anthropic and {"messages": [say("user", text, anthropic)]},
        "gemini": gemini and {"contents": [{"role": "user", "parts": [{"text": "Look:"}, gemini]}]},
    }
    return {name: members for name, members in asked.items() if members}


def config(**members: Any) -> dict[str, Any]:
    """Members of Gemini's ``generationConfig``."""
    return {"generationConfig": members}


def in_user(part: Any, name: str = "messages", content: str = "content") -> dict[str, Any]:
    """A pattern: a message of the user has ``part``."""
    return {name: [{"role": "user", content: [part]}]}


def blocks(part: Any) -> dict[str, Any]:
    """A pattern: Gemini's contents have ``part``."""
    return {"contents": [{"parts": [part]}]}


def data_url(media_type: str, data: str) -> str:
    """Data as a URL."""
    return f"data:{media_type};base64,{data}"


CONVERSATION: Final = (
    Feature(
        name="system prompt",
        asked={
            "openai": {"messages": [say("system", RULE), say("user", "Hi")]},
            "responses": {"instructions": RULE},
            "anthropic": {"system": RULE},
            "gemini": {"systemInstruction": {"parts": [{"text": RULE}]}},
        },
        found={
            "openai": {"messages": [say("system", RULE)]},
            "responses": {"instructions": RULE},
            "anthropic": {"system": [{"type": "text", "text": RULE}]},
            "gemini": {"systemInstruction": {"parts": [{"text": RULE}]}},
            "converse": {"system": [{"text": RULE}]},
            "cohere": {"messages": [say("system", RULE)]},
            "ollama": {"messages": [say("system", RULE)]},
        },
    ),
    Feature(
        name="developer prompt",
        asked={
            "openai": {"messages": [say("developer", RULE), say("user", "Hi")]},
            "responses": {"input": [say("developer", RULE), say("user", "Hi")]},
        },
        found={
            "openai": {"messages": [say("developer", RULE)]},
            "responses": {"input": [{"role": "developer", "content": [{"text": RULE}]}]},
            "anthropic": {"system": [{"type": "text", "text": RULE}]},
            "gemini": {"systemInstruction": {"parts": [{"text": RULE}]}},
            "converse": {"system": [{"text": RULE}]},
            "cohere": {"messages": [say("system", RULE)]},
            "ollama": {"messages": [say("system", RULE)]},
        },
    ),
    Feature(
        name="several turns",
        asked={
            "openai": {"messages": [say("user", "One?"), say("assistant", "Two."), say("user", "Three?")]},
            "responses": {"input": [say("user", "One?"), say("assistant", "Two."), say("user", "Three?")]},
            "anthropic": {"messages": [say("user", "One?"), say("assistant", "Two."), say("user", "Three?")]},
            "gemini": {
                "contents": [
                    {"role": "user", "parts": [{"text": "One?"}]},
                    {"role": "model", "parts": [{"text": "Two."}]},
                    {"role": "user", "parts": [{"text": "Three?"}]},
                ]
            },
        },
        found={
            name: {"messages": [say("user", "One?"), say("assistant", "Two."), say("user", "Three?")]}
            for name in ("openai", "cohere", "ollama")
        }
        | {
            "responses": {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "One?"}]},
                    {"role": "assistant", "content": [{"type": "output_text", "text": "Two."}]},
                    {"role": "user", "content": [{"type": "input_text", "text": "Three?"}]},
                ]
            },
            "anthropic": {
                "messages": [
                    {"role": "user", "content": [{"text": "One?"}]},
                    {"role": "assistant", "content": [{"text": "Two."}]},
                    {"role": "user", "content": [{"text": "Three?"}]},
                ]
            },
            "gemini": {
                "contents": [
                    {"role": "user", "parts": [{"text": "One?"}]},
                    {"role": "model", "parts": [{"text": "Two."}]},
                    {"role": "user", "parts": [{"text": "Three?"}]},
                ]
            },
            "converse": {
                "messages": [
                    {"role": "user", "content": [{"text": "One?"}]},
                    {"role": "assistant", "content": [{"text": "Two."}]},
                    {"role": "user", "content": [{"text": "Three?"}]},
                ]
            },
        },
    ),
    Feature(
        name="image by URL",
        asked=asks(
            {"type": "image_url", "image_url": {"url": PICTURE}},
            {"type": "input_image", "image_url": PICTURE},
            {"type": "image", "source": {"type": "url", "url": PICTURE}},
            {"fileData": {"fileUri": PICTURE, "mimeType": "image/png"}},
        ),
        found={
            "openai": in_user({"type": "image_url", "image_url": {"url": PICTURE}}),
            "responses": in_user({"type": "input_image", "image_url": PICTURE}, "input"),
            "anthropic": in_user({"type": "image", "source": {"type": "url", "url": PICTURE}}),
            "gemini": blocks({"fileData": {"fileUri": PICTURE, "mimeType": "image/png"}}),
            "cohere": in_user({"type": "image_url", "image_url": {"url": PICTURE}}),
        },
    ),
    Feature(
        name="image data",
        asked=asks(
            {"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}},
            {"type": "input_image", "image_url": data_url("image/png", PNG)},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"inlineData": {"mimeType": "image/png", "data": PNG}},
        ),
        found={
            "openai": in_user({"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}}),
            "responses": in_user({"type": "input_image", "image_url": data_url("image/png", PNG)}, "input"),
            "anthropic": in_user({"source": {"type": "base64", "media_type": "image/png", "data": PNG}}),
            "gemini": blocks({"inlineData": {"mimeType": "image/png", "data": PNG}}),
            "converse": in_user({"image": {"format": "png", "source": {"bytes": PNG}}}),
            "cohere": in_user({"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}}),
            "ollama": {"messages": [{"role": "user", "images": [PNG]}]},
        },
    ),
    Feature(
        name="document (PDF data)",
        asked=asks(
            {"type": "file", "file": {"filename": "a.pdf", "file_data": data_url("application/pdf", PDF)}},
            {"type": "input_file", "filename": "a.pdf", "file_data": data_url("application/pdf", PDF)},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
            {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
        ),
        found={
            "openai": in_user({"type": "file", "file": {"file_data": data_url("application/pdf", PDF)}}),
            "responses": in_user({"type": "input_file", "file_data": data_url("application/pdf", PDF)}, "input"),
            "anthropic": in_user({"type": "document", "source": {"media_type": "application/pdf", "data": PDF}}),
            "gemini": blocks({"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
            "converse": in_user({"document": {"format": "pdf", "source": {"bytes": PDF}}}),
        },
    ),
    Feature(
        name="audio",
        asked=asks(
            {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
            None,
            {"inlineData": {"mimeType": "audio/wav", "data": WAV}},
        ),
        found={
            "openai": in_user({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}),
            "gemini": blocks({"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
            "converse": in_user({"audio": {"format": "wav", "source": {"bytes": WAV}}}),
            "ollama": {"messages": [{"role": "user", "images": [WAV]}]},
        },
    ),
    Feature(
        name="document by URL",
        asked=asks(
            None,
            {"type": "input_file", "file_url": "https://example.com/a.pdf"},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            {"fileData": {"fileUri": "https://example.com/a.pdf", "mimeType": "application/pdf"}},
        ),
        found={
            "responses": in_user({"type": "input_file", "file_url": "https://example.com/a.pdf"}, "input"),
            "anthropic": in_user({"type": "document", "source": {"url": "https://example.com/a.pdf"}}),
            "gemini": blocks({"fileData": {"fileUri": "https://example.com/a.pdf"}}),
        },
    ),
    Feature(
        name="prompt-cache mark",
        asked=asks(
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
            {"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
            None,
        ),
        found={
            "openai": in_user({"text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}),
            "responses": in_user({"text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}, "input"),
            "anthropic": in_user({"text": "Hi", "cache_control": {"type": "ephemeral"}}),
            "converse": in_user({"cachePoint": {"type": "default"}}),
        },
    ),
    Feature(
        name="name of a speaker",
        asked={"openai": {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}},
        found={"openai": {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}},
    ),
)
