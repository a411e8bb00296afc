from __future__ import annotations

from typing import Any

import pytest

from pointsman.mcp.protocol.pins import MAX_DEFINITION, PINNED, Pin, differences, pin_of, pins_of

TOOL: dict[str, Any] = {
    "name": "t",
    "title": "T",
    "description": "Does it.",
    "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}},
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}


def test_the_order_of_members_and_what_no_model_reads_make_no_difference() -> None:
    other = dict(reversed(TOOL.items())) | {"inputSchema": {"properties": {"b": {}, "a": {}}, "type": "object"}}
    assert pin_of(TOOL).digest == pin_of(other | {"_meta": {"x": 1}, "icons": []}).digest


@pytest.mark.parametrize("member", PINNED)
def test_whatever_a_model_reads_makes_a_difference(member: str) -> None:
    assert pin_of(TOOL).digest != pin_of(TOOL | {member: "another"}).digest
    assert pin_of(TOOL).digest != pin_of({name: TOOL[name] for name in TOOL if name != member}).digest


def test_a_definition_is_kept_to_be_shown_unless_it_is_huge() -> None:
    assert pin_of(TOOL).definition == TOOL
    assert pin_of(TOOL | {"description": "x" * MAX_DEFINITION}).definition is None


def test_what_was_approved_and_what_is_seen_are_told_apart() -> None:
    seen = pins_of([TOOL, TOOL | {"name": "new"}, {"name": 5}, TOOL | {"name": "same"}])
    before = {"t": Pin("x"), "gone": Pin("y"), "same": seen["same"]}
    found = differences(before, seen)
    assert [(one.tool, one.kind) for one in found] == [("gone", "removed"), ("new", "added"), ("t", "changed")]
    assert found[2].before == Pin("x")
    assert found[2].after == seen["t"]
    assert differences(seen, seen) == []
