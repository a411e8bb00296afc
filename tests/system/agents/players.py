"""How providers stream the turns of a model that uses its tools, and what they insist on in what they are asked.

A step is what the model says next: a text, or calls. The model is at the step up to which all calls have results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Body = Mapping[str, Any]
Event = dict[str, Any]

THOUGHT = "The points have to be set first."
SEAL = "c2VhbCBvZiB0aGUgcHJvdmlkZXI="
LEAD = "I set the points."
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class Call:
    """A call of a tool. Arguments that are a text are free text, or the only argument of a function."""

    tool: str
    arguments: Mapping[str, Any] | str
    namespace: str | None = None

    @property
    def flat(self) -> str:
        """The tool's name where there are no namespaces."""
        return self.tool if self.namespace is None else f"{self.namespace}__{self.tool}"


Step = str | tuple[Call, ...]


class Refused(Exception):
    """The provider does not take a request."""


def insist(holds: object, complaint: str) -> None:
    """Refuse what does not hold."""
    if not holds:
        raise Refused(complaint)


class Player(Protocol):
    """One provider's dialect."""

    path: str
    key: tuple[str, str]
    """Name of the header that has the key, and what stands before it there."""

    def results(self, body: Body) -> int:
        """How many calls have results, after a look at the request."""

    def events(self, body: Body, step: Step, first: int) -> Iterator[Event]:
        """The stream of a step; ``first`` is the number of its first call."""

    def error(self, message: str) -> Event:
        """The body of an error."""


def _names_hold(names: Sequence[str]) -> None:
    insist(len(set(names)) == len(names), f"two tools have one name: {names}")
    insist(all(TOOL_NAME.fullmatch(name) for name in names), f"a tool's name is not valid: {names}")


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _as_object(call: Call, schema: Body) -> str:
    """The arguments as JSON text, of a function that may stand for a tool that takes free text."""
    if not isinstance(call.arguments, str):
        return json.dumps(call.arguments)
    (only,) = schema["properties"]
    return json.dumps({only: call.arguments})


class Anthropic:
    """``/v1/messages``. Thinks before it calls, where it is told to think, and wants that back."""

    path = "/v1/messages"
    key = ("x-api-key", "")
    _MEMBERS = frozenset(
        {
            *("model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream", "thinking", "metadata"),
            *("temperature", "top_p", "top_k", "stop_sequences", "context_management", "output_config"),
        }
    )

    def results(self, body: Body) -> int:
        insist(body.keys() <= self._MEMBERS, f"unknown: {body.keys() - self._MEMBERS}")
        insist(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
        _names_hold([tool["name"] for tool in body.get("tools", ())])
        messages = body["messages"]
        insist(messages[0]["role"] == "user", "messages: the first one has to be the user's")
        done = 0
        for message, after in zip(messages, [*messages[1:], None], strict=True):
            called = [block["id"] for block in _blocks(message) if block["type"] == "tool_use"]
            if called:
                insist(after is not None and after["role"] == "user", "tool_use without tool_result")
                answered = [b["tool_use_id"] for b in _blocks(after or {})[: len(called)] if b["type"] == "tool_result"]
                insist(sorted(answered) == sorted(called), f"tool_use {called} has tool_result {answered}")
                self._look_for_thoughts(body, message)
            done += len(called)
        return done

    def _look_for_thoughts(self, body: Body, message: Body) -> None:
        if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
            first = _blocks(message)[0]
            insist(first.get("signature") == SEAL, f"the thinking before tool_use is not as it was: {first}")

    def events(self, body: Body, step: Step, first: int) -> Iterator[Event]:
        usage = {"input_tokens": 20, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0, "output_tokens": 1}
        message = {"id": f"msg_{first}", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        yield {
            "type": "message_start",
            "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage},
        }
        blocks: list[tuple[Event, list[Event]]] = []
        if not isinstance(step, str) and body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
            deltas = [{"type": "thinking_delta", "thinking": THOUGHT}, {"type": "signature_delta", "signature": SEAL}]
            blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
        text = step if isinstance(step, str) else LEAD
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": half} for half in _halves(text)]))
        schemas = {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools", ())}
        for number, call in enumerate(() if isinstance(step, str) else step, first):
            block = {"type": "tool_use", "id": f"toolu_{number}", "name": call.flat, "input": {}}
            halves = _halves(_as_object(call, schemas[call.flat]))
            blocks.append((block, [{"type": "input_json_delta", "partial_json": half} for half in halves]))
        for index, (block, deltas) in enumerate(blocks):
            yield {"type": "content_block_start", "index": index, "content_block": block}
            for delta in deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        reason = "end_turn" if isinstance(step, str) else "tool_use"
        end = {"stop_reason": reason, "stop_sequence": None}
        yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 30}}
        yield {"type": "message_stop"}

    def error(self, message: str) -> Event:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def _blocks(message: Body) -> list[Event]:
    content = message.get("content", ())
    return [] if isinstance(content, str) else list(content)


class Chat:
    """``/chat/completions`` and nothing else, with one id for all replies as simple servers have it."""

    path = "/v1/chat/completions"
    key = ("authorization", "Bearer ")
    _MEMBERS = frozenset(
        {
            *("model", "messages", "tools", "tool_choice", "parallel_tool_calls", "stream", "stream_options", "user"),
            *("max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "reasoning_effort", "verbosity"),
            *("store", "metadata", "prompt_cache_key", "service_tier"),
        }
    )
    _ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

    def results(self, body: Body) -> int:
        insist(body.keys() <= self._MEMBERS, f"unknown: {body.keys() - self._MEMBERS}")
        insist(all(tool["type"] == "function" for tool in body.get("tools", ())), "only functions are tools here")
        _names_hold([tool["function"]["name"] for tool in body.get("tools", ())])
        waiting: list[str] = []
        done = 0
        for message in body["messages"]:
            insist(message["role"] in self._ROLES, f"unknown role: {message['role']}")
            if message["role"] == "tool":
                insist(message["tool_call_id"] in waiting, f"result without a call: {message['tool_call_id']}")
                waiting.remove(message["tool_call_id"])
                done += 1
            else:
                insist(not waiting, f"calls without results: {waiting}")
                waiting = [call["id"] for call in message.get("tool_calls", ())]
                insist(message.get("content") or waiting, f"a message without content: {message}")
        insist(not waiting, f"calls without results: {waiting}")
        return done

    def events(self, body: Body, step: Step, first: int) -> Iterator[Event]:
        shell = {"id": "chatcmpl-same", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

        def chunk(delta: Event, finish: str | None = None) -> Event:
            return {**shell, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        yield chunk({"role": "assistant", "content": ""})
        for half in _halves(step if isinstance(step, str) else LEAD):
            yield chunk({"content": half})
        schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools", ())}
        for index, call in enumerate(() if isinstance(step, str) else step):
            start = {"name": call.flat, "arguments": ""}
            opened = {"index": index, "id": f"call_{first + index}", "type": "function", "function": start}
            yield chunk({"tool_calls": [opened]})
            for half in _halves(_as_object(call, schemas[call.flat])):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
        yield chunk({}, "stop" if isinstance(step, str) else "tool_calls")
        if body.get("stream_options", {}).get("include_usage"):
            details = {"prompt_tokens_details": {"cached_tokens": 5}}
            usage = {"prompt_tokens": 25, "completion_tokens": 30, "total_tokens": 55, **details}
            yield {**shell, "choices": [], "usage": usage}

    def error(self, message: str) -> Event:
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


class Responses:
    """``/responses``, stateless: reasons before it calls, and wants that back."""

    path = "/v1/responses"
    key = ("authorization", "Bearer ")

    _MEMBERS = frozenset(
        {
            *(
                "model",
                "input",
                "instructions",
                "tools",
                "tool_choice",
                "parallel_tool_calls",
                "stream",
                "store",
                "user",
            ),
            *("max_output_tokens", "temperature", "top_p", "reasoning", "text", "include", "prompt_cache_key"),
            *("metadata", "service_tier", "client_metadata"),
        }
    )
    _ITEMS = frozenset(
        {
            *("message", "reasoning", "additional_tools", "function_call", "function_call_output"),
            *("custom_tool_call", "custom_tool_call_output"),
        }
    )

    def results(self, body: Body) -> int:
        insist(body.keys() <= self._MEMBERS, f"unknown: {body.keys() - self._MEMBERS}")
        kinds = {item["type"] for item in body["input"]}
        insist(kinds <= self._ITEMS, f"unknown: {kinds - self._ITEMS}")
        insist(body.get("store") is False, "this one keeps nothing: store has to be false")
        calls = {item["call_id"] for item in body["input"] if item["type"] in ("function_call", "custom_tool_call")}
        outputs = [item["call_id"] for item in body["input"] if item["type"].endswith("_call_output")]
        insist(sorted(calls) == sorted(outputs), f"calls {calls} have outputs {outputs}")
        for item in body["input"]:
            if item["type"] == "reasoning":
                insist(item.get("encrypted_content") == SEAL, f"reasoning is not as it was: {item}")
        return len(outputs)

    def events(self, body: Body, step: Step, first: int) -> Iterator[Event]:
        for number, event in enumerate(self._events(body, step, first)):
            yield {**event, "sequence_number": number}

    def _events(self, body: Body, step: Step, first: int) -> Iterator[Event]:
        response = {"id": f"resp_{first}", "object": "response", "created_at": 1, "model": body["model"], "output": []}
        yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
        items = list(self._items(body, step, first))
        for index, item in enumerate(items):
            opened = {**item, "status": "in_progress"}
            opened |= {
                name: empty for name, empty in (("arguments", ""), ("input", ""), ("content", [])) if name in item
            }
            yield {"type": "response.output_item.added", "output_index": index, "item": opened}
            for event in _deltas(item):
                yield {**event, "item_id": item["id"], "output_index": index}
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        usage = {
            "input_tokens": 25,
            "input_tokens_details": {"cached_tokens": 5},
            "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 8},
            "total_tokens": 55,
        }
        done = {**response, "status": "completed", "output": items, "usage": usage}
        yield {"type": "response.completed", "response": done}

    def _items(self, body: Body, step: Step, first: int) -> Iterator[Event]:
        if isinstance(step, str):
            part = {"type": "output_text", "text": step, "annotations": []}
            yield {
                "id": f"msg_{first}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
            return
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            yield {"id": f"rs_{first}", "type": "reasoning", "summary": [], "encrypted_content": SEAL}
        for number, call in enumerate(step, first):
            shared = {"id": f"fc_{number}", "status": "completed", "call_id": f"call_{number}", "name": call.tool}
            if call.namespace is not None:
                shared["namespace"] = call.namespace
            if isinstance(call.arguments, str):
                yield {"type": "custom_tool_call", **shared, "input": call.arguments}
            else:
                yield {"type": "function_call", **shared, "arguments": json.dumps(call.arguments)}

    def error(self, message: str) -> Event:
        return Chat().error(message)


def _deltas(item: Event) -> Iterator[Event]:
    if item["type"] == "message":
        (part,) = item["content"]
        yield {"type": "response.content_part.added", "content_index": 0, "part": {**part, "text": ""}}
        for half in _halves(part["text"]):
            yield {"type": "response.output_text.delta", "content_index": 0, "delta": half}
        yield {"type": "response.output_text.done", "content_index": 0, "text": part["text"]}
        yield {"type": "response.content_part.done", "content_index": 0, "part": part}
    for member, kind in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
        if member in item:
            for half in _halves(item[member]):
                yield {"type": f"response.{kind}.delta", "delta": half}
            yield {"type": f"response.{kind}.done", member: item[member]}
