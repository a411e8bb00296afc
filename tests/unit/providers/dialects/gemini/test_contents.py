from __future__ import annotations

import pytest

from pointsman.errors import Inexpressible, InvalidRequest
from pointsman.providers.dialects.gemini.contents import write_contents
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    Audio,
    CacheMark,
    ChatRequest,
    Foreign,
    Image,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from pointsman.wire.chat import Document as File


def contents(*turns: Turn, model: str = "gemini-2.5-flash") -> tuple[list[dict[str, object]], list[str]]:
    terms = Terms(model=model)
    return write_contents(ChatRequest(dialect="openai", turns=list(turns)), terms)[1], terms.lost


def asked(*parts: Part) -> Turn:
    return Turn("user", list(parts))


def test_a_result_of_an_unknown_call_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        contents(asked(Text("hi")), asked(ToolResult(call_id="nobody", parts=[])))
    assert caught.value.param == "messages[1].content[0]"


def test_a_result_that_names_its_tool_needs_no_call() -> None:
    written, _ = contents(asked(ToolResult(call_id="", name="f", parts=[Text("a")])))
    assert written[0]["parts"] == [{"functionResponse": {"name": "f", "response": {"output": "a"}}}]


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ('{"a":1}', {"a": 1}),
        ("[1]", {"output": "[1]"}),
        ("{broken", {"output": "{broken"}),
        ('{"a":' * 100 + "1" + "}" * 100, {"output": '{"a":' * 100 + "1" + "}" * 100}),
    ],
)
def test_a_result_is_an_object_or_the_output(text: str, response: object) -> None:
    written, _ = contents(asked(ToolResult(call_id="", name="f", parts=[Text(text)])))
    assert written == [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]}]


def test_an_error_that_is_an_object_stays_one() -> None:
    result = ToolResult(call_id="", name="f", parts=[Text('{"a":1}')], is_error=True)
    written, _ = contents(asked(result))
    assert written == [
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"error": {"a": 1}}}}]}
    ]


def test_parts_of_other_providers_are_lost_by_their_place() -> None:
    result = ToolResult(call_id="", name="f", parts=[Foreign("anthropic", {})], cache=CacheMark())
    written, lost = contents(asked(Text("a"), Foreign("anthropic", {}), Audio(id="a1")), asked(result))
    assert lost == ["messages[0].content[1]", "messages[0].content[2]", "cache_control", "messages[1].content[0]"]
    assert written[0]["parts"] == [{"text": "a"}]


def test_a_sound_of_an_earlier_turn_is_told_by_its_words() -> None:
    written, lost = contents(Turn("assistant", [Audio(id="a1", transcript="Hello")]))
    assert (written, lost) == ([{"role": "model", "parts": [{"text": "Hello"}]}], [])


@pytest.mark.parametrize(("dialect", "name"), [("openai", "messages"), ("gemini", "contents"), ("responses", "input")])
def test_a_file_of_another_provider_is_refused_by_the_callers_place(dialect: str, name: str) -> None:
    request = ChatRequest(dialect=dialect, turns=[asked(Image(file_id="file-1"))])
    with pytest.raises(Inexpressible) as caught:
        write_contents(request, Terms(model="m"))
    assert caught.value.param == f"{name}[0].content[0]"


def test_documents_keep_what_is_said_about_them_within_results_too() -> None:
    result = ToolResult(call_id="", name="f", parts=[File(text="b", title="T")])
    written, _ = contents(asked(result), model="gemini-3-flash")
    assert written[0]["parts"] == [
        {
            "functionResponse": {
                "name": "f",
                "response": {"output": ""},
                "parts": [{"inlineData": {"mimeType": "text/plain", "data": "Yg=="}}],
            }
        }
    ]
    assert written[1]["parts"] == [{"text": "T"}]


def test_calls_with_broken_arguments_are_told_as_text() -> None:
    written, _ = contents(Turn("assistant", [ToolCall(id="a", name="f", arguments='{"a"')]))
    assert written[0]["parts"] == [{"functionCall": {"id": "a", "name": "f", "args": {"input": '{"a"'}}}]


def test_a_conversation_with_nothing_in_it_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        contents(asked(Text("")))
    assert caught.value.param == "messages"


def test_turns_with_nothing_in_them_are_left_out() -> None:
    assert contents(asked(Text("")), Turn("assistant", []), asked(Text("a"))) == (
        [{"role": "user", "parts": [{"text": "a"}]}],
        [],
    )


def test_what_a_turn_has_beside_its_parts_is_lost_by_its_place() -> None:
    _, lost = contents(Turn("system", [Text("a")], "Ann"), Turn("user", [Text("b")], extras={"phase": "x"}))
    assert lost == ["messages[0].name", "messages[1].phase"]
