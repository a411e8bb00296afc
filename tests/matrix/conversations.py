"""Generated conversations and answers, and what they mean whatever dialect they are written in."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from pointsman.wire.chat import (
    Answer,
    ChatRequest,
    Choice,
    Document,
    Event,
    Finished,
    Format,
    Image,
    Part,
    Reasoning,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolDelta,
    ToolOpened,
    ToolResult,
    Turn,
    UsageSeen,
)
from pointsman.wire.usage import Usage

Meaning = list[tuple[Any, ...]]

DIALECTS: Final = ("openai", "responses", "anthropic", "gemini")
"""Those that are read and written on both sides."""
EVERYWHERE: Final = frozenset({"tools", "tool_choice", "schema", "max_tokens", "temperature", "top_p"})
SETTINGS: Final = {
    "openai": EVERYWHERE
    | {
        "stop",
        "seed",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "user",
        "effort",
        "parallel_tool_calls",
        "json",
        "metadata",
        "service_tier",
    },
    "responses": EVERYWHERE
    | {"logprobs", "top_logprobs", "user", "effort", "parallel_tool_calls", "json", "metadata", "service_tier"},
    "anthropic": EVERYWHERE | {"stop", "top_k", "user", "parallel_tool_calls", "service_tier"},
    "gemini": EVERYWHERE
    | {
        "stop",
        "seed",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "top_k",
        "effort",
        "json",
        "service_tier",
    },
}
"""What can be set in each of them."""

_SCHEMA: Final = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
_CHARACTERS: Final = st.characters(codec="utf-8")
_ODD: Final = ("data: x", "event: y\n\ndata: [DONE]", "<think>", '"}]}', "\\u0000", "\u2028", "é" * 40, "a#b@c")
words: Final = (st.text(_CHARACTERS, min_size=1, max_size=40) | st.sampled_from(_ODD)).map(str.strip).filter(bool)
_arguments: Final = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=6), st.none() | st.booleans() | st.integers(-99, 99) | words, max_size=3
).map(lambda value: msgspec.json.encode(value).decode())
_data: Final = st.binary(min_size=3, max_size=30).map(lambda data: b64encode(data).decode())
_ids: Final = st.text("abcdefgh0123456789_-", min_size=1, max_size=20).map(lambda text: f"call_{text}")


@st.composite
def _user_turn(draw: st.DrawFn) -> Turn:
    media: st.SearchStrategy[Part] = st.one_of(
        _data.map(lambda data: Image(data=data, media_type="image/png")),
        words.map(lambda word: Image(url=f"https://example.com/{len(word)}.png", media_type="image/png")),
        _data.map(lambda data: Document(data=data, media_type="application/pdf")),
    )
    parts: list[Part] = [Text(draw(words)), *draw(st.lists(words.map(Text) | media, max_size=2))]
    return Turn("user", parts)


@st.composite
def _exchange(draw: st.DrawFn, *, name: st.SearchStrategy[str]) -> list[Turn]:
    """What the model says, and the results of the tools that it has called."""
    calls = draw(
        st.lists(
            st.builds(ToolCall, id=_ids, name=name, arguments=_arguments), max_size=3, unique_by=lambda call: call.id
        )
    )
    texts = [Text(draw(words))] if not calls or draw(st.booleans()) else []
    results: list[Part] = [ToolResult(call_id=call.id, name=call.name, parts=[Text(draw(words))]) for call in calls]
    answer = Turn("assistant", [*texts, *calls])
    return [answer, Turn("user", results)] if results else [answer]


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    """A conversation with settings."""
    names = draw(st.lists(st.text("abcdef_", min_size=1, max_size=12).map("f{}".format), max_size=3, unique=True))
    tools = [Tool(name=name, description=draw(st.none() | words), schema=_SCHEMA) for name in names]
    turns = [Turn("system", [Text(draw(words))])] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 3))):
        turns += [draw(_user_turn()), *draw(_exchange(name=st.sampled_from([*names, "other"])))]
    turns.append(draw(_user_turn()))
    request = ChatRequest(dialect="openai", turns=turns, tools=tools)
    if tools:
        modes = ["auto", "none", "required", "tool"]
        choice = draw(st.none() | st.builds(ToolChoice, mode=st.sampled_from(modes)))
        if choice is not None and choice.mode == "tool":
            choice.name = names[0]
        request.tool_choice = choice
        if choice is None or choice.mode != "none":
            request.parallel_tool_calls = draw(st.none() | st.just(False))
    _draw_settings(draw, request)
    return request


def _draw_settings(draw: st.DrawFn, request: ChatRequest) -> None:
    numbers = st.none() | st.floats(0, 1).map(lambda number: round(number, 3))
    request.max_tokens = draw(st.integers(1, 9999))
    request.temperature, request.top_p = draw(numbers), draw(numbers)
    request.presence_penalty, request.frequency_penalty = draw(numbers), draw(numbers)
    request.top_k = draw(st.none() | st.integers(1, 100))
    request.seed = draw(st.none() | st.integers(0, 2**31 - 1))
    request.n = draw(st.none() | st.integers(2, 4))
    request.stop = draw(st.lists(words, max_size=3, unique=True))
    request.user = draw(st.none() | st.text("abc123", min_size=1, max_size=20))
    if draw(st.booleans()):
        request.logprobs, request.top_logprobs = True, draw(st.integers(1, 5))
    effort: Any = draw(st.none() | st.sampled_from(["low", "medium", "high"]))
    request.reasoning = None if effort is None else Reasoning(effort=effort)
    request.format = draw(
        st.none() | st.just(Format(kind="json")) | st.just(Format(kind="schema", schema=_SCHEMA, name="place"))
    )
    if draw(st.booleans()):
        request.options["metadata"] = {"team": draw(words)}
    if draw(st.booleans()):
        request.options["service_tier"] = "default"


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """An answer of one choice."""
    parts: list[Part] = [Thinking(draw(words))] if draw(st.booleans()) else []
    calls = draw(
        st.lists(
            st.builds(ToolCall, id=_ids, name=st.just("weather"), arguments=_arguments),
            max_size=3,
            unique_by=lambda call: call.id,
        )
    )
    if not calls or draw(st.booleans()):
        parts.append(Text(draw(words)))
    finish: Any = "tool_calls" if calls else draw(st.sampled_from(["stop", "length"]))
    read, written = draw(st.integers(1, 10**6)), draw(st.integers(1, 10**6))
    usage = Usage(
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        cached_input_tokens=draw(st.integers(0, read)),
        reasoning_tokens=draw(st.integers(0, written)),
    )
    choice = Choice(parts=[*parts, *calls], finish=finish)
    return Answer(choices=[choice], id="x1", model="up", created=1, usage=usage, dialect="openai")


def as_events(answer: Answer, size: int) -> Iterator[Event]:
    """The answer as it is streamed, its texts in pieces of ``size`` characters."""
    yield Started(id=answer.id, model=answer.model, created=answer.created)
    (choice,) = answer.choices
    n_calls = 0
    for part in choice.parts:
        if isinstance(part, Text):
            yield from (TextDelta(piece) for piece in _pieces(part.text, size))
        elif isinstance(part, Thinking):
            yield from (ThinkingDelta(piece) for piece in _pieces(part.text, size))
        elif isinstance(part, ToolCall):
            yield ToolOpened(index=n_calls, id=part.id, name=part.name)
            yield from (ToolDelta(n_calls, piece) for piece in _pieces(part.arguments, size))
            n_calls += 1
    yield Finished(choice.finish)
    if answer.usage is not None:
        yield UsageSeen(answer.usage)


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def meaning_of_events(events: Iterable[Event]) -> tuple[Meaning, Any, Usage | None]:
    """What a stream says, why it ended and what it used."""
    parts: list[Part] = []
    finish, usage = None, None
    for event in events:
        match event:
            case TextDelta():
                parts.append(Text(event.text))
            case ThinkingDelta():
                parts.append(Thinking(event.text))
            case ToolOpened():
                parts.append(ToolCall(id=event.id, name=event.name, arguments=""))
            case ToolDelta():
                call = [part for part in parts if isinstance(part, ToolCall)][event.index]
                call.arguments += event.arguments
            case Finished():
                finish = event.finish
            case UsageSeen():
                usage = event.usage
    return _said("assistant", parts), finish, usage


def meaning_of_answer(answer: Answer) -> tuple[Meaning, Any, Usage | None]:
    """What an answer says, why it ended and what it used."""
    (choice,) = answer.choices
    return _said("assistant", choice.parts), choice.finish, answer.usage


def meaning_of_turns(request: ChatRequest) -> Meaning:
    """What was said, one after the other; pieces of one text are one, since not every dialect keeps them apart."""
    said: Meaning = []
    for turn in request.turns:
        for item in _said(turn.role, turn.parts):
            if said and item[:2] == said[-1][:2] and item[1] == "Text":
                said[-1] = (*item[:2], said[-1][2] + item[2])
            else:
                said.append(item)
    return said


def _said(role: str, parts: list[Part]) -> Meaning:
    said: Meaning = []
    for part in parts:
        item = _item(role, part)
        if item is None:
            continue
        if said and item[:2] == said[-1][:2] and item[1] in ("Text", "Thinking"):
            said[-1] = (*item[:2], said[-1][2] + item[2])
        else:
            said.append(item)
    return said


def _item(role: str, part: Part) -> tuple[Any, ...] | None:
    match part:
        case Text() | Thinking():
            return (role, type(part).__name__, part.text) if part.text else None
        case Image():
            return role, "image", part.url, part.data
        case Document():
            return role, "document", part.data, part.media_type
        case ToolCall():
            return role, "call", part.id, part.name, msgspec.json.decode(part.arguments or "{}")
        case ToolResult():
            return role, "result", part.call_id, [each.text for each in part.parts if isinstance(each, Text)]
    return None


def settings_of(request: ChatRequest, names: frozenset[str] | set[str]) -> dict[str, Any]:
    """What is set in a request, as far as it is among ``names``."""
    choice, form = request.tool_choice, request.format
    said = {
        "tools": [(tool.name, tool.description, tool.schema) for tool in request.tools],
        "tool_choice": None if choice is None or choice.mode == "auto" else (choice.mode, choice.name),
        "schema": None if form is None else form.schema,
        "json": None if form is None else form.kind,
        "effort": None if request.reasoning is None else request.reasoning.effort,
        **request.options,
    }
    return {name: said[name] if name in said else getattr(request, name, None) for name in sorted(names)}
