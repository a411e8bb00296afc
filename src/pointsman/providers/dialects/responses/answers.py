"""Whole answers, both ways."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.responses.content import write_annotations
from pointsman.providers.dialects.responses.failing import read_failure
from pointsman.providers.dialects.responses.fields import UNREADABLE, Members
from pointsman.providers.dialects.responses.items import write_reasoning
from pointsman.providers.dialects.responses.outputs import (
    call_item,
    dicts,
    image_item,
    message_item,
    read_item,
    refusal_part,
    said_to,
    text_part,
    write_logprobs,
)
from pointsman.providers.dialects.responses.seals import NAME
from pointsman.providers.dialects.responses.tools import ToolNames, write_choice, write_tools
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import (
    Answer,
    ChatRequest,
    Choice,
    Finish,
    Foreign,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from pointsman.wire.usage import Usage, find_usage

_CUT: Final[dict[str, Finish]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_REASONS: Final[dict[str, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Answer(msgspec.Struct):
    """What is read of an answer; what may be odd without harm is ``Any``."""

    output: list[Any] = []
    id: Any = None
    model: Any = None
    created_at: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    service_tier: Any = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def read_answer(body: bytes) -> Answer:
    """A provider's answer with status 200.

    :raises UpstreamBroken: it is none
    :raises UpstreamRejected: it tells of a failure
    """
    try:
        answer = _ANSWER.decode(body)
    except UNREADABLE as error:
        raise UpstreamBroken(operator_detail=f"not an answer of the Responses API: {error}") from None
    if answer.error or answer.status in ("failed", "cancelled"):
        raise read_failure(answer.error)
    if answer.status not in ("completed", "incomplete", None) or (answer.status is None and not answer.output):
        raise UpstreamBroken(operator_detail=f"an answer of the Responses API with status {answer.status!r}")
    logprobs: list[Members] = []
    parts = [part for item in dicts(answer.output) for part in read_item(item, logprobs)]
    reason = reason_of(answer.incomplete_details) if answer.status == "incomplete" else None
    return Answer(
        choices=[
            Choice(
                parts=parts,
                finish=finish_of(reason, {type(part) for part in parts}),
                detail=reason,
                logprobs=logprobs or None,
            )
        ],
        id=answer.id if isinstance(answer.id, str) else None,
        model=answer.model if isinstance(answer.model, str) else None,
        created=int(answer.created_at) if isinstance(answer.created_at, int | float) else None,
        usage=find_usage(body),
        dialect=NAME,
        options={"service_tier": answer.service_tier} if isinstance(answer.service_tier, str) else {},
    )


def reason_of(details: Any) -> str | None:
    """Why an answer is incomplete, in OpenAI's word."""
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason if isinstance(reason, str) else None


def finish_of(reason: str | None, kinds: set[type[Part]]) -> Finish:
    """Why an answer of parts of these kinds has ended; ``reason`` is the provider's word if it is incomplete."""
    if reason is not None:
        return _CUT.get(reason, "stop")
    if ToolCall in kinds:
        return "tool_calls"
    return "refusal" if Refusal in kinds and Text not in kinds else "stop"


def write_answer(answer: Answer, terms: ReplyTerms) -> Members:
    """The reply's body. This dialect has one choice; further ones cannot be asked for in it."""
    response = opening(terms, answer.id)
    if answer.created is not None:
        response["created_at"] = answer.created
    choice = answer.choices[0] if answer.choices else Choice(parts=[], finish="stop")
    tier = answer.options.get("service_tier")
    if tier is not None:
        response["service_tier"] = tier
    output = _Output(terms, choice)
    for part in choice.parts:
        output.add(part)
    return response | ending(choice.finish, output.close(), answer.usage)


def opening(terms: ReplyTerms, answer_id: str | None) -> Members:
    """A response on which work has begun, with the client's settings told back."""
    request = terms.request
    reasoning = request.reasoning
    verbosity = request.options.get("verbosity")
    return {
        "id": answer_id or f"resp_{terms.unique}",
        "object": "response",
        "created_at": terms.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": _instructions(request),
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": None,
        "model": terms.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.options.get("prompt_cache_key"),
        "reasoning": {
            "effort": reasoning.effort if reasoning is not None else None,
            "summary": reasoning.summary if reasoning is not None else None,
        },
        "safety_identifier": request.options.get("safety_identifier"),
        "service_tier": request.options.get("service_tier", "default"),
        "store": False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": _form(request) | ({} if verbosity is None else {"verbosity": verbosity}),
        "tool_choice": _choice(request),
        "tools": write_tools(request.tools),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": request.extras.get("truncation", "disabled"),
        "usage": None,
        "user": request.user,
        "metadata": request.options.get("metadata") or {},
    }


def ending(finish: Finish, output: list[Members], usage: Usage | None) -> Members:
    """The members that an ended response has instead of those of :func:`opening`."""
    reason = _REASONS.get(finish)
    return {
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": output,
        "usage": _write_usage(usage or Usage()),
    }


def _write_usage(usage: Usage) -> Members:
    """Counts, as zeros where nothing is known: Vercel's SDK does not see the end of a stream without them."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _instructions(request: ChatRequest) -> str | None:
    first = request.turns[0] if request.turns else None
    if first is None or first.role != "system" or len(first.parts) != 1:
        return None
    part = first.parts[0]
    return part.text if isinstance(part, Text) else None


def _form(request: ChatRequest) -> Members:
    form = request.format
    if form is None:
        return {"format": {"type": "text"}}
    if form.kind == "json":
        return {"format": {"type": "json_object"}}
    return {
        "format": {
            "type": "json_schema",
            "name": form.name,
            "schema": form.schema,
            "description": form.description,
            "strict": form.is_strict is True,
        }
    }


def _choice(request: ChatRequest) -> Any:
    choice = request.tool_choice
    return (write_choice(choice, request.tools, NAME) if choice is not None else None) or "auto"


class _Output:
    """Gathers parts into items: texts and refusals that follow each other are one message."""

    def __init__(self, terms: ReplyTerms, choice: Choice) -> None:
        self._items: list[Members] = []
        self._content: list[Members] = []
        self._names = ToolNames(terms.request.tools)
        self._unique = terms.unique
        self._logprobs = write_logprobs(choice.logprobs)
        self._is_cut = choice.finish in _REASONS

    def add(self, part: Part) -> None:
        if isinstance(part, Text | ToolCall) and part.seal is not None:
            self._append(write_reasoning("", part.seal, self._id("rs"), is_of_next=True))
        if isinstance(part, Text):
            self._content.append(text_part(part.text, write_annotations(part.annotations), self._logprobs))
            self._logprobs = []
        elif isinstance(part, Refusal):
            self._content.append(refusal_part(part.text))
        elif isinstance(part, Thinking) and (part.text or part.seal is not None):
            item_id = part.id or self._id("rs")
            self._append(write_reasoning(part.text, part.seal, item_id, is_redacted=part.is_redacted))
        elif isinstance(part, ToolCall):
            tool = self._names.find(part.name, part.kind)
            said = said_to(tool, part.kind, part.arguments)
            item_id = self._id("ctc" if tool.is_custom else "fc")
            self._append(call_item(item_id, part.id or self._id("call"), tool, said, "completed"))
        elif isinstance(part, Image) and part.data is not None:
            self._append(image_item(self._id("ig"), part))
        elif isinstance(part, Foreign) and part.dialect == NAME:
            self._append(part.raw)

    def close(self) -> list[Members]:
        self._flush()
        if self._is_cut and self._items:
            self._items[-1] = self._items[-1] | {"status": "incomplete"}
        return self._items

    def _append(self, item: Members) -> None:
        self._flush()
        self._items.append(item)

    def _flush(self) -> None:
        content, self._content = self._content, []
        if content:
            self._items.append(message_item(self._id("msg"), content, "completed"))

    def _id(self, kind: str) -> str:
        """An id for the item that comes next, after the message that ends with it."""
        self._flush()
        return f"{kind}_{self._unique}{len(self._items)}"
