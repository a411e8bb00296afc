"""The JSON Schema of config files, made from the tables of ``grammar.py``."""

from __future__ import annotations

from typing import Any

import msgspec

from pointsman.config.grammar import SECTIONS, TOP, section_named
from pointsman.config.tables import Key, Section

_PENDING = "A key of LiteLLM that this version does not act on; it is named at start."


def json_schema() -> dict[str, Any]:
    """A draft-07 schema, which the YAML language server understands.

    Keys that are not listed are allowed where LiteLLM allows them: in ``litellm_params`` and ``model_info``.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Pointsman config",
        **_section(TOP),
        "definitions": {section.name: _section(section) for section in SECTIONS if section is not TOP},
    }


def schema_text() -> str:
    """The schema as a file holds it."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _section(section: Section) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "description": section.about,
        "type": "object",
        "properties": {key.name: _key(key) for key in section.keys},
    }
    required = [key.name for key in section.keys if key.is_required]
    if required:
        schema["required"] = required
    if section.unknown == "warn":
        schema["additionalProperties"] = False
    return schema


def _key(key: Key) -> dict[str, Any]:
    if key.standing == "pending":
        return {"description": _PENDING}
    return {"description": _about(key), **_value(key)}


def _about(key: Key) -> str:
    return key.about + (f" Acted on: {', '.join(key.choices)}." if key.choices else "")


def _value(key: Key) -> dict[str, Any]:
    if key.section is None:
        return dict(key.kind.schema)
    reference = {"$ref": f"#/definitions/{section_named(key.section).name}"}
    if key.holds == "list":
        return {"type": "array", "items": reference}
    if key.holds == "map":
        return {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, reference]}}
    # Beside $ref draft-07 ignores all other keywords, the description too.
    return {"allOf": [reference]}
