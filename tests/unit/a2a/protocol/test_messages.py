from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.protocol.messages import (
    Malformed,
    each,
    legacy_artifact,
    legacy_message,
    legacy_part,
    modern_artifact,
    modern_message,
    modern_part,
    object_of,
)

PARTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"text": "a"}, {"kind": "text", "text": "a"}),
    ({"text": ""}, {"kind": "text", "text": ""}),
    ({"text": "a", "mediaType": "text/html"}, {"kind": "text", "text": "a", "mediaType": "text/html"}),
    ({"raw": "AA==", "filename": "f"}, {"kind": "file", "file": {"bytes": "AA==", "name": "f"}}),
    ({"url": "u", "mediaType": "a/b"}, {"kind": "file", "file": {"uri": "u", "mimeType": "a/b"}}),
    ({"data": {"a": 1}, "metadata": {"m": 1}}, {"kind": "data", "data": {"a": 1}, "metadata": {"m": 1}}),
    (
        {"data": [1], "metadata": {"m": 1}},
        {"kind": "data", "data": {"value": [1]}, "metadata": {"m": 1, "data_part_compat": True}},
    ),
    ({"data": None}, {"kind": "data", "data": {"value": None}, "metadata": {"data_part_compat": True}}),
    ({"hologram": 1}, {"hologram": 1}),
]


@pytest.mark.parametrize(("modern", "legacy"), PARTS)
def test_a_part_goes_to_the_other_version_and_back(modern: dict[str, Any], legacy: dict[str, Any]) -> None:
    assert legacy_part(dict(modern)) == legacy
    assert modern_part(dict(legacy)) == modern


def test_a_message_keeps_what_nobody_knows() -> None:
    modern = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "a"}], "referenceTaskIds": ["t"], "new": 1}
    legacy = modern | {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": "a"}]}
    assert legacy_message(modern) == legacy
    assert modern_message(legacy) == modern
    assert modern["role"] == "ROLE_AGENT", "what comes in stays as it is"


def test_what_0_3_has_to_have_is_there() -> None:
    assert legacy_message({}) == {"kind": "message", "messageId": "", "role": "agent", "parts": []}
    assert legacy_artifact({}) == {"artifactId": "", "parts": []}
    assert modern_artifact({"artifactId": "a", "parts": None}) == {"artifactId": "a", "parts": []}


@pytest.mark.parametrize("value", [None, 5, "x", [], True])
def test_what_is_no_object_is_malformed(value: object) -> None:
    with pytest.raises(Malformed, match="'it' has to be an object"):
        object_of(value, "it")


def test_what_is_no_list_of_objects_is_malformed() -> None:
    wrongs: list[object] = [{}, "x", [1], [None]]
    for wrong in wrongs:
        with pytest.raises(Malformed, match="'parts' has to be"):
            each(wrong, "parts", legacy_part)
    assert each(None, "parts", legacy_part) == []


def test_metadata_that_is_none_is_malformed() -> None:
    with pytest.raises(Malformed, match="'metadata'"):
        legacy_part({"data": 5, "metadata": [1]})


def test_a_file_that_is_none_is_malformed() -> None:
    with pytest.raises(Malformed, match="'file'"):
        modern_part({"kind": "file", "file": "x"})
