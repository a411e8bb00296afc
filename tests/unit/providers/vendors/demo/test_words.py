from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.names import MODELS
from pointsman.providers.vendors.demo.words import (
    Said,
    compose,
    content_text,
    count_tokens,
    cut,
    read_turns,
    split_words,
    stops_of,
    tool_names,
)

SAID = Said(last="hello", n_texts=2, n_tokens=9)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("é", 1), ("日本", 2)])
def test_four_bytes_are_a_token(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@pytest.mark.parametrize("text", ["", " ", "a", "a b", "  a\n\nb ", "日本 語\t!"])
def test_split_words_join_to_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


def test_every_answer_says_it_is_a_demo_and_larger_ones_say_more() -> None:
    texts = [compose(model, SAID) for model in MODELS if model.mode == "chat"]
    for text in texts:
        assert "built-in demo model" in text
        assert "not an AI" in text
        assert "hello" in text
    assert len(texts[0]) * 1.5 < len(texts[1]) < len(texts[2]) / 1.5


def test_variants_differ_and_long_questions_are_quoted_in_part() -> None:
    assert compose(MODELS[0], SAID, variant=1) != compose(MODELS[0], SAID)
    long = Said(last="x" * 10_000, n_texts=1, n_tokens=1)
    assert len(compose(MODELS[0], long)) < 1_000


def test_json_is_json() -> None:
    assert compose(MODELS[0], SAID, as_json=True).startswith('{"is_demo":true,"message":"')


@pytest.mark.parametrize(
    ("stops", "limit", "shown", "is_cut"),
    [
        ([], None, "one two three", False),
        (["two"], None, "one ", False),
        (["absent"], None, "one two three", False),
        ([], 1, "one ", True),
        ([], 100, "one two three", False),
        (["three", "two"], 1, "one ", False),
    ],
)
def test_stops_and_limits_cut(stops: list[str], limit: int | None, shown: str, is_cut: bool) -> None:
    assert cut("one two three", stops=stops, max_tokens=limit) == (shown, is_cut)


def test_a_limit_never_cuts_a_character_in_two() -> None:
    text, is_cut = cut("日本", stops=[], max_tokens=1)
    assert (text, is_cut) == ("日", True)


@pytest.mark.parametrize(("stop", "stops"), [(None, []), ("a", ["a"]), (["a", "", "b"], ["a", "b"]), ([], [])])
def test_stop_is_a_text_or_a_list(stop: Any, stops: list[str]) -> None:
    assert stops_of({"stop": stop}) == stops


@pytest.mark.parametrize("stop", [7, [7], {"a": 1}])
def test_another_stop_is_refused(stop: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        stops_of({"stop": stop})
    assert caught.value.param == "stop"


def test_content_may_be_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    assert content_text(parts, "p") == "a b"
    assert content_text(None, "p") == ""
    for wrong in (7, ["a"], {"text": "a"}):
        with pytest.raises(InvalidRequest):
            content_text(wrong, "p")


def test_tools_are_named_in_both_shapes() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "g"}, {"type": "web"}]
    assert tool_names({"tools": tools}) == ("f", "g", "web")
    assert tool_names({}) == ()
    assert "tools f" in compose(MODELS[1], Said(last="", n_texts=1, n_tokens=1, tools=("f",)))
    with pytest.raises(InvalidRequest):
        tool_names({"tools": "f"})


def test_the_users_last_words_are_what_counts() -> None:
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
    ]
    said = read_turns(turns, "messages")
    assert (said.last, said.n_texts) == ("u", 3)
    assert read_turns([{"role": "tool", "content": "t"}], "messages").last == "t"


@pytest.mark.parametrize("turns", [None, [], "x", {"role": "user"}, ["x"], [{"content": 7}]])
def test_messages_must_be_a_list_of_messages(turns: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_turns(turns, "messages")
    assert (caught.value.param or "").startswith("messages")
