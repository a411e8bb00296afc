from __future__ import annotations

from unit.routing.procedures.playbook import BEST, CHEAP, POOL, answer, call, question

from pointsman.routing.procedures.base import (
    Ask,
    Asks,
    Pooled,
    Reply,
    Route,
    ask,
    cheapest,
    is_plain,
    prompt,
    question_of,
    quoted,
    route,
    text_of,
    with_note,
)
from pointsman.wire.chat import ChatRequest, Image, Part, Refusal, Text, Tool, ToolResult, Turn


def test_asks_and_routes_come_back_as_they_are_sent() -> None:
    one = Ask(candidate="best", request=question(), purpose="answer")
    asking, routing = ask(one, one), route(["a", "b"])

    assert next(asking) == Asks((one, one))
    assert next(routing) == Route(["a", "b"])


def test_a_reply_shows_the_text_and_the_calls_of_the_first_choice_and_nothing_where_there_is_none() -> None:
    one = Ask(candidate="best", request=question(), purpose="answer")
    reply = Reply(ask=one, answer=answer("Hi", call("x")))

    assert reply.text == 'Hi\n[calls ask_model({"model":"cheap","query":"x"})]'
    assert [made.id for made in reply.calls] == ["c-x"]
    assert (Reply(ask=one).text, Reply(ask=one).calls) == ("", [])


def test_what_is_said_in_a_prompt_is_the_users_and_the_assistants_in_turn() -> None:
    request = prompt("Judge.", "one", "two", "three", max_tokens=5)

    assert [(turn.role, text_of(turn.parts)) for turn in request.turns] == [
        ("system", "Judge."),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ]
    assert request.max_tokens == 5


def test_the_cheapest_is_the_last_where_no_cost_is_known() -> None:
    assert cheapest(POOL) is CHEAP
    unknown = [Pooled(name="a"), Pooled(name="b")]
    assert cheapest(unknown).name == "b"
    assert cheapest([*unknown, BEST]) is BEST


def test_equally_cheap_ones_are_told_apart_by_name_and_not_by_order() -> None:
    twins = [Pooled(name="b", cost_usd=1.0), Pooled(name="a", cost_usd=1.0)]

    assert cheapest(twins) is cheapest(twins[::-1])


def test_a_question_is_the_last_turn_with_what_was_said_before() -> None:
    turns = [
        Turn("system", [Text("Be brief.")]),
        Turn("user", [Text("Who was Ada?")]),
        Turn("assistant", [Text("A mathematician.")]),
        Turn("user", [Text("When?")]),
    ]
    request = ChatRequest(dialect="openai", turns=turns)

    assert question_of(request) == "When?\n\n(Said before:\nuser: Who was Ada?\nassistant: A mathematician.)"
    assert question_of(question("Only this")) == "Only this"
    assert question_of(ChatRequest(dialect="openai", turns=[])) == ""


def test_a_plain_request_is_words_that_want_words() -> None:
    assert is_plain(question())
    assert not is_plain(question(tools=[Tool(name="t")]))
    assert not is_plain(question(n=2))
    assert not is_plain(question(logprobs=True))
    assert not is_plain(ChatRequest(dialect="openai", turns=[]))
    for part in (Image(url="http://a.test"), ToolResult(call_id="c", parts=[Text("4")])):
        assert not is_plain(ChatRequest(dialect="openai", turns=[Turn("user", [Text("See:"), part])]))
    assert not is_plain(ChatRequest(dialect="openai", turns=[Turn("assistant", [Text("I")])]))


def test_a_note_comes_behind_the_last_turn_and_the_request_stays_as_it_was() -> None:
    request = question("Why?", max_tokens=7)
    noted = with_note(request, "Because.")

    assert text_of(noted.turns[-1].parts) == "Why?\nBecause."
    assert noted.max_tokens == 7
    assert text_of(request.turns[-1].parts) == "Why?"


def test_text_shows_refusals_calls_and_what_tools_have_said() -> None:
    parts: list[Part] = [
        Refusal("No."),
        call("x"),
        ToolResult(call_id="c", parts=[Text("4")]),
        Image(url="http://a.test"),
    ]

    assert text_of(parts) == 'No.\n[calls ask_model({"model":"cheap","query":"x"})]\n[the tool says: 4]'


def test_what_is_too_long_loses_its_middle() -> None:
    assert quoted("abc", 3) == "abc"
    assert quoted("a" * 10 + "b" * 10, 10) == "aaaaa\n[…]\nbbbbb"
