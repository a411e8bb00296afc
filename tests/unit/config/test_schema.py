from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pointsman.config.grammar import SECTIONS, TOP
from pointsman.config.schema import json_schema, schema_text

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def _definition(schema: dict[str, Any], name: str) -> dict[str, Any]:
    definition: dict[str, Any] = schema if name == TOP.name else schema["definitions"][name]
    return definition


def test_the_file_in_docs_is_current() -> None:
    path = ROOT / "docs" / "reference" / "config.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(), "run: pointsman check --schema > " + str(path.name)


def test_every_key_of_every_table_is_described() -> None:
    schema = json_schema()
    for section in SECTIONS:
        properties = _definition(schema, section.name)["properties"]
        assert set(properties) == set(section.names())
        assert all(entry["description"] for entry in properties.values())


def test_every_reference_leads_somewhere() -> None:
    schema = json_schema()
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.extend([value["$ref"]] if "$ref" in value else [])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(schema)
    assert found
    assert {reference.removeprefix("#/definitions/") for reference in found} <= set(schema["definitions"])


def test_more_keys_are_allowed_where_litellm_allows_them() -> None:
    definitions = json_schema()["definitions"]
    open_ones = {name for name, one in definitions.items() if one.get("additionalProperties") is not False}
    models = {"litellm_params", "default_litellm_params", "model_info"}
    assert open_ones == models | {"mcp_info", "agent_card_params", "agent_litellm_params"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_name_the_schema_and_use_its_keys(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = text.splitlines()[0]
    assert header == "# yaml-language-server: $schema=../docs/reference/config.schema.json"
    assert (path.parent / header.partition("$schema=")[2]).resolve().is_file()
    assert set(yaml.safe_load(text)) <= set(json_schema()["properties"])
