"""Amazon Bedrock's Converse API, with a Claude behind it; requests have to be signed."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

from msgspec import UNSET, Meta, UnsetType
from system.fakes.model import (
    CACHED,
    INPUT,
    OUTPUT,
    SEAL,
    THOUGHT,
    WRITTEN,
    Asked,
    Refused,
    Said,
    Strict,
    decoded,
    in_order,
    require,
    taken,
    think,
)
from system.upstream.script import Answer, Received, json_answer
from unit.wire.eventstreams import encode

ACCESS_KEY = "AKIACANARY3391"
SECRET_KEY = "aws-secret-canary/8842"
REGION = "eu-central-1"
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
TARGET = re.compile(r"/model/([^/]+)/(converse|converse-stream|invoke)")
CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})")
STREAM_TYPE = ("content-type", "application/vnd.amazon.eventstream")
TOOL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
Word = Annotated[str, Meta(min_length=1)]
Spoken = Annotated[str, Meta(pattern=r"\S")]


class Camel(Strict, rename="camel"):
    pass


class CachePoint(Camel):
    type: Literal["default"]


class Bytes(Camel):
    bytes: Word


class Image(Camel):
    format: Literal["png", "jpeg", "gif", "webp"]
    source: Bytes


class ToolUse(Camel):
    tool_use_id: Word
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    input: dict[str, Any]


class ResultText(Camel):
    text: str | UnsetType = UNSET
    json: Any = UNSET


class ToolResult(Camel):
    tool_use_id: Word
    content: list[ResultText]
    status: Literal["success", "error"] = "success"


class ReasoningText(Camel):
    text: str
    signature: Word


class Reasoning(Camel):
    reasoning_text: ReasoningText


class Block(Camel):
    """A union: exactly one is set."""

    text: Spoken | UnsetType = UNSET
    image: Image | UnsetType = UNSET
    tool_use: ToolUse | UnsetType = UNSET
    tool_result: ToolResult | UnsetType = UNSET
    reasoning_content: Reasoning | UnsetType = UNSET
    cache_point: CachePoint | UnsetType = UNSET


class Message(Camel):
    role: Literal["user", "assistant"]
    content: Annotated[list[Block], Meta(min_length=1)]


class System(Camel):
    text: Spoken | UnsetType = UNSET
    cache_point: CachePoint | UnsetType = UNSET


class InferenceConfig(Camel):
    max_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    stop_sequences: list[Word] | UnsetType = UNSET


class Json(Camel):
    json: dict[str, Any]


class ToolSpec(Camel):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    input_schema: Json
    description: Word | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class Tool(Camel):
    tool_spec: ToolSpec | UnsetType = UNSET
    cache_point: CachePoint | UnsetType = UNSET


class ToolConfig(Camel):
    tools: Annotated[list[Tool], Meta(min_length=1)]
    tool_choice: dict[Literal["auto", "any", "tool"], dict[str, str]] | UnsetType = UNSET


class Schema(Camel):
    schema: str
    name: Word | UnsetType = UNSET
    description: str | UnsetType = UNSET


class Structure(Camel):
    json_schema: Schema


class TextFormat(Camel):
    type: Literal["json_schema"]
    structure: Structure


class OutputConfig(Camel):
    text_format: TextFormat | UnsetType = UNSET
    effort: str | UnsetType = UNSET


class Thinking(Strict):
    type: Literal["enabled", "disabled"]
    budget_tokens: Annotated[int, Meta(ge=1024)] = 1024


class Claude(Strict):
    """What is Claude's own."""

    thinking: Thinking | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    tool_choice: dict[str, Any] | UnsetType = UNSET
    anthropic_beta: list[str] | UnsetType = UNSET


class Request(Camel):
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: tuple[System, ...] = ()
    inference_config: InferenceConfig | UnsetType = UNSET
    tool_config: ToolConfig | UnsetType = UNSET
    output_config: OutputConfig | UnsetType = UNSET
    additional_model_request_fields: Claude | UnsetType = UNSET
    additional_model_response_field_paths: tuple[str, ...] = ()


class Titan(Camel):
    input_text: Word
    dimensions: Literal[256, 512, 1024] | UnsetType = UNSET
    normalize: bool | UnsetType = UNSET
    embedding_types: list[str] | UnsetType = UNSET


def answer(received: Received) -> Answer:
    """What Amazon answers."""
    try:
        found = TARGET.fullmatch(received.target)
        require(received.method == "POST" and found is not None, "UnknownOperation", 404)
        assert found is not None
        _check_signature(received)
        if found[2] == "invoke":
            taken(received.body, Titan)
            return json_answer({"embedding": [0.25, -0.5], "inputTextTokenCount": 5})
        require(unquote(found[1]) == MODEL, "The provided model identifier is invalid.")
        said = think(_asked(taken(received.body, Request)))
        if found[2] == "converse":
            return json_answer(_whole(said))
        return Answer(200, (STREAM_TYPE,), [encode(name, payload) for name, payload in _events(said)], "chunked")
    except Refused as refused:
        return refuse(refused)


def refuse(refused: Refused) -> Answer:
    """An error in Amazon's shape."""
    names = {
        401: "UnrecognizedClientException",
        403: "InvalidSignatureException",
        404: "ResourceNotFoundException",
        429: "ThrottlingException",
        500: "InternalServerException",
        503: "ServiceUnavailableException",
    }
    kind = names.get(refused.status, "ValidationException")
    headers = [("x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/")]
    headers += [("retry-after", "7")] if refused.status == 429 else []
    return json_answer({"message": refused.message}, refused.status, headers)


def _check_signature(received: Received) -> None:
    """Compute the signature once more, as Amazon's documentation of Signature Version 4 says."""
    found = CREDENTIAL.fullmatch(received.header("authorization") or "")
    require(found is not None, "Missing Authentication Token", 403)
    assert found is not None
    day, region, service, _ = found[2].split("/")
    require(found[1] == ACCESS_KEY, "The security token included in the request is invalid.", 403)
    require((region, service) == (REGION, "bedrock"), "Credential should be scoped to a valid region.", 403)
    signed = "".join(f"{name}:{received.header(name)}\n" for name in found[3].split(";"))
    path = quote(received.target, safe="/-_.~")
    digest = hashlib.sha256(received.body).hexdigest()
    canonical = f"POST\n{path}\n\n{signed}\n{found[3]}\n{digest}"
    to_sign = f"AWS4-HMAC-SHA256\n{received.header('x-amz-date')}\n{found[2]}\n"
    to_sign += hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET_KEY}".encode()
    for step in (day, region, service, "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    is_right = hmac.digest(key, to_sign.encode(), "sha256").hex() == found[4]
    require(is_right, "The request signature we calculated does not match the signature you provided.", 403)


def _asked(request: Request) -> Asked:
    own, limits = request.additional_model_request_fields, request.inference_config
    settings = UNSET if own is UNSET else own.thinking
    thinks = settings is not UNSET and settings.type == "enabled"
    if settings is not UNSET and limits is not UNSET and limits.max_tokens is not UNSET:
        is_less = not thinks or settings.budget_tokens < limits.max_tokens
        require(is_less, "`max_tokens` must be greater than `thinking.budget_tokens`")
    asked = Asked(thinks=thinks, system=" ".join(one.text for one in request.system if one.text is not UNSET))
    if request.tool_config is not UNSET:
        specs = [tool.tool_spec for tool in request.tool_config.tools if tool.tool_spec is not UNSET]
        asked.tools = {spec.name: spec.input_schema.json for spec in specs}
    if request.output_config is not UNSET and request.output_config.text_format is not UNSET:
        asked.schema = json.loads(request.output_config.text_format.structure.json_schema.schema)
        require(asked.schema is not None and asked.schema.get("additionalProperties") is False, "must be closed")
    calls: list[str] = []
    for number, message in enumerate(request.messages):
        role = ("user", "assistant")[number % 2]
        require(message.role == role, "A conversation must alternate between user and assistant roles.")
        blocks = message.content
        results = {b.tool_result.tool_use_id: _result_text(b.tool_result) for b in blocks if b.tool_result is not UNSET}
        asked.results = in_order(calls, results)
        calls = [block.tool_use.tool_use_id for block in blocks if block.tool_use is not UNSET]
        require(all(map(TOOL_ID.fullmatch, calls)), "toolUseId failed to satisfy constraint")
        if message.role == "user":
            _take_user(asked, blocks)
        elif calls and thinks:
            first = blocks[0].reasoning_content
            require(first is not UNSET, "Expected `thinking` or `redacted_thinking`, but found `tool_use`.")
            require(first == Reasoning(ReasoningText(THOUGHT, SEAL)), "Invalid `signature` in `thinking` block")
        has_tools = bool(asked.tools) or not (calls or results)
        require(has_tools, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    return asked


def _take_user(asked: Asked, blocks: list[Block]) -> None:
    texts = [block.text for block in blocks if block.text is not UNSET]
    asked.turns += bool(texts)
    asked.prompt = " ".join(texts)
    images = [block.image for block in blocks if block.image is not UNSET]
    asked.images += [(f"image/{image.format}", decoded(image.source.bytes)) for image in images]


def _result_text(result: ToolResult) -> str:
    return "".join(part.text for part in result.content if part.text is not UNSET)


def _usage() -> dict[str, Any]:
    return {
        "inputTokens": INPUT - CACHED - WRITTEN,
        "outputTokens": OUTPUT,
        "totalTokens": INPUT + OUTPUT,
        "cacheReadInputTokens": CACHED,
        "cacheWriteInputTokens": WRITTEN,
    }


def _whole(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if said.thinks:
        content.append({"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SEAL}}})
    content += [{"text": said.text}] if said.text else []
    content += [{"toolUse": {"toolUseId": c.id, "name": c.name, "input": c.arguments}} for c in said.calls]
    return {
        "metrics": {"latencyMs": 42},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if said.calls else "end_turn",
        "usage": _usage(),
    }


def _events(said: Said) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant", "p": "abcd"})]
    blocks: list[tuple[dict[str, Any] | None, list[dict[str, Any]]]] = []
    if said.thinks:
        pieces = [{"text": THOUGHT[:9]}, {"text": THOUGHT[9:]}, {"signature": SEAL}]
        blocks.append((None, [{"reasoningContent": piece} for piece in pieces]))
    if said.text:
        blocks.append((None, [{"text": word} for word in said.words]))
    for call in said.calls:
        start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        blocks.append((start, [{"toolUse": {"input": piece}} for piece in call.pieces]))
    for index, (start_of, deltas) in enumerate(blocks):
        if start_of is not None:
            events.append(("contentBlockStart", {"contentBlockIndex": index, "start": start_of, "p": "ab"}))
        events += [("contentBlockDelta", {"contentBlockIndex": index, "delta": delta, "p": "abc"}) for delta in deltas]
        if said.breaks:
            return [*events, ("exception:serviceUnavailableException", {"message": "The model is overloaded"})]
        events.append(("contentBlockStop", {"contentBlockIndex": index, "p": "abcdef"}))
    events.append(("messageStop", {"stopReason": "tool_use" if said.calls else "end_turn"}))
    return [*events, ("metadata", {"usage": _usage(), "metrics": {"latencyMs": 42}})]
