"""Tools that take free text, for providers whose tools take JSON only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.custom_tools import (
    MAX_HELD_CHARS,
    UndoingReader,
    as_functions,
    custom_names,
    text_of,
    undone,
)
from pointsman.wire.chat import (
    Answer,
    ChatRequest,
    Choice,
    Event,
    Failed,
    Finished,
    Seal,
    Started,
    Text,
    TextDelta,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolDelta,
    ToolOpened,
    ToolResult,
    Turn,
    UsageSeen,
)
from pointsman.wire.usage import Usage

GRAMMAR = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}
PATCH = Tool(name="patch", description="Edits files.", kind="custom", dialect="responses", raw=GRAMMAR)
PLAIN = Tool(name="plain", schema={"type": "object"})
CALL = ToolCall(id="c", name="patch", arguments='say "hi"', kind="custom")
REQUEST = ChatRequest(
    dialect="responses",
    tools=[PATCH, PLAIN],
    turns=[
        Turn("assistant", [CALL, Text("x")]),
        Turn("user", [ToolResult(call_id="c", parts=[Text("done")], kind="custom")]),
    ],
)


class Reader:
    """Gives the events it was made with, one for each message, and the last ones at the end."""

    is_finished = False

    def __init__(self, *events: Event, last: Sequence[Event] = ()) -> None:
        self._events = iter(events)
        self._last = last

    def read(self, _name: bytes, _data: bytes) -> Iterable[Event]:
        return [next(self._events)]

    def close(self) -> Iterable[Event]:
        return self._last


def _read(*events: Event, last: Sequence[Event] = ()) -> list[Event]:
    reader = UndoingReader(Reader(*events, last=last), frozenset({"patch"}))
    read = [out for _ in events for out in reader.read(b"", b"")]
    return [*read, *reader.close()]


def test_a_tool_becomes_a_function_with_its_text_as_the_only_argument() -> None:
    written = as_functions(REQUEST)
    tool = written.tools[0]
    assert (tool.kind, tool.raw, written.tools[1]) == ("function", None, PLAIN)
    assert tool.schema is not None
    assert tool.schema["required"] == ["input"]
    assert tool.description == "Edits files.\n\nThe input must match this lark grammar:\nstart: x"


def test_calls_and_results_of_earlier_turns_become_those_of_functions() -> None:
    said, answered = as_functions(REQUEST).turns
    call, text = said.parts
    assert isinstance(call, ToolCall)
    assert msgspec.json.decode(call.arguments) == {"input": 'say "hi"'}
    assert (call.kind, text) == ("function", Text("x"))
    assert isinstance(answered.parts[0], ToolResult)
    assert answered.parts[0].kind == "function"


def test_the_request_itself_stays_as_it_was() -> None:
    as_functions(REQUEST)
    assert REQUEST.tools[0] is PATCH
    assert REQUEST.turns[0].parts[0] is CALL


def test_the_call_that_comes_back_is_what_the_client_has_declared() -> None:
    function = ToolCall(id="c", name="patch", arguments='{"input":"say \\"hi\\""}')
    other = ToolCall(id="d", name="plain", arguments='{"input":"x"}')
    answer = Answer(choices=[Choice(parts=[function, other], finish="tool_calls")], dialect="anthropic")
    assert undone(answer, custom_names(REQUEST)).choices[0].parts == [CALL, other]


def test_arguments_that_are_not_what_was_asked_for_are_given_as_they_are() -> None:
    answer = Answer(
        choices=[Choice(parts=[ToolCall(id="c", name="patch", arguments="[]")], finish="stop")], dialect="x"
    )
    part = undone(answer, frozenset({"patch"})).choices[0].parts[0]
    assert isinstance(part, ToolCall)
    assert (part.kind, part.arguments) == ("custom", "[]")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"*** Begin"}', "*** Begin"),
        ('{"input":"x","mode":"y"}', "x"),
        ('{"patch":"x"}', "x"),
        ('{"a":"x","b":"y"}', '{"a":"x","b":"y"}'),
        ('{"a":1}', '{"a":1}'),
        ('{"input":"a" "b"}', '{"input":"a" "b"}'),
        ("*** Begin", "*** Begin"),
        ("[]", "[]"),
        ("", ""),
    ],
)
def test_the_text_is_the_only_one_among_the_arguments_or_they_are_it(arguments: str, text: str) -> None:
    assert text_of(arguments) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"inp', ""),
        ('{"input": ', ""),
        ('{ "input" : "*** Beg', "*** Beg"),
        ('{"input":"a\\n', "a\n"),
        ('{"input":"a\\', "a"),
        ('{"input":"a\\u00e', "a"),
        ('{"input":"a\\ud83d', "a"),
        ('{"input":"a\\ud83d\\ude00"', "a\U0001f600"),
        ('{"input":"', ""),
    ],
)
def test_of_arguments_that_were_cut_off_it_is_what_there_is_of_the_text(arguments: str, text: str) -> None:
    assert text_of(arguments) == text


def test_a_streamed_call_gets_its_text_when_that_is_complete() -> None:
    opened = ToolOpened(index=0, id="c", name="patch")
    other = ToolOpened(index=1, id="d", name="plain")
    out = _read(
        TextDelta("a"),
        opened,
        ToolDelta(0, '{"input":"say'),
        other,
        ToolDelta(1, "{}"),
        ToolDelta(0, ' hi"}'),
        Finished("tool_calls"),
    )
    assert out == [
        TextDelta("a"),
        msgspec.structs.replace(opened, kind="custom"),
        other,
        ToolDelta(1, "{}"),
        ToolDelta(0, "say hi"),
        Finished("tool_calls"),
    ]


def test_a_call_of_a_stream_that_ends_without_a_word_is_not_lost() -> None:
    opened = ToolOpened(index=2, id="c", name="patch", choice=1)
    out = _read(opened, last=[ToolDelta(2, '{"input":"x"}', 1)])
    assert out[1:] == [ToolDelta(2, "x", 1)]


@pytest.mark.parametrize(
    "after",
    [TextDelta("\n"), ThinkingDelta("hm"), ToolOpened(index=1, id="d", name="plain", seal=Seal("gemini", "s"))],
)
def test_a_call_gets_its_text_before_whatever_makes_a_writer_close_it(after: Event) -> None:
    opened = ToolOpened(index=0, id="c", name="patch")
    out = _read(opened, ToolDelta(0, '{"input":"x"}'), after, Finished("tool_calls"))
    assert out[1:] == [ToolDelta(0, "x"), after, Finished("tool_calls")]


def test_usage_and_failures_leave_a_call_open() -> None:
    opened, seen, failed = ToolOpened(index=0, id="c", name="patch"), UsageSeen(Usage()), Failed(UpstreamBroken())
    out = _read(Started(), opened, ToolDelta(0, '{"input":'), seen, ToolDelta(0, '"x"}'), failed)
    assert out[2:] == [seen, failed, ToolDelta(0, "x")]


def test_what_is_held_is_bounded() -> None:
    half = ToolDelta(0, "x" * (MAX_HELD_CHARS // 2))
    with pytest.raises(UpstreamBroken, match="too long"):
        _read(ToolOpened(index=0, id="c", name="patch"), half, half, ToolDelta(0, "x"))
