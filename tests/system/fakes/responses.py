"""OpenAI's Responses API, with a model that reasons: what it has thought is encrypted, and wanted back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, UnsetType
from system.fakes.model import (
    CACHED,
    CREATED,
    INPUT,
    OUTPUT,
    REASONED,
    SEAL,
    THOUGHT,
    Asked,
    Refused,
    Said,
    Strict,
    from_data_url,
    in_order,
    require,
    require_header,
    taken,
    think,
)
from system.fakes.openai import KEY, refuse
from system.upstream.script import Answer, Received, event, json_answer, stream_answer

MODEL = "gpt-5"
Word = Annotated[str, Meta(min_length=1)]


class InputText(Strict, tag="input_text"):
    text: str


class OutputText(Strict, tag="output_text"):
    text: str
    annotations: tuple[Any, ...] = ()
    logprobs: tuple[Any, ...] = ()


class InputImage(Strict, tag="input_image"):
    image_url: Word
    detail: Literal["low", "high", "auto"] = "auto"


class Message(Strict, tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputText | OutputText | InputImage]
    id: str | UnsetType = UNSET
    status: Literal["completed", "in_progress", "incomplete"] | UnsetType = UNSET


class Summary(Strict):
    type: Literal["summary_text"]
    text: str


class Reasoning(Strict, tag="reasoning"):
    summary: list[Summary]
    id: str | UnsetType = UNSET
    encrypted_content: str | None = None
    status: str | None = None
    content: Any = None


class FunctionCall(Strict, tag="function_call"):
    call_id: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Word
    arguments: str
    id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET


class FunctionCallOutput(Strict, tag="function_call_output"):
    call_id: Word
    output: str | list[InputText | InputImage]
    id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET


class Tool(Strict):
    type: Literal["function"]
    name: Word
    parameters: dict[str, Any] | None
    strict: bool | None
    description: str | UnsetType = UNSET


class Format(Strict):
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | UnsetType = UNSET
    schema: dict[str, Any] | UnsetType = UNSET
    strict: bool | None = None
    description: str | UnsetType = UNSET


class TextSettings(Strict):
    format: Format | UnsetType = UNSET
    verbosity: Literal["low", "medium", "high"] | UnsetType = UNSET


class ReasoningSettings(Strict):
    effort: Literal["minimal", "low", "medium", "high"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class Request(Strict):
    model: Word
    input: str | Annotated[list[Raw], Meta(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    stream: bool = False
    store: bool | UnsetType = UNSET
    include: tuple[Literal["reasoning.encrypted_content", "message.output_text.logprobs"], ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: Any = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    text: TextSettings | UnsetType = UNSET
    reasoning: ReasoningSettings | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    user: str | UnsetType = UNSET


Item = Message | Reasoning | FunctionCall | FunctionCallOutput


def answer(received: Received) -> Answer:
    """What OpenAI answers."""
    try:
        require_header(received.header("authorization"), f"Bearer {KEY}", "Incorrect API key provided")
        require((received.method, received.target) == ("POST", "/v1/responses"), "Invalid URL", 404)
        request = taken(received.body, Request)
        said = think(_asked(request))
        if request.stream:
            return _stream(request, said)
        return json_answer(_response(request, _items(request, said), "completed", said))
    except Refused as refused:
        return refuse(refused)


def _items_in(request: Request) -> list[Item]:
    if isinstance(request.input, str):
        return [Message("user", request.input)]
    # A message may leave its type out, which no tagged union can say.
    texts = [bytes(raw) for raw in request.input]
    return [taken(text if b'"type"' in _top(text) else b'{"type":"message",' + text[1:], Item) for text in texts]  # type: ignore[arg-type]


def _top(text: bytes) -> bytes:
    """The names of an item's own members."""
    return b" ".join(b'"%b"' % name.encode() for name in taken(text, dict[str, Any]))


def _asked(request: Request) -> Asked:
    asked = Asked(is_stream=request.stream, thinks=request.reasoning is not UNSET)
    if asked.thinks and request.store is False:
        require(
            "reasoning.encrypted_content" in request.include, "Reasoning is lost: it is neither stored nor included"
        )
    asked.system = request.instructions or ""
    asked.tools = {tool.name: tool.parameters or {} for tool in request.tools}
    if request.text is not UNSET and request.text.format is not UNSET and request.text.format.type == "json_schema":
        require(request.text.format.name is not UNSET, "Missing required parameter: 'text.format.name'.")
        require(request.text.format.schema is not UNSET, "Missing required parameter: 'text.format.schema'.")
        asked.schema = request.text.format.schema  # type: ignore[assignment]
    calls: list[str] = []
    results: dict[str, str] = {}
    is_proven = False
    for item in _items_in(request):
        if isinstance(item, FunctionCallOutput):
            require(item.call_id in calls, f"No tool call found for function call output with call_id {item.call_id}.")
            results[item.call_id] = item.output if isinstance(item.output, str) else _text(item.output)
        elif isinstance(item, FunctionCall):
            require(is_proven or not asked.thinks, "'function_call' was provided without its required 'reasoning' item")
            calls.append(item.call_id)
        elif isinstance(item, Reasoning):
            is_proven = _is_proven(item)
        else:
            asked.results = in_order(calls, results)
            if item.role != "assistant":
                calls, results, is_proven = [], {}, False
            _take(item, asked)
    asked.results = in_order(calls, results)
    return asked


def _is_proven(item: Reasoning) -> bool:
    require(item.encrypted_content == SEAL, "The encrypted content could not be verified.")
    require([part.text for part in item.summary] in ([THOUGHT], []), "The summary is not the one that was given.")
    return True


def _take(item: Message, asked: Asked) -> None:
    if item.role == "user":
        asked.turns += 1
        asked.prompt = item.content if isinstance(item.content, str) else _text(item.content)
        if not isinstance(item.content, str):
            pictures = [part for part in item.content if isinstance(part, InputImage)]
            asked.images += [from_data_url(part.image_url) for part in pictures]
    elif item.role in ("system", "developer"):
        asked.system += item.content if isinstance(item.content, str) else _text(item.content)
    elif not isinstance(item.content, str):
        # What the model has said is no input.
        require(all(isinstance(part, OutputText) for part in item.content), "Invalid value: 'input_text'")


def _text(parts: list[Any]) -> str:
    return "".join(part.text for part in parts if isinstance(part, InputText | OutputText))


def _items(request: Request, said: Said) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if said.thinks:
        summary = [{"type": "summary_text", "text": THOUGHT}]
        seal = {"encrypted_content": SEAL} if "reasoning.encrypted_content" in request.include else {}
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary} | seal)
    if said.text:
        text = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        items.append({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [text]})
    for index, call in enumerate(said.calls):
        item = {"id": f"fc_{index}", "type": "function_call", "status": "completed", "call_id": call.id}
        items.append(item | {"name": call.name, "arguments": call.text})
    return items


def _response(request: Request, items: list[dict[str, Any]], status: str, said: Said) -> dict[str, Any]:
    usage = {
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": REASONED if said.thinks else 0},
        "total_tokens": INPUT + OUTPUT,
    }
    return {
        "id": "resp_upstream",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "metadata": {},
        "model": f"{request.model}-2025-08-07",
        "output": items,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage if status == "completed" else None,
    }


def _stream(request: Request, said: Said) -> Answer:
    items = _items(request, said)
    begun = _response(request, [], "in_progress", said)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    for index, item in enumerate(items):
        place = {"item_id": item["id"], "output_index": index}
        steps += {"reasoning": _reasoning, "message": _message, "function_call": _call}[item["type"]](item, place)
        if said.breaks:
            error = {"code": "server_error", "message": "The server had an error", "param": None}
            failed = begun | {
                "status": "failed",
                "error": {"code": "server_error", "message": "The server had an error"},
            }
            steps[-2:] = [("error", error), ("response.failed", {"response": failed})]
            return _sent(steps)
    return _sent([*steps, ("response.completed", {"response": _response(request, items, "completed", said)})])


def _sent(steps: list[tuple[str, dict[str, Any]]]) -> Answer:
    return stream_answer(*(event({"type": kind, "sequence_number": n, **m}, kind) for n, (kind, m) in enumerate(steps)))


Steps = list[tuple[str, dict[str, Any]]]


def _reasoning(item: dict[str, Any], place: dict[str, Any]) -> Steps:
    part = place | {"summary_index": 0}
    empty = {"id": item["id"], "type": "reasoning", "summary": []}
    return [
        ("response.output_item.added", {"output_index": place["output_index"], "item": empty}),
        ("response.reasoning_summary_part.added", part | {"part": {"type": "summary_text", "text": ""}}),
        *(("response.reasoning_summary_text.delta", part | {"delta": d}) for d in (THOUGHT[:9], THOUGHT[9:])),
        ("response.reasoning_summary_text.done", part | {"text": THOUGHT}),
        ("response.reasoning_summary_part.done", part | {"part": {"type": "summary_text", "text": THOUGHT}}),
        ("response.output_item.done", {"output_index": place["output_index"], "item": item}),
    ]


def _message(item: dict[str, Any], place: dict[str, Any]) -> Steps:
    text = item["content"][0]
    part = place | {"content_index": 0}
    words = Said(text["text"]).words
    empty = item | {"status": "in_progress", "content": []}
    return [
        ("response.output_item.added", {"output_index": place["output_index"], "item": empty}),
        ("response.content_part.added", part | {"part": text | {"text": ""}}),
        *(("response.output_text.delta", part | {"delta": word, "logprobs": []}) for word in words),
        ("response.output_text.done", part | {"text": text["text"], "logprobs": []}),
        ("response.content_part.done", part | {"part": text}),
        ("response.output_item.done", {"output_index": place["output_index"], "item": item}),
    ]


def _call(item: dict[str, Any], place: dict[str, Any]) -> Steps:
    pieces = [item["arguments"][at : at + 5] for at in range(0, len(item["arguments"]), 5)]
    empty = item | {"status": "in_progress", "arguments": ""}
    return [
        ("response.output_item.added", {"output_index": place["output_index"], "item": empty}),
        *(("response.function_call_arguments.delta", place | {"delta": piece}) for piece in pieces),
        ("response.function_call_arguments.done", place | {"arguments": item["arguments"], "name": item["name"]}),
        ("response.output_item.done", {"output_index": place["output_index"], "item": item}),
    ]
