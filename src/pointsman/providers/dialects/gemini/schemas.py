"""Schemas, in both directions.

Google's own kind (``parameters``, ``responseSchema``) is read as JSON schema, and JSON schema is made fit for
``parametersJsonSchema`` and ``responseJsonSchema``. Those take nearly all of it, but not ``$schema``, nor
``definitions`` for ``$defs``, nor anything beside a ``$ref``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MAX_INLINED: Final = 256
"""References that are replaced by what they point to; what stands beside further ones is left out."""

_DEFINITION: Final = re.compile(r"#/(?:\$defs|definitions)/([^/]+)")
_NAMES: Final = {"defs": "$defs", "ref": "$ref", "example": "examples"}
_SCHEMAS: Final = frozenset({"items", "additionalProperties", "not", "contains", "propertyNames"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAPS: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_COUNTS: Final = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_SNAKE: Final = re.compile(r"_([a-z])")


def camel(name: str) -> str:
    """The name of a member as JSON has it; Google takes those with underscores as well."""
    return _SNAKE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def read_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of Google's kind as JSON schema. What is JSON schema already stays as it is."""
    found: dict[str, Any] = {}
    for given, value in schema.items():
        name = camel(given)
        name = _NAMES.get(name, name)
        read = _read_member(name, value)
        if read is not None or name == "default":
            found[name] = read
    if found.get("format") == "enum":
        del found["format"]
    order = found.pop("propertyOrdering", None)
    properties = found.get("properties")
    if isinstance(order, list) and isinstance(properties, dict):
        first = {name: properties[name] for name in order if isinstance(name, str) and name in properties}
        found["properties"] = first | properties
    return _nullable(found) if found.pop("nullable", False) is True else found


def _read_member(name: str, value: Any) -> Any:
    if name == "type":
        return _read_type(value)
    if name == "examples":
        return value if isinstance(value, list) else [value]
    if name == "$ref" and isinstance(value, str):
        return value.replace("#/defs/", "#/$defs/")
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)  # a 64-bit count, which Google's JSON has as text
    return _mapped(name, value, read_schema)


def _read_type(value: Any) -> Any:
    if isinstance(value, list):
        return [_read_type(each) for each in value]
    if value == "TYPE_UNSPECIFIED":
        return None
    return value.lower() if isinstance(value, str) else value


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("type"), str):
        return schema | {"type": [schema["type"], "null"]}
    if isinstance(schema.get("anyOf"), list):
        return schema | {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema


def write_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema as Google takes it."""
    definitions = {
        name: definition
        for member in ("definitions", "$defs")
        if isinstance(schema.get(member), dict)
        for name, definition in schema[member].items()
    }
    root = {name: value for name, value in schema.items() if name not in {"$schema", "definitions", "$defs"}}
    writer = _Writer(definitions)
    written = writer.write(root)
    if definitions:
        written["$defs"] = {name: _each(definition, writer.write) for name, definition in definitions.items()}
    return written


class _Writer:
    """Replaces references that have company by what they point to, unless that would never end."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._inlined = 0
        self._open: list[str] = []

    def write(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return {name: _mapped(name, value, self.write) for name, value in schema.items()}
        found = _DEFINITION.fullmatch(reference)
        name = found[1] if found else None
        beside = {member: value for member, value in schema.items() if member != "$ref"}
        definition = self._definitions.get(name) if name is not None else None
        if beside and name is not None and isinstance(definition, dict) and self._may_inline(name):
            self._inlined += 1
            self._open.append(name)
            written = self.write(definition | beside)
            self._open.pop()
            return written
        return {"$ref": reference if name is None else f"#/$defs/{name}"}

    def _may_inline(self, name: str) -> bool:
        return name not in self._open and self._inlined < MAX_INLINED


def _mapped(name: str, value: Any, change: Any) -> Any:
    if name in _SCHEMAS:
        return _each(value, change)
    if name in _LISTS and isinstance(value, list):
        return [_each(each, change) for each in value]
    if name in _MAPS and isinstance(value, dict):
        return {key: _each(each, change) for key, each in value.items()}
    return value


def _each(value: Any, change: Any) -> Any:
    return change(value) if isinstance(value, dict) else value
