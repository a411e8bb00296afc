from __future__ import annotations

from typing import Any

import pytest

from pointsman.mcp.protocol.lint import MAX_DEPTH, concealed, faults, visible

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string", "description": "An a."}}}
SOUND: dict[str, Any] = {"name": "t", "description": "Does it.\n\tWell.", "inputSchema": SCHEMA, "x-own": {"y": [1]}}


def test_a_sound_tool_has_no_fault_whatever_else_it_says() -> None:
    assert faults(SOUND) == []
    assert faults(SOUND | {"outputSchema": {"type": "array"}, "title": "Ünïcödé 日本語 👩‍👩‍👧 ❤️ עברית\u200f"}) == []


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("t", "no object"),
        ({"inputSchema": SCHEMA}, "no name"),
        (SOUND | {"name": 5}, "no name"),
        (SOUND | {"name": "x" * 129}, "128"),
        (SOUND | {"name": "a b"}, "spaces"),
        (SOUND | {"description": ["x"]}, "description"),
        ({"name": "t"}, "inputSchema is missing"),
        (SOUND | {"inputSchema": {}}, "inputSchema is not"),
        (SOUND | {"inputSchema": "x"}, "inputSchema is no object"),
        (SOUND | {"outputSchema": 5}, "outputSchema is no object"),
    ],
)
def test_what_makes_clients_refuse_a_list_is_said(tool: Any, said: str) -> None:
    (found,) = faults(tool)
    assert said in found


@pytest.mark.requirement("mcp.hidden-characters")
@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\U000e0041", "\x1b", "\U000e0100", "\ufeff", "\u2066"])
@pytest.mark.parametrize("place", ["name", "description", "schema", "key", "extra"])
def test_what_nobody_sees_is_found_wherever_it_stands(hidden: str, place: str) -> None:
    text = f"a{hidden}b"
    tool = {
        "name": SOUND | {"name": text},
        "description": SOUND | {"description": text},
        "schema": SOUND | {"inputSchema": {"type": "object", "properties": {"a": {"enum": ["x", text]}}}},
        "key": SOUND | {"inputSchema": {"type": "object", "properties": {text: {}}}},
        "extra": SOUND | {"annotations": {"title": text}},
    }[place]
    assert any(f"U+{ord(hidden):04X}" in one for one in faults(tool))


@pytest.mark.requirement("mcp.hidden-characters")
@pytest.mark.parametrize(
    "hidden",
    [
        *("\xad", "\u180e", "\u2028", "\u2029", "\u206a", "\u206f", "\u034f", "\u115f", "\u3164", "\uffa0"),
        *("\u2800", "\ufff9", "\ufffb", "\u200d\u200c", "\u200f\u200f", "\u061c\u200e", "\ufe0f\ufe0e"),
    ],
)
def test_so_is_what_hides_just_as_well(hidden: str) -> None:
    found = concealed({"a": [f"x{hidden}y"]})
    assert found is not None
    assert f"U+{ord(hidden[0]):04X}" in found


@pytest.mark.parametrize("name", ["a\u200db", "a\u00a0b", "a\u3000b", "a\u200eb"])
def test_a_name_that_looks_like_another_one_is_a_fault(name: str) -> None:
    assert faults(SOUND | {"name": name}) != []


def test_what_is_too_deep_to_be_looked_at_is_a_fault() -> None:
    deep: Any = "x"
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert concealed(deep) is None
    assert concealed([deep]) == "it is deeper than 64 levels"
    assert faults(SOUND | {"x": {"y": deep}}) == ["it is deeper than 64 levels"]


def test_a_text_is_told_without_what_nobody_sees() -> None:
    assert visible("hi\u200b \u202eyou\U000e0041") == "hi you"
    assert visible(None) is None
