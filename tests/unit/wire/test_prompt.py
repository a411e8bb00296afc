from __future__ import annotations

from typing import Any

from pointsman.providers.dialects import anthropic, gemini, openai, responses
from pointsman.wire.chat import ChatRequest, Document, Format, Image, Part, Text, Tool, ToolResult, Turn
from pointsman.wire.needs import Needs
from pointsman.wire.prompt import EARLIER_CHARACTERS, MAX_CHARACTERS, SYSTEM_CHARACTERS, prompt_of


def _turn(role: Any, *parts: str | Part) -> Turn:
    return Turn(role=role, parts=[Text(part) if isinstance(part, str) else part for part in parts])


def _request(*turns: Turn, **more: Any) -> ChatRequest:
    return ChatRequest(dialect="openai", turns=list(turns), **more)


def test_the_text_of_a_single_question_is_the_question() -> None:
    prompt = prompt_of(_request(_turn("user", "What is 2 + 2?")))
    assert (prompt.text, prompt.has_answers, prompt.is_tool_loop) == ("What is 2 + 2?", False, False)


def test_what_came_before_is_summed_up_before_the_last_question() -> None:
    prompt = prompt_of(
        _request(
            _turn("system", "Be brief."),
            _turn("user", "Name a river."),
            _turn("assistant", "The Rhine, which is long"),
            _turn("user", "And in France?"),
        )
    )
    assert prompt.text == "Be brief.\nName a river.\nAnd in France?"
    assert prompt.has_answers


def test_a_summary_is_short_however_long_the_history_is() -> None:
    turns = [_turn("system", "s" * 5000), *(_turn("user", "u" * 5000) for _ in range(50)), _turn("user", "last")]
    text = prompt_of(_request(*turns)).text
    assert text.endswith("\nlast")
    assert len(text) <= SYSTEM_CHARACTERS + EARLIER_CHARACTERS + len("last") + 2


def test_of_a_long_prompt_the_beginning_and_the_end_count() -> None:
    text = prompt_of(_request(_turn("user", "Read this. " + "x" * 50_000 + " What does it say?"))).text
    assert text.startswith("Read this. ")
    assert text.endswith(" What does it say?")
    assert len(text) == MAX_CHARACTERS + 1


def test_without_a_question_the_instructions_are_the_prompt() -> None:
    assert prompt_of(_request(_turn("system", "Greet the user."))).text == "Greet the user."
    assert prompt_of(_request()).text == ""


def test_results_of_tools_are_no_question() -> None:
    result = ToolResult(call_id="1", parts=[Text("42 degrees")])
    prompt = prompt_of(_request(_turn("user", "How warm is it?"), _turn("assistant", "…"), _turn("user", result)))
    assert (prompt.text, prompt.is_tool_loop) == ("How warm is it?", True)


def test_tools_in_an_earlier_turn_are_no_loop() -> None:
    result = ToolResult(call_id="1", parts=[Text("42")])
    turns = (_turn("user", "a"), _turn("user", result), _turn("assistant", "42"), _turn("user", "thanks"))
    assert not prompt_of(_request(*turns)).is_tool_loop


def test_results_anywhere_after_the_last_question_are_of_a_loop() -> None:
    one, two = (ToolResult(call_id=ident, parts=[Text("42")]) for ident in "12")
    asked, called = _turn("user", "a"), _turn("assistant", "…")
    assert prompt_of(_request(asked, called, _turn("user", one), _turn("user", two))).calls == ("2", "1")
    assert prompt_of(_request(asked, called, _turn("user", one), _turn("system", "Hurry."))).calls == ("1",)
    assert prompt_of(_request(asked, called, _turn("user", one, two, "A reminder."))).calls == ("2", "1")
    assert prompt_of(_request(asked, called, _turn("user", one), _turn("user", "Stop."))).calls == ()


def test_pictures_and_files_in_results_of_tools_are_to_be_seen() -> None:
    for part, is_seen in (
        (Image(data="x"), True),
        (Document(data="x", media_type="application/pdf"), True),
        (Document(file_id="f"), True),
        (Document(text="plain"), False),
        (Document(data="x", media_type="text/csv"), False),
    ):
        result = ToolResult(call_id="1", parts=[Text("here"), part])
        assert prompt_of(_request(_turn("user", result))).needs.images is is_seen
        assert prompt_of(_request(_turn("user", part))).needs.images is is_seen


def test_an_opening_is_the_same_throughout_a_conversation_and_no_other() -> None:
    first = prompt_of(_request(_turn("user", "a")))
    later = prompt_of(_request(_turn("user", "a"), _turn("assistant", "b"), _turn("user", "c")))
    other = prompt_of(_request(_turn("system", "a"), _turn("user", "")))
    assert first.opening == later.opening != other.opening


def test_what_a_model_must_take_is_read_off_the_conversation() -> None:
    picture = Image(url="https://x/y.png")
    request = _request(_turn("user", "one two three", picture), tools=[Tool(name="look")], format=Format(kind="json"))
    assert prompt_of(request).needs == Needs(tools=True, images=True, json=True, tokens=3)
    result = ToolResult(call_id="1", parts=[Text("four five")])
    assert prompt_of(_request(_turn("user", result))).needs == Needs(tokens=2)


def test_the_same_conversation_reads_alike_in_every_dialect() -> None:
    asked = [
        openai.read_request(
            b'{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}'
        ),
        anthropic.read_request(
            b'{"model":"m","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"Hi"}]}'
        ),
        responses.read_request(b'{"model":"m","instructions":"Be brief.","input":"Hi"}'),
        gemini.read_request(
            b'{"systemInstruction":{"parts":[{"text":"Be brief."}]},'
            b'"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}'
        ),
    ]
    assert len({prompt_of(one).opening for one in asked}) == 1
    assert {prompt_of(one).text for one in asked} == {"Be brief.\nHi"}


def test_broken_surrogates_harm_nobody() -> None:
    assert prompt_of(_request(_turn("user", "\ud800 what"))).needs.tokens == 2
