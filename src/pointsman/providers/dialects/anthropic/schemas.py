"""JSON schemas in the subset that constrained answers and strict tools are held to.

The API refuses a schema with other keywords, and objects that do not say ``additionalProperties: false``. What it does
not know is told to the model in the description, as Anthropic's SDKs do it, and so is that an object is open
(platform.claude.com/docs/en/build-with-claude/structured-outputs).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_KNOWN: Final = frozenset(
    {
        "$ref",
        "$defs",
        "definitions",
        "type",
        "enum",
        "const",
        "anyOf",
        "allOf",
        "title",
        "description",
        "default",
        "properties",
        "required",
        "additionalProperties",
        "items",
    }
)
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_MAPS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "allOf")


def constrained(schema: dict[str, Any]) -> dict[str, Any]:
    """Give ``schema`` in the subset; it is not changed itself."""
    told = {name: value for name, value in schema.items() if not _is_known(name, value)}
    written = {name: value for name, value in schema.items() if name not in told}
    if "oneOf" in told:
        written["anyOf"] = told.pop("oneOf")
    for name in _MAPS:
        if isinstance(written.get(name), dict):
            written[name] = {key: _inner(value) for key, value in written[name].items()}
    for name in _LISTS:
        if isinstance(written.get(name), list):
            written[name] = [_inner(value) for value in written[name]]
    if "items" in written:
        written["items"] = _inner(written["items"])
    kinds = written.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds) or "additionalProperties" in written:
        if written.get("additionalProperties", False) is not False:
            told["additionalProperties"] = written["additionalProperties"]
        written["additionalProperties"] = False
    if told:
        words = ", ".join(f"{name}: {msgspec.json.encode(value).decode()}" for name, value in told.items())
        written["description"] = f"{written.get('description') or ''}\n\n{{{words}}}".strip()
    return written


def _is_known(name: str, value: Any) -> bool:
    if name == "format":
        return isinstance(value, str) and value in _FORMATS
    return name in _KNOWN or (name == "minItems" and value in (0, 1))


def _inner(value: Any) -> Any:
    return constrained(value) if isinstance(value, dict) else value
