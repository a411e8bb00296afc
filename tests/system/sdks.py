"""The official Python SDKs behind one face, each used as its own documentation says.

A conversation is a list of what was asked (:class:`Question`), what was heard (:class:`Heard`) and what tools have
answered (:class:`Results`). What was heard is given back as its SDK's users give it back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import anthropic
import openai
from google import genai
from google.genai import types
from pydantic import BaseModel

MAX_TOKENS = 6000
BUDGET = 2048
TOOL = "get_weather"
ABOUT_TOOL = "Tells the weather of a city."
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

OURS: Any = {"parsed": True, "tool_calls": {"__all__": {"index": True, "function": {"parsed_arguments"}}}}
"""What the SDK of OpenAI itself has added to a message."""


class Station(BaseModel):
    """What a structured answer is."""

    city: str
    tracks: int


@dataclass(frozen=True)
class Question:
    """Of the user."""

    text: str
    image: bytes | None = None


@dataclass(frozen=True)
class Called:
    """A tool call."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """What tools have answered, in the order of the calls."""

    calls: Sequence[Called]
    texts: Sequence[str]


@dataclass(frozen=True)
class Heard:
    """An answer."""

    text: str
    own: Any
    """What goes into the history."""
    model: str | None
    finish: str | None
    tokens: tuple[int, int, int]
    """Input, output, and input from a cache."""
    thinking: str = ""
    calls: list[Called] = field(default_factory=list)
    pieces: int = 1
    """In which the text has come."""


History = Sequence[Question | Heard | Results]


@dataclass(frozen=True)
class Wish:
    """What is wanted of an answer."""

    system: str = ""
    has_tools: bool = False
    is_structured: bool = False
    thinks: bool = False
    is_stream: bool = False


class Sdk(Protocol):
    """One SDK."""

    NAME: ClassVar[str]
    STOP: ClassVar[str]
    """Why an answer ended that is complete."""
    TOOLS: ClassVar[str]
    """The same of one that wants tools called."""
    ERRORS: ClassVar[dict[int, type[Exception]]]
    """What is raised for a status."""

    def ask(self, model: str, history: History, wish: Wish) -> Heard: ...
    def close(self) -> None: ...


class Chat:
    """``openai``: Chat Completions."""

    NAME = "chat"
    STOP, TOOLS = "stop", "tool_calls"
    ERRORS: ClassVar[dict[int, type[Exception]]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
        503: openai.InternalServerError,
    }

    def __init__(self, base_url: str, key: str) -> None:
        self.client = openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0, timeout=20)

    def close(self) -> None:
        self.client.close()

    def ask(self, model: str, history: History, wish: Wish) -> Heard:
        messages: list[Any] = [{"role": "system", "content": wish.system}] if wish.system else []
        for turn in history:
            messages += self._messages(turn)
        asked: dict[str, Any] = {"model": model, "messages": messages, "max_completion_tokens": MAX_TOKENS}
        if wish.has_tools:
            # The SDK's helpers take strict tools only.
            schema = PARAMETERS | {"additionalProperties": False}
            function = {"name": TOOL, "description": ABOUT_TOOL, "parameters": schema, "strict": True}
            asked["tools"] = [{"type": "function", "function": function}]
        if wish.thinks:
            asked["reasoning_effort"] = "medium"
        if wish.is_structured:
            asked["response_format"] = Station
        if not wish.is_stream:
            answer = self.client.chat.completions.parse(**asked)
            return self._heard(answer)
        with self.client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            pieces = sum(event.type == "content.delta" for event in stream)
            return self._heard(stream.get_final_completion(), pieces)

    @staticmethod
    def _messages(turn: Question | Heard | Results) -> list[Any]:
        if isinstance(turn, Heard):
            return [turn.own]
        if isinstance(turn, Results):
            pairs = zip(turn.calls, turn.texts, strict=True)
            return [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in pairs]
        if turn.image is None:
            return [{"role": "user", "content": turn.text}]
        url = f"data:image/png;base64,{base64.b64encode(turn.image).decode()}"
        parts = [{"type": "text", "text": turn.text}, {"type": "image_url", "image_url": {"url": url}}]
        return [{"role": "user", "content": parts}]

    @staticmethod
    def _heard(answer: Any, pieces: int = 1) -> Heard:
        message, usage = answer.choices[0].message, answer.usage
        calls = [Called(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or ()]
        return Heard(
            text=message.content or "",
            own=message.model_dump(exclude_none=True, exclude=OURS),
            model=answer.model,
            finish=answer.choices[0].finish_reason,
            tokens=(
                usage.prompt_tokens,
                usage.completion_tokens,
                (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0,
            ),
            thinking=getattr(message, "reasoning_content", None) or "",
            calls=calls,
            pieces=pieces,
        )


class Responses:
    """``openai``: Responses, as Codex and the Agents SDK use it: nothing is stored."""

    NAME = "responses"
    STOP, TOOLS = "completed", "completed"
    ERRORS = Chat.ERRORS

    def __init__(self, base_url: str, key: str) -> None:
        self.client = openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0, timeout=20)

    def close(self) -> None:
        self.client.close()

    def ask(self, model: str, history: History, wish: Wish) -> Heard:
        asked: dict[str, Any] = {"model": model, "max_output_tokens": MAX_TOKENS, "store": False}
        asked["input"] = [item for turn in history for item in self._items(turn)]
        if wish.system:
            asked["instructions"] = wish.system
        if wish.has_tools:
            tool = {"type": "function", "name": TOOL, "description": ABOUT_TOOL, "parameters": PARAMETERS}
            asked["tools"] = [tool | {"strict": False}]
        if wish.thinks:
            asked["reasoning"] = {"effort": "medium", "summary": "auto"}
            asked["include"] = ["reasoning.encrypted_content"]
        if wish.is_structured:
            asked["text_format"] = Station
        if not wish.is_stream:
            return self._heard(self.client.responses.parse(**asked))
        with self.client.responses.stream(**asked) as stream:
            pieces = sum(event.type == "response.output_text.delta" for event in stream)
            return self._heard(stream.get_final_response(), pieces)

    @staticmethod
    def _items(turn: Question | Heard | Results) -> list[Any]:
        if isinstance(turn, Heard):
            return list(turn.own)
        if isinstance(turn, Results):
            pairs = zip(turn.calls, turn.texts, strict=True)
            return [{"type": "function_call_output", "call_id": call.id, "output": text} for call, text in pairs]
        if turn.image is None:
            return [{"role": "user", "content": turn.text}]
        url = f"data:image/png;base64,{base64.b64encode(turn.image).decode()}"
        parts = [{"type": "input_text", "text": turn.text}, {"type": "input_image", "image_url": url, "detail": "auto"}]
        return [{"role": "user", "content": parts}]

    @staticmethod
    def _heard(answer: Any, pieces: int = 1) -> Heard:
        calls, thinking = [], ""
        for item in answer.output:
            if item.type == "function_call":
                calls.append(Called(item.call_id, item.name, json.loads(item.arguments)))
            elif item.type == "reasoning":
                thinking += "".join(part.text for part in item.summary)
        usage = answer.usage
        own = [item.model_dump(exclude_none=True, exclude={"parsed_arguments": True}) for item in answer.output]
        return Heard(
            text=answer.output_text,
            own=own,
            model=answer.model,
            finish=answer.status,
            tokens=(usage.input_tokens, usage.output_tokens, usage.input_tokens_details.cached_tokens),
            thinking=thinking,
            calls=calls,
            pieces=pieces,
        )


class Messages:
    """``anthropic``: Messages."""

    NAME = "messages"
    STOP, TOOLS = "end_turn", "tool_use"
    ERRORS: ClassVar[dict[int, type[Exception]]] = {
        400: anthropic.BadRequestError,
        401: anthropic.AuthenticationError,
        404: anthropic.NotFoundError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        503: anthropic.InternalServerError,
    }

    def __init__(self, base_url: str, key: str) -> None:
        self.client = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=20)

    def close(self) -> None:
        self.client.close()

    def ask(self, model: str, history: History, wish: Wish) -> Heard:
        asked: dict[str, Any] = {"model": model, "max_tokens": MAX_TOKENS}
        asked["messages"] = [self._message(turn) for turn in history]
        if wish.system:
            asked["system"] = wish.system
        if wish.has_tools:
            asked["tools"] = [{"name": TOOL, "description": ABOUT_TOOL, "input_schema": PARAMETERS}]
        if wish.thinks:
            asked["thinking"] = {"type": "enabled", "budget_tokens": BUDGET}
        if wish.is_structured:
            schema = Station.model_json_schema() | {"additionalProperties": False}
            asked["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if not wish.is_stream:
            return self._heard(self.client.messages.create(**asked))
        with self.client.messages.stream(**asked) as stream:
            pieces = sum(1 for _ in stream.text_stream)
            return self._heard(stream.get_final_message(), pieces)

    @staticmethod
    def _message(turn: Question | Heard | Results) -> Any:
        if isinstance(turn, Heard):
            return {"role": "assistant", "content": turn.own}
        if isinstance(turn, Results):
            pairs = zip(turn.calls, turn.texts, strict=True)
            blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in pairs]
            return {"role": "user", "content": blocks}
        if turn.image is None:
            return {"role": "user", "content": turn.text}
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(turn.image).decode()}
        return {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": turn.text}]}

    @staticmethod
    def _heard(answer: Any, pieces: int = 1) -> Heard:
        usage = answer.usage
        cached = usage.cache_read_input_tokens or 0
        blocks = answer.content
        return Heard(
            text="".join(block.text for block in blocks if block.type == "text"),
            own=[block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in blocks],
            model=answer.model,
            finish=answer.stop_reason,
            tokens=(
                usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
                usage.output_tokens,
                cached,
            ),
            thinking="".join(block.thinking for block in blocks if block.type == "thinking"),
            calls=[Called(block.id, block.name, dict(block.input)) for block in blocks if block.type == "tool_use"],
            pieces=pieces,
        )


class GenerateContent:
    """``google-genai``: the Gemini API."""

    NAME = "gemini"
    STOP, TOOLS = "STOP", "STOP"
    ERRORS: ClassVar[dict[int, type[Exception]]] = {
        400: genai.errors.ClientError,
        401: genai.errors.ClientError,
        404: genai.errors.ClientError,
        429: genai.errors.ClientError,
        500: genai.errors.ServerError,
        503: genai.errors.ServerError,
    }

    def __init__(self, base_url: str, key: str) -> None:
        options = types.HttpOptions(base_url=base_url, timeout=20_000)
        self.client = genai.Client(api_key=key, http_options=options, vertexai=False)

    def close(self) -> None:
        self.client.close()

    def ask(self, model: str, history: History, wish: Wish) -> Heard:
        config = types.GenerateContentConfig(max_output_tokens=MAX_TOKENS)
        if wish.system:
            config.system_instruction = wish.system
        if wish.has_tools:
            declared = types.FunctionDeclaration(name=TOOL, description=ABOUT_TOOL, parameters_json_schema=PARAMETERS)
            config.tools = [types.Tool(function_declarations=[declared])]
        if wish.thinks:
            config.thinking_config = types.ThinkingConfig(
                include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH
            )
        if wish.is_structured:
            config.response_mime_type = "application/json"
            config.response_schema = Station
        contents: list[Any] = [self._content(turn) for turn in history]
        if not wish.is_stream:
            return self._heard([self.client.models.generate_content(model=model, contents=contents, config=config)])
        stream = self.client.models.generate_content_stream(model=model, contents=contents, config=config)
        return self._heard(list(stream))

    @staticmethod
    def _content(turn: Question | Heard | Results) -> types.Content:
        if isinstance(turn, Heard):
            return types.Content(role="model", parts=turn.own)
        if isinstance(turn, Results):
            parts = []
            for call, text in zip(turn.calls, turn.texts, strict=True):
                answered = types.FunctionResponse(id=call.id or None, name=call.name, response={"output": text})
                parts.append(types.Part(function_response=answered))
            return types.Content(role="user", parts=parts)
        parts = [types.Part(text=turn.text)]
        if turn.image is not None:
            parts.append(types.Part.from_bytes(data=turn.image, mime_type="image/png"))
        return types.Content(role="user", parts=parts)

    @staticmethod
    def _heard(answers: list[types.GenerateContentResponse]) -> Heard:
        parts: list[types.Part] = []
        finish = None
        for answer in answers:
            for candidate in (answer.candidates or ())[:1]:
                parts += (candidate.content and candidate.content.parts) or []
                finish = candidate.finish_reason or finish
        usage = answers[-1].usage_metadata
        assert usage is not None
        texts = [part.text for part in parts if part.text and not part.thought]
        called = [part.function_call for part in parts if part.function_call]
        return Heard(
            text="".join(texts),
            own=parts,
            model=answers[-1].model_version,
            finish=None if finish is None else finish.value,
            tokens=(
                usage.prompt_token_count or 0,
                (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
                usage.cached_content_token_count or 0,
            ),
            thinking="".join(part.text or "" for part in parts if part.thought),
            calls=[Called(call.id or "", call.name or "", dict(call.args or {})) for call in called],
            pieces=len(texts),
        )


SDKS: tuple[type[Chat | Responses | Messages | GenerateContent], ...] = (Chat, Responses, Messages, GenerateContent)
