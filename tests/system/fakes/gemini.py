"""The Gemini API, version v1beta, with a model of the third generation: it wants its signatures back."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from system.fakes.model import (
    CACHED,
    INPUT,
    OUTPUT,
    REASONED,
    THOUGHT,
    Asked,
    Refused,
    Said,
    Strict,
    T,
    decoded,
    require,
    require_header,
    taken,
    think,
)
from system.upstream.script import Answer, Received, event, json_answer, stream_answer

KEY = "AIza-canary-5512"
MODEL = "gemini-3-pro-preview"
SIGNATURE = "CukDAXnMcanary+/wAAA"
SKIPS = "skip_thought_signature_validator"
"""What Google's documentation gives for histories of other models."""
TARGET = re.compile(r"/v1beta/models/([^/:]+):(generateContent|streamGenerateContent\?alt=sse|countTokens|[a-zA-Z]+)")
Word = Annotated[str, Meta(min_length=1)]
OPEN_API = frozenset({"type", "properties", "required", "description", "enum", "items", "nullable", "anyOf", "format"})
"""Some of the members that ``parameters`` may have; it is no JSON schema."""


class Camel(Strict, rename="camel"):
    pass


class Blob(Camel):
    mime_type: Word
    data: Word


class FunctionCall(Camel):
    name: Word
    args: dict[str, Any] | UnsetType = UNSET
    id: str | UnsetType = UNSET


class FunctionResponse(Camel):
    name: Word
    response: dict[str, Any]
    id: str | UnsetType = UNSET


class Part(Camel):
    text: str | UnsetType = UNSET
    inline_data: Blob | UnsetType = UNSET
    function_call: FunctionCall | UnsetType = UNSET
    function_response: FunctionResponse | UnsetType = UNSET
    thought: bool = False
    thought_signature: str | UnsetType = UNSET


class Content(Camel):
    parts: Annotated[list[Part], Meta(min_length=1)]
    role: Literal["user", "model"] = "user"


class Declaration(Camel):
    name: Word
    description: str = ""
    parameters: dict[str, Any] | UnsetType = UNSET
    parameters_json_schema: dict[str, Any] | UnsetType = UNSET


class Tool(Camel):
    function_declarations: list[Declaration]


class CallingConfig(Camel):
    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"]
    allowed_function_names: tuple[str, ...] = ()


class ToolConfig(Camel):
    function_calling_config: CallingConfig


class ThinkingConfig(Camel):
    include_thoughts: bool = False
    thinking_budget: int | UnsetType = UNSET
    thinking_level: Literal["minimal", "low", "medium", "high", "MINIMAL", "LOW", "MEDIUM", "HIGH"] | UnsetType = UNSET


class GenerationConfig(Camel):
    max_output_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: float | UnsetType = UNSET
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | UnsetType = UNSET
    stop_sequences: Annotated[tuple[str, ...], Meta(max_length=5)] = ()
    seed: int | UnsetType = UNSET
    response_mime_type: Literal["text/plain", "application/json"] | UnsetType = UNSET
    response_schema: dict[str, Any] | UnsetType = UNSET
    response_json_schema: dict[str, Any] | UnsetType = UNSET
    thinking_config: ThinkingConfig | UnsetType = UNSET


class Request(Camel):
    contents: Annotated[list[Content], Meta(min_length=1)]
    system_instruction: Content | UnsetType = UNSET
    tools: tuple[Tool, ...] = ()
    tool_config: ToolConfig | UnsetType = UNSET
    generation_config: GenerationConfig | UnsetType = UNSET
    safety_settings: tuple[Any, ...] = ()


class Batch(Camel):
    model: str
    content: Content
    output_dimensionality: int | UnsetType = UNSET
    task_type: str | UnsetType = UNSET


class BatchRequest(Camel):
    requests: Annotated[list[Batch], Meta(min_length=1)]


FREE = frozenset({"args", "response", "responseSchema", "responseJsonSchema", "parameters", "parametersJsonSchema"})
"""Members whose content is the caller's."""


def _camel(value: Any) -> Any:
    """Google takes each name in snake case too, as all of its servers do."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub("_([a-z])", lambda found: found[1].upper(), name): one for name, one in value.items()}
    return {name: one if name in FREE else _camel(one) for name, one in named.items()}


def _taken(body: bytes, shape: type[T]) -> T:
    return taken(json.dumps(_camel(taken(body, dict[str, Any]))).encode(), shape)


def answer(received: Received) -> Answer:
    """What Google answers."""
    try:
        found = TARGET.fullmatch(received.target)
        require(received.method == "POST" and found is not None, "Not Found", 404)
        assert found is not None
        require_header(received.header("x-goog-api-key"), KEY)
        if found[2] == "countTokens":
            _taken(received.body, Request)
            return json_answer(
                {"totalTokens": INPUT, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": INPUT}]}
            )
        if found[2] == "batchEmbedContents":
            batch = _taken(received.body, BatchRequest)
            require(all(one.model == f"models/{found[1]}" for one in batch.requests), "All models must be the same")
            return json_answer({"embeddings": [{"values": [0.25, -0.5]} for _ in batch.requests]})
        request = _taken(received.body, Request)
        said = think(_asked(request))
        return _stream(said) if "alt=sse" in found[2] else json_answer(_whole(request, said))
    except Refused as refused:
        return refuse(refused)


def refuse(refused: Refused) -> Answer:
    """An error in Google's shape."""
    status, message, details = refused.status, refused.message, []
    if status == 401:
        # So Google answers a wrong key.
        status, message = 400, "API key not valid. Please pass a valid API key."
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        details = [info | {"domain": "googleapis.com"}]
    if status == 429:
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]
    names = {404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}
    error = {"code": status, "message": message, "status": names.get(status, "INVALID_ARGUMENT")}
    return json_answer({"error": error | ({"details": details} if details else {})}, status)


def _asked(request: Request) -> Asked:
    config = GenerationConfig() if request.generation_config is UNSET else request.generation_config
    thinks = config.thinking_config is not UNSET and config.thinking_config.include_thoughts
    asked = Asked(thinks=thinks)
    if request.system_instruction is not UNSET:
        asked.system = _text(request.system_instruction)
    for tool in request.tools:
        asked.tools |= {one.name: _parameters(one) for one in tool.function_declarations}
    if config.response_schema is not UNSET or config.response_json_schema is not UNSET:
        require(config.response_mime_type == "application/json", "A schema needs response_mime_type: application/json")
        schema = config.response_schema if config.response_json_schema is UNSET else config.response_json_schema
        asked.schema = schema if isinstance(schema, dict) else None
    called: list[str] = []
    for number, content in enumerate(request.contents):
        answered = [part.function_response for part in content.parts if part.function_response is not UNSET]
        require(
            [one.name for one in answered] == called,
            "Please ensure that the number of function response parts is equal to the number of function call parts",
        )
        asked.results = [str(one.response.get("output", one.response.get("result"))) for one in answered]
        called = [part.function_call.name for part in content.parts if part.function_call is not UNSET]
        if content.role == "user":
            _take_user(asked, content)
        elif called:
            first = next(part for part in content.parts if part.function_call is not UNSET)
            _check_signature(first, number)
    require(not called, "Please ensure that function call turn comes immediately before a function response turn")
    return asked


def _take_user(asked: Asked, content: Content) -> None:
    text = _text(content)
    asked.turns += bool(text)
    asked.prompt = text
    asked.images += [
        (p.inline_data.mime_type, decoded(p.inline_data.data)) for p in content.parts if p.inline_data is not UNSET
    ]


def _check_signature(part: Part, number: int) -> None:
    assert part.function_call is not UNSET
    name = part.function_call.name
    is_there = part.thought_signature is not UNSET
    require(is_there, f"Function call `{name}` in the {number}. content block is missing a `thought_signature`.")
    # Google's own SDK sends it in the alphabet for URLs.
    signature = str(part.thought_signature).translate(str.maketrans("-_", "+/"))
    require(signature == SIGNATURE or part.thought_signature == SKIPS, "Corrupted thought signature.")


def _parameters(declared: Declaration) -> dict[str, Any]:
    if declared.parameters_json_schema is not UNSET:
        require(declared.parameters is UNSET, "parameters and parameters_json_schema are mutually exclusive")
        return declared.parameters_json_schema
    schema = {} if declared.parameters is UNSET else declared.parameters
    unknown = set(schema) - OPEN_API
    require(not unknown, f'Invalid JSON payload received. Unknown name "{next(iter(unknown), "")}"')
    return schema


def _text(content: Content) -> str:
    return "".join(part.text for part in content.parts if part.text is not UNSET and not part.thought)


def _usage(said: Said) -> dict[str, Any]:
    thoughts = REASONED if said.thinks else 0
    return {
        "promptTokenCount": INPUT,
        "candidatesTokenCount": OUTPUT - thoughts,
        "totalTokenCount": INPUT + OUTPUT,
        "cachedContentTokenCount": CACHED,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": INPUT}],
    } | ({"thoughtsTokenCount": thoughts} if thoughts else {})


def _calls(said: Said) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = [{"functionCall": {"name": c.name, "args": c.arguments}} for c in said.calls]
    if calls:
        # The first of parallel calls has it, whether thoughts are shown or not.
        calls[0]["thoughtSignature"] = SIGNATURE
    return calls


def _event(said: Said, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
    content = {"parts": parts, "role": "model"}
    candidate: dict[str, Any] = {"content": content, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": _usage(said),
        "modelVersion": MODEL,
        "responseId": "lZYLaNrTBYnb1PIP2Z6j4Ag",
    }


def _whole(request: Request, said: Said) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": THOUGHT, "thought": True}] if said.thinks else []
    parts += [{"text": said.text}] if said.text else []
    whole = _event(said, parts + _calls(said), "STOP")
    count = request.generation_config.candidate_count if request.generation_config is not UNSET else UNSET
    if count is not UNSET:
        whole["candidates"] = [whole["candidates"][0] | {"index": index} for index in range(count)]
    return whole


def _stream(said: Said) -> Answer:
    parts: list[dict[str, Any]] = []
    if said.thinks:
        parts += [{"text": piece, "thought": True} for piece in (THOUGHT[:9], THOUGHT[9:])]
    parts += [{"text": word} for word in said.words]
    parts += _calls(said)
    events = [event(_event(said, [part]), end="\r\n") for part in parts]
    if said.breaks:
        error = {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}
        return stream_answer(*events[:-1], event({"error": error}, end="\r\n"))
    return stream_answer(*events, event(_event(said, [{"text": ""}], "STOP"), end="\r\n"))
