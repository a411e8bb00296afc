"""A provider of OpenAI's two APIs whose model says, round by round, what it is told to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from system.upstream.answers import CREATED, RESPONSE_USAGE, USAGE, chat_body, chunk
from system.upstream.script import Answer, Received, Step, event, json_answer, stream_answer

DONE = event("[DONE]")


@dataclass(frozen=True)
class Round:
    """One answer of the model."""

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    """Names and arguments."""
    instead: Answer | None = None
    """What is answered in its place."""
    steps: Sequence[Step] = ()
    """What comes after the first piece of a stream, and its end never."""


@dataclass
class Model:
    """Answers as the rounds say; where there are no more, with a text."""

    rounds: list[Round] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The bodies that it has got."""

    def answer(self, received: Received) -> Answer:
        """The answer to the next request."""
        body = received.json
        self.asked.append(body)
        made = self.rounds.pop(0) if self.rounds else Round("That is all.")
        if made.instead is not None:
            return made.instead
        number = len(self.asked)
        is_stream = bool(body.get("stream"))
        if received.target.endswith("/responses"):
            whole = _response(body, made, number)
            return stream_answer(*_response_events(whole)) if is_stream else json_answer(whole)
        if not is_stream:
            return json_answer(_chat(body["model"], made, number))
        pieces = [event(one) for one in _chunks(body, made, number)]
        return stream_answer(*pieces[:2], *made.steps) if made.steps else stream_answer(*pieces, DONE)


def _calls(made: Round, number: int) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{number}_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(made.calls)
    ]


def _chat(model: str, made: Round, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": made.text or None, "refusal": None, "annotations": []}
    if made.calls:
        message["tool_calls"] = _calls(made, number)
    return chat_body(model, message, "tool_calls" if made.calls else "stop") | {"id": f"chatcmpl-{number}"}


def _chunks(body: dict[str, Any], made: Round, number: int) -> Iterator[dict[str, Any]]:
    head = {"id": f"chatcmpl-{number}"}
    model = body["model"]
    yield chunk(model, {"role": "assistant", "content": "", "refusal": None}) | head
    for word in made.text.split(" ") if made.text else ():
        yield chunk(model, {"content": word + " "}) | head
    for index, call in enumerate(_calls(made, number)):
        function = call["function"]
        first = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield chunk(model, {"tool_calls": [first]}) | head
        half = len(function["arguments"]) // 2
        for part in (function["arguments"][:half], function["arguments"][half:]):
            yield chunk(model, {"tool_calls": [{"index": index, "function": {"arguments": part}}]}) | head
    yield chunk(model, {}, "tool_calls" if made.calls else "stop") | head
    if (body.get("stream_options") or {}).get("include_usage"):
        yield chunk(model, {}) | {"choices": [], "usage": USAGE} | head


def _response(body: dict[str, Any], made: Round, number: int) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if made.text:
        part = {"type": "output_text", "text": made.text, "annotations": [], "logprobs": []}
        output.append(
            {
                "id": f"msg_{number}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    for call in _calls(made, number):
        item = {"id": f"fc_{call['id']}", "type": "function_call", "call_id": call["id"], "status": "completed"}
        output.append(item | call["function"])
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": CREATED,
        "model": body["model"],
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": output,
        "parallel_tool_calls": True,
        "store": body.get("store", True),
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": body.get("tools", []),
        "top_p": 1.0,
        "usage": RESPONSE_USAGE,
    }


def _response_events(whole: dict[str, Any]) -> Iterator[bytes]:
    begun = whole | {"output": [], "status": "in_progress", "usage": None}
    events: list[dict[str, Any]] = [
        {"type": f"response.{one}", "response": begun} for one in ("created", "in_progress")
    ]
    for index, item in enumerate(whole["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        opened = item | {"status": "in_progress"}
        if item["type"] == "message":
            part, inside = item["content"][0], at | {"content_index": 0}
            events += [
                {"type": "response.output_item.added", "output_index": index, "item": opened | {"content": []}},
                {"type": "response.content_part.added", "part": part | {"text": ""}, **inside},
            ]
            events += [
                {"type": "response.output_text.delta", "delta": word, "logprobs": [], **inside}
                for word in part["text"].split(" ")
            ]
            events += [
                {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **inside},
                {"type": "response.content_part.done", "part": part, **inside},
            ]
        else:
            events += [
                {"type": "response.output_item.added", "output_index": index, "item": opened | {"arguments": ""}},
                {"type": "response.function_call_arguments.delta", "delta": item["arguments"], **at},
                {"type": "response.function_call_arguments.done", "arguments": item["arguments"], **at},
            ]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": whole})
    for number, one in enumerate(events):
        yield event(one | {"sequence_number": number}, one["type"])
