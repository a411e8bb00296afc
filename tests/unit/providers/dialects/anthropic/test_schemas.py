from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.anthropic.schemas import constrained


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object"}, {"type": "object", "additionalProperties": False}),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}),
        (
            {"type": "object", "additionalProperties": True},
            {"type": "object", "additionalProperties": False, "description": "{additionalProperties: true}"},
        ),
        (
            {"description": "Counts", "additionalProperties": {"type": "integer"}},
            {
                "additionalProperties": False,
                "description": 'Counts\n\n{additionalProperties: {"type":"integer"}}',
            },
        ),
        (
            {"type": "integer", "minimum": 1, "maximum": 9},
            {"type": "integer", "description": "{minimum: 1, maximum: 9}"},
        ),
        (
            {"type": "string", "format": "phone", "description": "A number"},
            {"type": "string", "description": 'A number\n\n{format: "phone"}'},
        ),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": ["date"]}, {"type": "string", "description": '{format: ["date"]}'}),
        ({"type": "array", "minItems": 1, "items": True}, {"type": "array", "minItems": 1, "items": True}),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": "{minItems: 2}"}),
        ({"oneOf": [{"type": "object"}, 7]}, {"anyOf": [{"type": "object", "additionalProperties": False}, 7]}),
        (
            {"$defs": {"a": {"type": "object"}}, "properties": {"minimum": {"type": "number", "minimum": 0}}},
            {
                "$defs": {"a": {"type": "object", "additionalProperties": False}},
                "properties": {"minimum": {"type": "number", "description": "{minimum: 0}"}},
            },
        ),
    ],
)
def test_what_the_api_does_not_know_is_told_in_words(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert constrained(schema) == expected
    assert constrained(expected) == expected


def test_the_callers_schema_is_left_as_it_is() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}
    constrained(schema)
    assert schema == {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}
