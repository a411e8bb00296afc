from __future__ import annotations

from typing import Any

import pytest

from pointsman.mcp.protocol.mirrors import decode_value, encode_value, mirrors_of, param_headers, text_at

# The examples of the specification.
ENCODED = {
    "us-west1": "us-west1",
    "Hello, 世界": "=?base64?SGVsbG8sIOS4lueVjA==?=",
    " padded ": "=?base64?IHBhZGRlZCA=?=",
    "line1\nline2": "=?base64?bGluZTEKbGluZTI=?=",
    "=?base64?literal?=": "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
    "": "",
    "a b\tc": "a b\tc",
}


@pytest.mark.parametrize(("text", "value"), ENCODED.items())
@pytest.mark.requirement("mcp.param-headers")
def test_a_text_goes_through_a_header_and_back(text: str, value: str) -> None:
    assert encode_value(text) == value
    assert decode_value(value) == text


@pytest.mark.parametrize("value", ["=?base64?!!!?=", "=?base64?YR==?=", "=?base64?/w==?=", "=?base64?YQ?="])
def test_a_damaged_value_is_none(value: str) -> None:
    assert decode_value(value) is None


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_annotated_arguments_become_headers() -> None:
    mirrors = mirrors_of(
        schema(
            region={"type": "string", "x-mcp-header": "Region"},
            query={"type": "string"},
            limits=schema(rows={"type": "integer", "x-mcp-header": "Rows"}),
            dry={"type": "boolean", "x-mcp-header": "Dry"},
            other={"type": "string", "x-mcp-header": "Other"},
        )
    )
    arguments = {"region": "us west", "limits": {"rows": 42.0}, "dry": False, "other": None, "query": "x"}
    assert param_headers(mirrors, arguments) == {
        "Mcp-Param-Region": "us west",
        "Mcp-Param-Rows": "42",
        "Mcp-Param-Dry": "false",
    }
    assert param_headers(mirrors, {"limits": 3}) == {}
    assert param_headers(mirrors, None) == {}


def test_what_no_header_can_say_exactly_is_not_said() -> None:
    assert text_at({"a": 2**53}, ("a",)) is None
    assert text_at({"a": 1.5}, ("a",)) is None
    assert text_at({"a": ["x"]}, ("a",)) is None


def test_annotations_in_data_are_none() -> None:
    assert mirrors_of(schema(a={"type": "string", "default": {"x-mcp-header": "A"}})) == {}
    assert mirrors_of(schema(**{"x-mcp-header": {"type": "string"}})) == {}
    assert mirrors_of(None) == {}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (schema(a={"type": "string", "x-mcp-header": ""}), "no name of a header"),
        (schema(a={"type": "string", "x-mcp-header": "A B"}), "no name of a header"),
        (schema(a={"type": "string", "x-mcp-header": 5}), "no name of a header"),
        (schema(a={"type": "number", "x-mcp-header": "A"}), "neither string"),
        (schema(a={"x-mcp-header": "A"}), "neither string"),
        (
            schema(a={"type": "string", "x-mcp-header": "A"}, b={"type": "string", "x-mcp-header": "a"}),
            "two parameters",
        ),
        (schema(a={"items": {"type": "string", "x-mcp-header": "A"}}), "where no parameter is"),
        (schema(a={"anyOf": [{"type": "string", "x-mcp-header": "A"}]}), "where no parameter is"),
        ({"$defs": {"a": schema(b={"type": "string", "x-mcp-header": "A"})}}, "where no parameter is"),
        ({"type": "string", "x-mcp-header": "A"}, "where no parameter is"),
    ],
)
def test_a_wrong_annotation_is_told(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        mirrors_of(wrong)


def test_a_schema_without_an_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"not": deep}
    with pytest.raises(ValueError, match="too deep"):
        mirrors_of(deep)
