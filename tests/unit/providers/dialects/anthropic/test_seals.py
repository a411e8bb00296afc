from __future__ import annotations

from pointsman.providers.dialects.anthropic.seals import with_seals, write_seal_of_next
from pointsman.wire.chat import Part, Seal, Text, Thinking, ToolCall

SEAL = Seal("gemini", "c2lnbmVk")
BACK = Thinking("", Seal("gemini", "@c2lnbmVk"), is_redacted=True)


def call(seal: Seal | None = None) -> ToolCall:
    return ToolCall(id="a", name="f", arguments="{}", seal=seal)


def test_a_seal_is_kept_as_redacted_reasoning_with_its_origin() -> None:
    assert write_seal_of_next(SEAL) == {"type": "redacted_thinking", "data": "gemini#@c2lnbmVk"}


def test_a_seal_that_comes_back_belongs_to_the_next_call_or_text() -> None:
    assert with_seals([Text("Hi"), BACK, call(), call()]) == [Text("Hi"), call(SEAL), call()]
    assert with_seals([BACK, Text("Hi")]) == [Text("Hi", seal=SEAL)]


def test_other_reasoning_stays_where_it_is() -> None:
    parts: list[Part] = [
        Thinking("", Seal("anthropic", "@x"), is_redacted=True),
        Thinking("", Seal("gemini", "x"), is_redacted=True),
        Thinking("Hm.", SEAL),
        Thinking("", is_redacted=True),
        call(),
    ]
    assert with_seals(parts) == parts


def test_a_seal_of_nothing_is_left_out() -> None:
    assert with_seals([call(), BACK]) == [call()]
