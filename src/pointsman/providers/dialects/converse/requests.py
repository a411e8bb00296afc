"""A request for Bedrock.

What Converse has itself stands where its reference says; the model's own parameters, and what LiteLLM's users write
beside OpenAI's, in ``additionalModelRequestFields``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.providers.dialects.converse.contents import Conversation
from pointsman.providers.dialects.converse.media import Block
from pointsman.providers.dialects.converse.models import Model, model_of
from pointsman.providers.dialects.converse.reasoning import is_refused, is_thinking, write_reasoning
from pointsman.providers.dialects.converse.tools import add_answer, write_tools
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest

_OWN: Final = "additionalModelRequestFields"
_SAMPLING: Final = {"temperature": "temperature", "top_p": "topP"}
_TOP_P_OF_THOUGHTS: Final = 0.95
_UNKNOWN: Final = ("seed", "n", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty", "user")
"""Parameters that Converse does not have."""
_SAYS_NOTHING: Final[tuple[Any, ...]] = (False, 0, [], {}, ["text"])
_SAYS_MUCH: Final = frozenset({"seed", "web_search_options"})
"""Parameters of which even the empty value is a wish."""
_TIERS: Final = frozenset({"default", "flex", "priority", "reserved"})
_MEMBERS: Final = frozenset(
    {
        "guardrailConfig",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
        "serviceTier",
        "additionalModelResponseFieldPaths",
        _OWN,
    }
)
"""Members of a Converse request that LiteLLM's users write beside OpenAI's."""
_STOP_PATH: Final = "/stop_sequence"
_encode: Final = msgspec.json.Encoder().encode


def write_request(request: ChatRequest, terms: Terms) -> dict[str, Any]:
    """The body of Converse or ConverseStream.

    :raises InvalidRequest: the conversation as such cannot be expressed
    """
    model = model_of(terms.model)
    conversation = Conversation(request, terms, model)
    body: Block = {"messages": conversation.messages()}
    if conversation.system:
        body["system"] = conversation.system
    own: Block = {}
    config, choice = write_tools(request, terms, model, conversation)
    if config is not None:
        body["toolConfig"] = config
    thinking, effort = write_reasoning(request, terms, model)
    if is_thinking(thinking) and is_refused(thinking, body, choice):
        terms.lose("thinking")
        thinking = {}
    own |= choice | thinking
    is_sampled = model.is_sampled and not is_thinking(own)
    _write_limits(request, terms, model, body, is_sampled=is_sampled)
    _write_top_k(request, terms, model, own, is_sampled=is_sampled)
    if effort is not None:
        body["outputConfig"] = {"effort": effort}
    _write_format(request, terms, model, body, is_free=not is_thinking(own) and not choice)
    _write_others(request, terms, model, body, own)
    _write_extras(request, terms, body, own)
    if own:
        body[_OWN] = own
    return body


def _write_limits(request: ChatRequest, terms: Terms, model: Model, body: Block, *, is_sampled: bool) -> None:
    limits: Block = {}
    if request.max_tokens is not None and terms.drops.isdisjoint({"max_tokens", "max_completion_tokens"}):
        limits["maxTokens"] = request.max_tokens
    for name, theirs in _SAMPLING.items():
        value = getattr(request, name)
        if value is None or name in terms.drops:
            continue
        # Claudes that think take a little less than all of the probability.
        is_neutral = value == 1 or (model.is_sampled and name == "top_p" and value >= _TOP_P_OF_THOUGHTS)
        if is_sampled or is_neutral or name in terms.allowed:
            limits[theirs] = value
        else:
            terms.lose(name)
    stops = [stop for stop in request.stop if stop]
    if stops and "stop" not in terms.drops:
        limits["stopSequences"] = stops
        if model.is_claude:
            body["additionalModelResponseFieldPaths"] = [_STOP_PATH]
    if limits:
        body["inferenceConfig"] = limits


def _write_top_k(request: ChatRequest, terms: Terms, model: Model, own: Block, *, is_sampled: bool) -> None:
    if request.top_k is None or "top_k" in terms.drops:
        return
    if model.is_nova:
        own["inferenceConfig"] = {"topK": request.top_k}
    elif (model.is_claude and is_sampled) or model.maker == "mistral" or "top_k" in terms.allowed:
        own["top_k"] = request.top_k
    else:
        terms.lose("top_k")


def _write_format(request: ChatRequest, terms: Terms, model: Model, body: Block, *, is_free: bool) -> None:
    """``is_free``: a tool may be forced on the model."""
    wanted = request.format
    if wanted is None or "response_format" in terms.drops:
        return
    if wanted.schema is None:
        terms.lose("response_format")
        return
    if not model.has_formats:
        # Amazon's guides have these models answer by a tool.
        body["toolConfig"] = add_answer(body.get("toolConfig"), wanted.schema, wanted.description, is_forced=is_free)
        return
    definition = {"schema": _encode(_closed(wanted.schema)).decode()}
    if wanted.name is not None:
        definition["name"] = wanted.name
    if wanted.description is not None:
        definition["description"] = wanted.description
    form = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    body.setdefault("outputConfig", {})["textFormat"] = form


def _closed(schema: Any) -> Any:
    """A schema of which every object says that it is closed, as Amazon insists; one that is open says so in words."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    written = {name: _closed(value) for name, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties", {}), dict):
        more = written.get("additionalProperties", False)
        if more is not False:
            words = f"{{additionalProperties: {_encode(more).decode()}}}"
            written["description"] = f"{written.get('description') or ''}\n\n{words}".strip()
        written["additionalProperties"] = False
    return written


def _write_others(request: ChatRequest, terms: Terms, model: Model, body: Block, own: Block) -> None:
    asked = {name: getattr(request, name) for name in _UNKNOWN} | request.options
    for name, value in asked.items():
        if name in terms.drops or _says_nothing(name, value):
            continue
        if name in terms.allowed:
            own[name] = value
        elif name == "service_tier" and isinstance(value, str) and value in _TIERS:
            body["serviceTier"] = {"type": value}
        elif name == "web_search_options" and model.is_nova:
            tools = body.setdefault("toolConfig", {"tools": []})["tools"]
            tools.append({"systemTool": {"name": "nova_grounding"}})
        elif not (name == "service_tier" and value == "auto"):
            terms.lose(name)


def _says_nothing(name: str, value: Any) -> bool:
    if value is None or (name == "n" and value == 1):
        return True
    return name not in _SAYS_MUCH and value in _SAYS_NOTHING


def _write_extras(request: ChatRequest, terms: Terms, body: Block, own: Block) -> None:
    is_understood = request.dialect == "openai"
    for name, value in request.extras.items():
        if name in terms.drops:
            continue
        if not is_understood and name not in terms.allowed:
            terms.lose(name)
        elif name == _OWN and isinstance(value, dict):
            own |= value
        elif name in _MEMBERS:
            body[name] = value
        else:
            own[name] = value
