from __future__ import annotations

import pytest

from pointsman.wire.secret import Secret, revealed, texts_named_so, texts_of


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>40}".format, lambda s: f"{[s]}", lambda s: f"{s!s}"])
def test_a_secret_shows_in_no_text(show: object) -> None:
    assert callable(show)
    text = show(Secret("sk-canary"))
    assert "canary" not in text
    assert "Secret(***)" in text


def test_it_is_given_to_who_asks_for_it() -> None:
    assert Secret("sk-canary").reveal() == "sk-canary"


def test_secrets_are_equal_by_what_they_hide() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_a_secret_has_no_dictionary_that_something_could_print() -> None:
    with pytest.raises(TypeError):
        vars(Secret("a"))


HOLDING = {"a": Secret("1"), "b": [{"c": Secret("2")}, "x"], "d": ("y", Secret("3")), "e": 4}


def test_secrets_are_revealed_at_any_depth() -> None:
    assert revealed(HOLDING) == {"a": "1", "b": [{"c": "2"}, "x"], "d": ["y", "3"], "e": 4}


def test_the_texts_of_secrets_are_found_at_any_depth() -> None:
    assert list(texts_of(HOLDING)) == ["1", "2", "3"]


def test_what_headers_hold_is_secret_if_their_name_says_so_and_it_is_long_enough_to_be_told_from_other_words() -> None:
    named = {"X-Api-Key": "canary-1", "authorization": "Bearer canary-2", "x-team": "canary-team", "x-token": "short"}
    assert list(texts_named_so(named)) == ["canary-1", "Bearer canary-2"]
