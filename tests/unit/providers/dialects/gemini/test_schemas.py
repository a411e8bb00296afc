from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.gemini.schemas import MAX_INLINED, camel, read_schema, write_schema


@pytest.mark.parametrize(("name", "expected"), [("top_k", "topK"), ("topK", "topK"), ("a_b_c", "aBC"), ("_x", "X")])
def test_names_become_camel_case(name: str, expected: str) -> None:
    assert camel(name) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        (
            {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"nullable": True}, {}),
        (
            {"type": "ARRAY", "min_items": "2", "items": {"type": "NUMBER"}},
            {"type": "array", "minItems": 2, "items": {"type": "number"}},
        ),
        ({"type": "TYPE_UNSPECIFIED", "default": None, "title": None}, {"default": None}),
        ({"type": ["STRING", "NULL"], "example": "x"}, {"type": ["string", "null"], "examples": ["x"]}),
        (
            {"ref": "#/defs/A", "defs": {"A": {"type": "OBJECT"}}},
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}},
        ),
        (
            {"type": "OBJECT", "properties": {"b_c": {"type": "STRING"}, "a": True}, "propertyOrdering": ["a", "x", 7]},
            {"type": "object", "properties": {"a": True, "b_c": {"type": "string"}}},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "STRING"}},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
    ],
)
def test_a_schema_of_googles_is_read_as_json_schema(own: dict[str, Any], expected: dict[str, Any]) -> None:
    read = read_schema(own)
    assert read == expected
    assert list(read.get("properties", ())) == list(expected.get("properties", ()))


def test_definitions_have_one_name_and_no_schema_says_which_it_is() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"a": {"$ref": "#/definitions/A"}},
        "definitions": {"A": {"type": "string"}, "B": True},
    }
    assert write_schema(schema) == {
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"type": "string"}, "B": True},
    }


def test_a_reference_with_company_is_replaced() -> None:
    schema = {
        "anyOf": [{"$ref": "#/$defs/A", "description": "mine"}, {"$ref": "#/$defs/A"}],
        "$defs": {"A": {"type": "string", "description": "its own"}},
    }
    assert write_schema(schema)["anyOf"] == [{"type": "string", "description": "mine"}, {"$ref": "#/$defs/A"}]


@pytest.mark.parametrize("reference", ["#/$defs/Missing", "https://e.org/schema", "#"])
def test_a_reference_that_leads_elsewhere_stays_alone(reference: str) -> None:
    assert write_schema({"items": {"$ref": reference, "description": "x"}}) == {"items": {"$ref": reference}}


def test_a_reference_to_itself_is_replaced_once() -> None:
    node = {"properties": {"next": {"$ref": "#/$defs/N", "description": "on"}}}
    written = write_schema({"$ref": "#/$defs/N", "title": "top", "$defs": {"N": node}})
    assert written["title"] == "top"
    assert written["properties"]["next"] == {"$ref": "#/$defs/N"}


def test_references_that_multiply_are_bounded() -> None:
    definitions = {
        f"D{at}": {
            "anyOf": [{"$ref": f"#/$defs/D{at + 1}", "title": "a"}, {"$ref": f"#/$defs/D{at + 1}", "title": "b"}]
        }
        for at in range(40)
    }
    written = write_schema({"$ref": "#/$defs/D0", "title": "x", "$defs": definitions})
    assert str(written).count("anyOf") <= MAX_INLINED + 2 + len(definitions)


def test_the_given_schema_is_not_changed() -> None:
    schema: dict[str, Any] = {"$ref": "#/$defs/A", "title": "x", "$defs": {"A": {"type": "string"}}}
    write_schema(schema)
    assert schema == {"$ref": "#/$defs/A", "title": "x", "$defs": {"A": {"type": "string"}}}
