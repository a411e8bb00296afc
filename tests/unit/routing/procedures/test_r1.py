from __future__ import annotations

from collections.abc import Sequence

import pytest
from unit.routing.procedures.playbook import POOL, Played, answer, call, play, question

from pointsman.routing.procedures.base import Answer, Plan, text_of
from pointsman.routing.procedures.r1 import LAST, r1
from pointsman.routing.procedures.settings import ProcedureSettings
from pointsman.wire.chat import Thinking, Tool, ToolCall, ToolResult

SETTINGS = ProcedureSettings(strategy="r1", controller="middle", max_rounds=3)


def thought(*script: Sequence[object], settings: ProcedureSettings = SETTINGS) -> Played:
    return play(r1(question(), POOL, settings), *script)


def said(played: Played) -> str:
    assert isinstance(played.ending, Answer)
    return text_of(played.ending.answer.choices[0].parts)


@pytest.mark.requirement("routing.procedures.r1")
def test_the_controller_asks_by_calling_a_tool_and_then_answers() -> None:
    played = thought([answer("Let me ask.", call("sky"))], ["Scattering."], ["It is scattering."])

    assert played.asked(0) == [("middle", "think")]
    assert played.asked(1) == [("cheap", "sub-query")]
    assert text_of(played.asks(1)[0].request.turns[-1].parts) == "sky"
    made, result = played.asks(2)[0].request.turns[-2:]
    assert isinstance(made.parts[1], ToolCall)
    assert isinstance(result.parts[0], ToolResult)
    assert (result.parts[0].call_id, text_of(result.parts[0].parts)) == ("c-sky", "Scattering.")
    assert said(played) == "It is scattering."


def test_it_is_told_of_the_models_and_can_ask_only_them() -> None:
    request = thought(["Blue."]).asks(0)[0].request

    assert "- best: Knows most." in text_of(request.turns[0].parts)
    assert text_of(request.turns[1].parts) == "Why is the sky blue, and the sea?"
    assert request.tools[0].schema is not None
    assert request.tools[0].schema["properties"]["model"]["enum"] == ["best", "middle", "cheap"]


def test_several_questions_of_a_round_are_asked_at_once_and_each_call_is_answered() -> None:
    calls = [call(f"q{i}") for i in range(6)]
    played = thought([answer(*calls)], ["a", None, "c", "d"], ["Done."])

    assert len(played.asks(1)) == 4
    results = played.asks(2)[0].request.turns[-1].parts
    assert [text_of(part.parts) for part in results if isinstance(part, ToolResult)] == [
        "a",
        "(no answer)",
        "c",
        "d",
        "(too many questions at once)",
        "(too many questions at once)",
    ]


def test_whoever_knows_no_tools_can_write_tags() -> None:
    first = "<think>Hm <search>cheap: not this</search></think><search> cheap : Why blue: sky? </search>"
    played = thought([first], ["Scattering."], ["<think>So.</think><answer> It scatters. </answer>"])

    assert text_of(played.asks(1)[0].request.turns[-1].parts) == "Why blue: sky?"
    turns = played.asks(2)[0].request.turns
    assert [turn.role for turn in turns[-2:]] == ["assistant", "user"]
    assert text_of(turns[-1].parts) == "<information>Scattering.</information>"
    assert said(played) == "It scatters."


def test_thoughts_are_no_part_of_the_answer() -> None:
    assert said(thought([answer(Thinking("hm"), "<think>so</think> Blue.")])) == "Blue."
    assert said(thought(["<answer>Blue."])) == "Blue."


@pytest.mark.parametrize(
    "text",
    [
        "In XML you write <answer>42</answer> for the element, and <b>more</b> text follows.",
        "Qwen emits a `<think>` tag first; re.sub('<think>.*?</think>', '', text) takes it out.",
        "Write <search>cheap: Why?</search> to search.",
    ],
)
def test_tags_that_an_answer_is_about_are_left_in_it(text: str) -> None:
    assert said(thought([text])) == text
    assert said(thought([f"<think>Of tags.</think>\n{text}"])) == text


def test_its_own_words_are_told_from_the_callers() -> None:
    """What the caller has set is not left out without a word; the tool for asking is ours and may be."""
    played = thought([answer(call("q0"))], ["a0"], [None])
    (asked,) = played.asks(0)

    assert not asked.is_own
    assert asked.ours == {"tools", "tool_choice"}
    assert isinstance(played.ending, Plan)
    assert played.ending.ours == {"tools", "tool_choice"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (call("x", model="nobody"), "(there is no model 'nobody')"),
        (ToolCall(id="c", name="ask_model", arguments="not JSON"), "(give a model and a query)"),
        (ToolCall(id="c", name="other", arguments="{}"), "(give a model and a query)"),
    ],
)
def test_what_cannot_be_asked_is_said_so(asked: ToolCall, told: str) -> None:
    played = thought([answer(asked)], [], ["Blue."])

    results = played.asks(2)[0].request.turns[-1].parts
    assert isinstance(results[0], ToolResult)
    assert text_of(results[0].parts) == told


@pytest.mark.requirement("routing.procedures.budget")
def test_after_the_last_round_it_has_to_answer() -> None:
    rounds = [entry for i in range(3) for entry in ([answer(call(f"q{i}"))], [f"a{i}"])]
    played = thought(*rounds)

    assert isinstance(played.ending, Plan)
    assert played.ending.candidate == "middle"
    request = played.ending.request
    assert request.tool_choice is not None
    assert request.tool_choice.mode == "none"
    assert text_of(request.turns[-1].parts).endswith(LAST)


@pytest.mark.requirement("routing.procedures.budget")
def test_where_no_more_can_be_asked_it_answers_with_what_it_has() -> None:
    played = thought([answer(call("q0"))], ["a0"], [answer(call("q1"))], [None])

    assert isinstance(played.ending, Plan)
    assert played.ending.candidate == "middle"
    assert "a0" in text_of(played.ending.request.turns[-1].parts)


@pytest.mark.parametrize("reply", [None, "", "<think>only thoughts</think>"])
def test_a_controller_that_says_nothing_leaves_it_to_the_best_candidate(reply: str | None) -> None:
    assert thought([reply]).ending == Plan("best", question())


def test_a_controller_that_fails_later_is_asked_for_an_answer_with_what_is_known() -> None:
    played = thought([answer(call("q0"))], ["a0"], [None])

    assert isinstance(played.ending, Plan)
    assert played.ending.candidate == "middle"


def test_what_brings_tools_of_its_own_goes_to_the_best_candidate() -> None:
    asked = question(tools=[Tool(name="t")])

    assert play(r1(asked, POOL, SETTINGS)).ending == Plan("best", asked)
