from __future__ import annotations

from typing import Any

import pytest

from pointsman.store.cleaning import clean, cleaned, is_clean, json


@pytest.mark.parametrize(
    ("text", "expected"), [("a\0b", "ab"), ("\ud800x", "?x"), ("ü\N{ROLLER COASTER}", None), ("", None)]
)
def test_a_text_is_without_what_cannot_be_stored(text: str, expected: str | None) -> None:
    assert clean(text) == (text if expected is None else expected)
    assert is_clean(text) is (expected is None)


def test_texts_are_cleaned_at_any_depth() -> None:
    assert cleaned({"a\0": ["\ud800", 1, None, {"b": ("\0",)}]}) == {"a": ["?", 1, None, {"b": [""]}]}


@pytest.mark.parametrize(
    ("value", "text"), [({"a": "\0"}, '{"a":"\\u0000"}'), (["\ud800"], '["?"]'), ({1, 2} - {2}, "[1]"), (1j, '"1j"')]
)
def test_everything_has_a_text(value: Any, text: str) -> None:
    assert json(value) == text
